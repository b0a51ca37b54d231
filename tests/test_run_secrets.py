"""Secrets of a run come from Prefect Secret blocks, which the recipe names, and never by its parameters."""

import asyncio
import base64
import importlib
import os
import pkgutil
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.sorting import FlowRunSort

import flows
from flows.build_image_dataset import build_image_dataset
from flows.run_secrets import secrets_in_environment
from tasks_lib.errors import MissingSecretError
from tasks_lib.recipe import load_recipe
from tests.command import IMAGELOOM
from tests.endpoint import Endpoint
from tests.recipes import Build, recipe_for

TOKEN = "hf_MARKEDxBLOCKx0123456789"
IN_OVERRIDES = {"recipe": "recipe.yaml", "overrides": {"secrets.HF_TOKEN": TOKEN}}
WITH_A_KEY: dict[str, tuple[dict[str, Any], str]] = {
    "build-image-dataset": (IN_OVERRIDES, "overrides.secrets.HF_TOKEN"),
    "build-image-variants": ({"images": "recipe.yaml", "variants": f"{TOKEN}.yaml"}, "variants"),
    "preview-image-dataset": (IN_OVERRIDES, "overrides.secrets.HF_TOKEN"),
    "publish-image-dataset": ({"folder": "dataset", "repo_id": "me/x", "token_block": TOKEN}, "token_block"),
    "watch-canary": (IN_OVERRIDES, "overrides.secrets.HF_TOKEN"),
}
"""By flow: parameters with a key among them, and where it is."""


def recipe_with_secret(endpoint: Endpoint, prompts: list[str], block: str) -> dict[str, Any]:
    return {**recipe_for(endpoint, prompts, limits={"max_failure_rate": 1.0}), "secrets": {"HF_TOKEN": block}}


def test_a_block_becomes_the_token_of_the_run(build_dataset: Build, endpoint: Endpoint, in_folder: Path) -> None:
    """The endpoint gets the block's secret, the environment is as before, and no file of the build holds it."""
    Secret(value=TOKEN).save("imageloom-test-token", overwrite=True)
    build_dataset(recipe_with_secret(endpoint, ["a cat", "a dog {{500 times=inf}}"], "imageloom-test-token"))
    assert {call.headers["authorization"] for call in endpoint.calls} == {f"Bearer {TOKEN}"}
    assert "HF_TOKEN" not in os.environ
    written = b"".join(path.read_bytes() for path in in_folder.rglob("*") if path.is_file())
    assert TOKEN.encode() not in written
    assert b"imageloom-test-token" in written


