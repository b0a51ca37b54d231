"""The deployments, end to end: a real server, a worker, and the commands that README and prefect.yaml name."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.deployments import deployment, run_and_watch, running_deployments
from tests.prefect_server import PrefectServer

pytest.register_assert_rewrite("tests.deployment_promises")
from tests.deployment_promises import *  # noqa: E402, F403  # the promises are tests of this module
from tests.deployment_promises import RECIPE  # noqa: E402


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """With the deployments and a worker, on SQLite."""
    with running_deployments(tmp_path_factory.mktemp("prefect")) as server:
        yield server


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"limit": 0}, "for field 'limit'. Failure reason: 0 is less than the minimum of 1"),
        ({"recipe": {"nam": "x"}}, "for field 'recipe'. Failure reason: {'nam': 'x'} is not valid"),
        ({"limits": {}}, "were specified but not found on the deployment: 'limits'"),
    ],
)
def test_a_bad_parameter_is_refused_with_its_name(server: PrefectServer, parameters: dict[str, Any], told: str) -> None:
    """What cannot be right makes no run: the command exits 1 and says which parameter is wrong, and how."""
    code, output = run_and_watch(server, {"recipe": RECIPE, **parameters})
    assert code == 1
    assert told in output


def test_a_key_of_a_recipe_is_refused_with_its_place(server: PrefectServer) -> None:
    """Deep in a recipe, the refusal names the key by its dotted path and what it must be."""
    model = {"type": "procedural"}
    recipe = {
        "name": "x",
        "prompts": ["a cat"],
        "task": {"type": "image_generation", "image_generation_model": model},
        "limits": {"max_concurrency": 0},
        "output": {"path": "x"},
    }
    code, output = run_and_watch(server, {"recipe": recipe})
    assert code == 1
    assert "for field 'recipe.limits.max_concurrency'. Failure reason: 0 is less than the minimum of 1" in output


def test_the_form_explains_every_setting_of_a_recipe(server: PrefectServer) -> None:
    """The schema behind the form holds both ways to give a recipe, the kinds of model, bounds and descriptions."""
    schema = deployment(server)["parameter_openapi_schema"]
    assert schema["properties"]["recipe"]["anyOf"] == [{"$ref": "#/definitions/Recipe"}, {"type": "string"}]
    assert all(parameter["description"] for parameter in schema["properties"].values())
    definitions = schema["definitions"]
    for kind in ("Recipe", "Limits", "Checks", "Output"):
        assert all(field.get("description") for field in definitions[kind]["properties"].values()), kind
    concurrency = definitions["Limits"]["properties"]["max_concurrency"]
    assert (concurrency["minimum"], concurrency["maximum"]) == (1, 1024)
    assert {"procedural", "inference_endpoints"} <= set(_kinds(definitions["ImageGeneration"]))


def _kinds(task: dict[str, Any]) -> dict[str, str]:
    """The ``type`` words of the models that the task's form offers."""
    model = task["properties"]["image_generation_model"]
    offers = [model, *model.get("anyOf", [])]
    mapping: dict[str, str] = next(offer["discriminator"]["mapping"] for offer in offers if "discriminator" in offer)
    return mapping
