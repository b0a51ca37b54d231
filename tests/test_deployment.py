"""The deployments, end to end: a real server, a worker, and the commands that README and prefect.yaml name."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from datasets import load_dataset

from tasks_lib import ImageStore
from tests.endpoint import Endpoint
from tests.prefect_server import PrefectServer, running_server, wait_until
from tests.recipes import recipe_for

ROOT = Path(__file__).parents[1]
RECIPE = "deployments/recipes/colour-shapes.yaml"
IMAGES = 160
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A server with the pool and every deployment, and a worker."""
    with running_server(ROOT, tmp_path_factory.mktemp("prefect")) as server:
        for arguments in (
            ["work-pool", "create", "local", "--type", "process"],
            ["deploy", "--prefect-file", "deployments/prefect.yaml", "--all"],
        ):
            done = server.command(*arguments)
            assert done.returncode == 0, done.stdout + done.stderr
        with server.worker("local"):
            yield server


def run_and_watch(server: PrefectServer, *parameters: str) -> tuple[int, str]:
    """The exit code and the output of ``prefect deployment run --watch``."""
    given = [argument for parameter in parameters for argument in ("--param", parameter)]
    done = server.command("deployment", "run", "build-image-dataset/ad-hoc", *given, "--watch")
    return done.returncode, done.stdout + done.stderr


def deployment(server: PrefectServer, name: str) -> dict[str, Any]:
    found: dict[str, Any] = server.request("GET", f"/deployments/name/build-image-dataset/{name}")
    return found


def last_run(server: PrefectServer) -> dict[str, Any]:
    asked = {"sort": "START_TIME_DESC", "limit": 1, "flow_runs": {"state": {"type": {"any_": sorted(ENDED)}}}}
    run: dict[str, Any] = server.request("POST", "/flow_runs/filter", asked)[0]
    return run


def started(server: PrefectServer, recipe: dict[str, Any]) -> str:
    """The id of a new run of a recipe given as JSON."""
    place = f"/deployments/{deployment(server, 'ad-hoc')['id']}/create_flow_run"
    run = server.request("POST", place, {"parameters": {"recipe": recipe}, "state": {"type": "SCHEDULED"}})
    return str(run["id"])


def end_of(server: PrefectServer, run_id: str) -> dict[str, Any]:
    """The run, once it has ended."""

    def ended() -> dict[str, Any] | None:
        run: dict[str, Any] = server.request("GET", f"/flow_runs/{run_id}")
        return run if run["state_type"] in ENDED else None

    run: dict[str, Any] = wait_until(ended, timeout_s=120, what="the flow run")
    return run


def test_a_recipe_by_path_becomes_a_dataset(server: PrefectServer, tmp_path: Path) -> None:
    """`prefect deployment run ad-hoc --watch` exits 0, says what it made, and load_dataset reads it."""
    overrides = json.dumps({"output.path": str(tmp_path / "shapes"), "store": str(tmp_path / "store")})
    code, output = run_and_watch(server, f"recipe={RECIPE}", "limit=24", f"overrides={overrides}")
    assert code == 0, output
    run = last_run(server)
    assert run["name"].startswith("colour-shapes 20")
    assert run["state"]["message"] == "24 of 24 images, 0.00 USD"
    read = load_dataset(str(tmp_path / "shapes"))
    assert sum(split.num_rows for split in read.values()) == 24
    assert read["train"][0]["image"].size == (256, 256)


def test_a_recipe_filled_in_as_a_form_is_built_in_batches(server: PrefectServer, tmp_path: Path) -> None:
    """A whole recipe given as JSON is built, one task run for each batch, named by its rows."""
    model = {"type": "procedural", "width": 32, "height": 32}
    recipe = {
        "name": "form",
        "prompts": [f"{number} red circles" for number in range(130)],
        "task": {"type": "image_generation", "image_generation_model": model},
        "store": str(tmp_path / "store"),
        "output": {"path": str(tmp_path / "form")},
    }
    run = end_of(server, started(server, recipe))
    assert run["state"]["message"] == "130 of 130 images, 0.00 USD"
    assert run["name"].startswith("form 20")
    asked = {"flow_runs": {"id": {"any_": [run["id"]]}}}

    def both_batches() -> bool:
        names = {task["name"] for task in server.request("POST", "/task_runs/filter", asked)}
        return names == {"rows 0-127", "rows 128-129"}

    # Task runs are recorded from events, a moment after they happen.
    wait_until(both_batches, timeout_s=60, what="the task runs 'rows 0-127' and 'rows 128-129'")


