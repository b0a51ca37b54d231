"""What a flow does when it cannot end well: the first error surfaces, and nothing more is asked."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.settings import PREFECT_TASK_DEFAULT_RETRIES, temporary_settings

from flows.build_image_dataset import build_image_dataset
from tasks_lib import ImageGeneration, Row, StepInput, StepOutput
from tasks_lib.errors import OutputError, StopError
from tasks_lib.recipe import load_recipe
from tasks_lib.store import ImageStore
from tests.cancelling import calls_when_cancelled
from tests.command import imageloom
from tests.endpoint import Endpoint
from tests.recipes import recipe_for


class BrokenAtSeventy(ImageGeneration):
    """Has a programming error that one row meets."""

    def format_output(self, output: Row, input: Row) -> Row:
        """Fails where the prompt ends with 70."""
        if input["prompt"].endswith(" 70"):
            raise KeyError("seventy")
        return super().format_output(output, input)


class Forgetful(ImageGeneration):
    """Breaks the contract that every row comes back."""

    def process(self, inputs: StepInput) -> StepOutput:
        """Gives the first row only."""
        yield inputs[:1]


class InTheWay(ImageGeneration):
    """Puts a folder where the dataset's card is to be written."""

    def format_output(self, output: Row, input: Row) -> Row:
        """As every one."""
        next(Path().glob(".dataset.building-*")).joinpath("README.md").mkdir()
        return super().format_output(output, input)


def many_rows(endpoint: Endpoint, **settings: Any) -> dict[str, Any]:
    prompts = [f"prompt {number}" for number in range(400)]
    return recipe_for(endpoint, prompts, batch_size=50, limits={"max_concurrency": 8}, **settings)


@pytest.mark.usefixtures("prefect_server")
def test_the_first_error_surfaces_and_the_other_batches_stop(in_folder: Path) -> None:
    """A programming error in the second batch is what the caller gets, long before every row was asked."""
    with Endpoint(latency_s=0.05) as endpoint:
        recipe = many_rows(endpoint, task={"type": f"{__name__}:BrokenAtSeventy"})
        with pytest.raises(KeyError, match="seventy"):
            asyncio.run(build_image_dataset(load_recipe(recipe)))
        assert len(endpoint.calls) < 400
    assert {path.name for path in in_folder.iterdir()} == {"store"}


@pytest.mark.usefixtures("prefect_server", "in_folder")
def test_a_stop_waits_for_what_other_batches_have_in_flight() -> None:
    """When the account runs dry, images that other batches wait for are paid for, and kept, however long they take."""
    slow = [f"{number} {{{{slow seconds=6}}}}" for number in range(5)]
    with Endpoint(latency_s=2) as endpoint:
        recipe = recipe_for(endpoint, ["{{402}}", *slow], batch_size=1, limits={"max_concurrency": 8})
        with pytest.raises(StopError, match="answered 402"):
            asyncio.run(build_image_dataset(load_recipe(recipe)))
        assert sorted(call.prompt for call in endpoint.calls) == sorted([*slow, "{{402}}"])
    assert ImageStore("store").stats().images == 5


@pytest.mark.usefixtures("prefect_server", "in_folder")
def test_a_cancelled_flow_asks_nothing_more() -> None:
    """After a cancellation at most the calls of one window still come, and no call is left in flight."""
    with Endpoint(latency_s=0.2) as endpoint:
        before = calls_when_cancelled(many_rows(endpoint), endpoint)
        assert len(endpoint.calls) <= before + 16 < 400
        assert not endpoint.in_flight


@pytest.mark.usefixtures("prefect_server", "in_folder")
def test_the_state_of_a_stopped_run_is_one_sentence(endpoint: Endpoint) -> None:
    """What people can mend stands in the state's message as it is, without a traceback."""
    recipe = recipe_for(endpoint, ["a", "b"], task={"type": f"{__name__}:Forgetful", "name": "forgetful"})
    state: Any = asyncio.run(build_image_dataset(load_recipe(recipe), return_state=True))
    assert state.is_failed()
    assert state.message.startswith("the task 'forgetful' gave 1 rows for 2 (rows 0-1) where 2 were asked")
    assert "\n" not in state.message


@pytest.mark.usefixtures("prefect_server", "in_folder")
def test_a_flow_with_retries_is_tried_again(endpoint: Endpoint) -> None:
    """With retries a build that cannot go on is tried again, and its last error is what the caller gets."""
    recipe = recipe_for(endpoint, ["a {{401 times=1}}"], limits={"max_failure_rate": 0.0})
    patient = build_image_dataset.with_options(retries=1)
    assert asyncio.run(patient(load_recipe(recipe))).report.images == 1
    with pytest.raises(StopError, match="answered 401"):
        asyncio.run(patient(load_recipe({**recipe, "prompts": ["b {{401}}"]})))


@pytest.mark.usefixtures("prefect_server", "in_folder")
def test_a_setting_for_all_flows_hides_no_error(endpoint: Endpoint) -> None:
    """Whatever Prefect's default for retries of flows and tasks, a build is tried once, and says what is wrong."""
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe_for(endpoint, ["a {{401}}"])))
    done = imageloom("build", "recipe.yaml", PREFECT_FLOWS_DEFAULT_RETRIES="1", PREFECT_TASKS_DEFAULT_RETRIES="1")
    assert "imageloom: " in done.stderr and "answered 401" in done.stderr
    assert done.returncode == 1 and len(endpoint.calls) == 1


@pytest.mark.usefixtures("prefect_server", "in_folder")
def test_a_dataset_that_cannot_be_written_is_tried_once(endpoint: Endpoint) -> None:
    """Why the folder could not be written is what the caller gets, whatever Prefect's default for retries."""
    recipe = recipe_for(endpoint, ["a"], task={"type": f"{__name__}:InTheWay"})
    with temporary_settings({PREFECT_TASK_DEFAULT_RETRIES: 1}), pytest.raises(OutputError, match=r"README\.md"):
        asyncio.run(build_image_dataset(load_recipe(recipe)))