def test_the_environment_comes_first(build_dataset: Build, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is set already needs no block, so the same recipe runs on a laptop."""
    monkeypatch.setenv("HF_TOKEN", "hf_own")
    build_dataset(recipe_with_secret(endpoint, ["a cat"], "no-such-block"))
    assert endpoint.calls[0].headers["authorization"] == "Bearer hf_own"
    assert os.environ["HF_TOKEN"] == "hf_own"


def test_a_missing_block_is_named_before_anything_is_asked(build_dataset: Build, endpoint: Endpoint) -> None:
    """A block that the server does not have is one error that names it, the variable and both ways out."""
    ways_out = "Create it.* or set the environment variable HF_TOKEN"
    with pytest.raises(MissingSecretError, match=f"HF_TOKEN from the Prefect Secret block 'no-such-block'.*{ways_out}"):
        build_dataset(recipe_with_secret(endpoint, ["a cat"], "no-such-block"))
    assert endpoint.calls == []


def test_runs_at_the_same_time_share_a_block(prefect_server: None) -> None:
    """Of two runs in one process that take the same block, the one that ends first leaves the other its key."""
    Secret(value=TOKEN).save("imageloom-test-token", overwrite=True)
    blocks = {"HF_TOKEN": "imageloom-test-token"}

    async def what_the_second_has() -> str | None:
        first = AsyncExitStack()
        await first.enter_async_context(secrets_in_environment(blocks))
        async with secrets_in_environment(blocks):
            await first.aclose()
            return os.environ.get("HF_TOKEN")

    assert asyncio.run(what_the_second_has()) == TOKEN
    assert "HF_TOKEN" not in os.environ


def test_builds_at_the_same_time_do_not_use_each_others_key(
    endpoint: Endpoint, in_folder: Path, prefect_server: None
) -> None:
    """One that wants another secret in a variable that is in use ends with a sentence, and asks nothing."""
    Secret(value=TOKEN).save("imageloom-test-token", overwrite=True)
    Secret(value="hf_another").save("imageloom-test-another", overwrite=True)

    async def meanwhile() -> Any:
        async with secrets_in_environment({"HF_TOKEN": "imageloom-test-token"}):
            recipe = load_recipe(recipe_with_secret(endpoint, ["a cat"], "imageloom-test-another"))
            return await build_image_dataset(recipe, return_state=True)

    state = asyncio.run(meanwhile())
    assert state.message.startswith(
        "another run of this process has another secret in HF_TOKEN than the Prefect Secret"
    )
    assert TOKEN not in state.message and "hf_another" not in state.message
    assert endpoint.calls == []
    assert "HF_TOKEN" not in os.environ


def every_flow() -> dict[str, Any]:
    """The flows of the package, by name."""
    modules = [importlib.import_module(f"flows.{module.name}") for module in pkgutil.iter_modules(flows.__path__)]
    found = [each for module in modules for each in vars(module).values() if isinstance(each, Flow)]
    return {flow.name: flow for flow in found}


async def task_runs(flow_run_id: Any) -> list[Any]:
    async with get_client() as client:
        one = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
        return list(await client.read_task_runs(flow_run_filter=one))


def test_every_flow_is_tried_with_a_key() -> None:
    """The next test leaves no flow of the package out."""
    assert set(every_flow()) == set(WITH_A_KEY)


@pytest.mark.parametrize("name", WITH_A_KEY)
def test_a_run_with_a_key_among_its_parameters_fails_with_the_reason(
    name: str, endpoint: Endpoint, in_folder: Path, prefect_server: None
) -> None:
    """A run that was given a key in clear starts nothing, and says where it is and that it is to be revoked."""
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe_for(endpoint, ["a cat"])))
    parameters, place = WITH_A_KEY[name]
    state = asyncio.run(every_flow()[name](**parameters, return_state=True))
    assert state.is_failed()
    assert state.message.startswith(f"{place} holds a key")
    assert "Revoke it" in state.message and TOKEN not in state.message
    assert not endpoint.calls
    assert asyncio.run(task_runs(state.state_details.flow_run_id)) == [], "no flow run of its own was given the key"


@pytest.mark.parametrize("name", ["build-image-dataset", "preview-image-dataset", "watch-canary"])
def test_a_login_in_the_file_of_a_recipe_is_used(
    name: str, endpoint: Endpoint, in_folder: Path, prefect_server: None
) -> None:
    """A user and password in a URL of the recipe's file reach the endpoint, and get into no run's parameters."""
    recipe = recipe_for(endpoint, ["a cat"])
    recipe["task"]["image_generation_model"]["base_url"] = endpoint.url.replace("://", "://me:marked-password@")
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
    state = asyncio.run(every_flow()[name]("recipe.yaml", return_state=True))
    login = base64.b64encode(b"me:marked-password").decode()
    assert [call.headers["authorization"] for call in endpoint.calls] == [f"Basic {login}"]

    async def parameters() -> dict[Any, Any]:
        async with get_client() as client:
            runs = await client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC)
            return {run.id: run.parameters for run in runs}

    given = asyncio.run(parameters())
    assert given[state.state_details.flow_run_id]["recipe"] == "recipe.yaml"
    assert "marked-password" not in str(given)


@pytest.mark.parametrize("command", [["build"], ["preview"], ["serve", "--cron", "0 3 * * *"]])
def test_a_login_in_the_url_of_a_recipe_is_refused(command: list[str], in_folder: Path) -> None:
    """A command that would make the recipe's place a parameter refuses one with a password, without repeating it."""
    asked = [IMAGELOOM, *command, "https://me:hidden@127.0.0.1:9/recipe.yaml"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("imageloom: recipe holds a user or password in a URL")
    assert "hidden" not in done.stderr + done.stdout
