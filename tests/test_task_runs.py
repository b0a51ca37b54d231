"""How many task runs a build makes: each costs the Prefect server time and disk, whatever it does."""

import asyncio
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import TaskRun

from flows.build_image_dataset import build_image_dataset
from tasks_lib.recipe import load_recipe
from tests.processes import wait_until
from tests.recipes import drawn_by

FLAT = {"type": "tests.custom_tasks:FlatColour", "side": 1}


@pytest.mark.usefixtures("prefect_server", "in_folder")
def test_a_thousand_images_are_at_most_sixteen_task_runs() -> None:
    """A build of 1,000 images makes at most 16 task runs, as the server counts them, and they hold every row."""
    recipe = load_recipe(drawn_by(FLAT, [f"prompt {number}" for number in range(1000)], marking="none"))
    state: Any = asyncio.run(build_image_dataset(recipe, return_state=True))
    assert state.message.startswith("1,000 of 1,000 images")
    names = [run.name for run in task_runs_of(state.state_details.flow_run_id)]
    assert len(names) <= 16
    rows = [map(int, name.removeprefix("rows ").split("-")) for name in names if name.startswith("rows ")]
    assert sum(last - first + 1 for first, last in rows) == 1000


def task_runs_of(flow_run_id: Any) -> list[TaskRun]:
    """All of a build that has ended."""
    made = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    with get_client(sync_client=True) as client:

        def all_kept() -> list[TaskRun] | None:
            runs = client.read_task_runs(flow_run_filter=made)
            ended = any(run.name == "write dataset" and run.state and run.state.is_final() for run in runs)
            return runs if ended else None

        # They are recorded in order, a moment after they happen, and this one is the last.
        kept: list[TaskRun] = wait_until(all_kept, 60, "the last task run")
        return kept
