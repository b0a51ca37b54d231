"""What a flow does when it cannot end well: the first error surfaces, and nothing more is asked."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from flows.build_image_dataset import build_image_dataset
from tasks_lib import ImageGeneration, Row, StepInput, StepOutput
from tasks_lib.errors import StopError
from tasks_lib.recipe import load_recipe
from tasks_lib.store import ImageStore
from tests.cancelling import calls_when_cancelled
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