def test_a_cancelled_run_ends_in_seconds_and_keeps_what_arrived(server: PrefectServer, tmp_path: Path) -> None:
    """Cancelled through the API, a run is over within seconds, keeps every image, and the next asks only the rest."""
    with Endpoint(latency_s=0.3) as endpoint:
        recipe = recipe_for(
            endpoint,
            [f"prompt {number}" for number in range(IMAGES)],
            limits={"max_concurrency": 4},
            batch_size=16,
            store=str(tmp_path / "store"),
            output={"path": str(tmp_path / "dataset")},
        )
        run_id = started(server, recipe)
        wait_until(lambda: len(endpoint.calls) >= 6, timeout_s=120, what="six images")
        cancelled = time.monotonic()
        server.request("POST", f"/flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLING"}})
        # Prefect says that a run is cancelled when its process is gone.
        assert end_of(server, run_id)["state_type"] == "CANCELLED"
        calls = endpoint.calls
        assert time.monotonic() - cancelled < 30
        assert not endpoint.in_flight
        assert max(call.time_started for call in calls) - cancelled < 10, "asks on although it was cancelled"
        store = ImageStore(tmp_path / "store")
        delivered = {call.prompt for call in calls if call.delivered}
        assert {record.request["prompt"] for record in store.records()} == delivered
        assert store.verify() == {}
        assert [path.name for path in tmp_path.iterdir()] == ["store"]
        assert len(delivered) < IMAGES
        code, output = run_and_watch(server, f"recipe={json.dumps(recipe)}")
        assert code == 0, output
        assert len(load_dataset(str(tmp_path / "dataset"))["train"]) == IMAGES
        assert len(endpoint.calls) == len(calls) + IMAGES - len(delivered)
    assert Counter(call.prompt for call in endpoint.calls if call.delivered).most_common(1)[0][1] == 1


def test_a_failed_build_exits_1_and_says_why(server: PrefectServer) -> None:
    """A run that fails exits 1, and its state is one sentence without a traceback."""
    code, output = run_and_watch(server, "recipe=no-such-recipe.yaml")
    assert code == 1, output
    message = last_run(server)["state"]["message"]
    assert message.startswith("the recipe no-such-recipe.yaml cannot be read")
    assert "\n" not in message


def test_a_bad_parameter_is_refused_with_its_name(server: PrefectServer) -> None:
    """What cannot be right makes no run: the command exits 1 and says which parameter is wrong, and how."""
    code, output = run_and_watch(server, f"recipe={RECIPE}", "limit=0")
    assert code == 1
    assert "Validation failed for field 'limit'. Failure reason: 0 is less than the minimum of 1" in output


def test_the_form_explains_every_setting_of_a_recipe(server: PrefectServer) -> None:
    """The schema behind the form holds both ways to give a recipe, the kinds of model, bounds and descriptions."""
    schema = deployment(server, "ad-hoc")["parameter_openapi_schema"]
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


def test_nightly_sleeps_until_it_is_switched_on(server: PrefectServer) -> None:
    """Nightly is shipped inactive and never runs twice at once; switched on, it is planned for 3 o'clock local time."""
    nightly = deployment(server, "nightly")
    schedule = nightly["schedules"][0]
    assert schedule["active"] is False
    assert nightly["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert nightly["global_concurrency_limit"]["limit"] == 1
    server.request("PATCH", f"/deployments/{nightly['id']}/schedules/{schedule['id']}", {"active": True})
    asked = {"deployments": {"id": {"any_": [nightly["id"]]}}, "sort": "EXPECTED_START_TIME_ASC"}
    planned = wait_until(
        lambda: server.request("POST", "/flow_runs/filter", asked), timeout_s=30, what="the scheduler to plan a run"
    )
    start = datetime.fromisoformat(planned[0]["expected_start_time"])
    assert start.astimezone(ZoneInfo(schedule["schedule"]["timezone"])).strftime("%H:%M") == "03:00"
