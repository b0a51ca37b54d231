"""The flow that builds a small recipe time and again, and alarms when pass rate, seconds or price get worse."""

import json
from pathlib import Path
from typing import Annotated, Any, cast

from prefect import flow
from prefect.artifacts import acreate_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort
from prefect.runtime import flow_run
from pydantic import Field

from flows.build_image_dataset import build_image_dataset, run_name
from flows.run_secrets import refuse_secret_parameters
from tasks_lib.canary import Comparison, Figures, Thresholds, compare, measure
from tasks_lib.errors import ImageloomError
from tasks_lib.prefect_tasks import final_state
from tasks_lib.recipe import Recipe, RecipeOrPlace
from tasks_lib.run_page import history_key

__all__ = ["watch_canary"]


@flow(name="watch-canary", flow_run_name=run_name, persist_result=False, retries=0)
async def watch_canary(
    recipe: RecipeOrPlace,
    overrides: dict[str, Any] | None = None,
    last_runs: Annotated[int, Field(ge=1, le=100)] = 5,
    pass_rate_drop: Annotated[float, Field(ge=0, le=1)] = 0.1,
    seconds_rise: Annotated[float, Field(ge=0, le=100)] = 0.5,
    cost_rise: Annotated[float, Field(ge=0, le=100)] = 0.1,
) -> Comparison:
    """Build a small recipe with new images, and fail with one sentence when it got worse than in the last runs.

    Every image is asked and paid, each time. The first runs are only collected. A build that fails by itself, with a
    rejected key or more failures than limits.max_failure_rate, fails the run as well and is not compared.

    The history is the table that each run leaves on its page: Prefect keeps it for all workers, under the recipe's
    name. Delete the tables there, or rename the recipe, to begin anew.

    Args:
        recipe: the recipe, or the path of its YAML file.
        overrides: settings by dotted key.
        last_runs: runs to compare with, by their median.
        pass_rate_drop: how much the share of good images may fall: 0.1 alarms at 89 % after 100 %.
        seconds_rise: how much the median seconds of an image may rise: 0.5 is by half.
        cost_rise: how much the price of an image may rise: 0.1 is by a tenth.
    """
    thresholds = Thresholds(pass_rate_drop, seconds_rise, cost_rise)
    ending = _compared(recipe, overrides, last_runs, thresholds)
    return cast(Comparison, await final_state(ending, lambda comparison: comparison.headline))


async def _compared(
    recipe: Recipe | str, overrides: dict[str, Any] | None, last_runs: int, thresholds: Thresholds
) -> Comparison:
    refuse_secret_parameters()
    # The recipe as it was given: a login in a URL may stand in its file, and not among the parameters of a run.
    built = await build_image_dataset(recipe, overrides={**(overrides or {}), **_anew()})
    assert built.report is not None
    key = history_key(built.report.name, "canary")
    comparison = compare(measure(Path(built.report.folder)), await _earlier(key, last_runs), last_runs, thresholds)
    await acreate_table_artifact(table=comparison.rows(), key=key, description=comparison.headline)
    if comparison.alarms:
        raise ImageloomError(comparison.headline)
    return comparison


def _anew() -> dict[str, Any]:
    """What makes a build ask: a store without images, and seeds that no cache of a provider has seen."""
    run_id = str(flow_run.id)
    return {
        "store": f"memory://canary-{run_id}",
        "seed": int(run_id[:8], 16),
        # Whose memory that is.
        "runner": {"type": "thread"},
        "output.push_to_hub": None,
    }


async def _earlier(key: str, last_runs: int) -> list[Figures]:
    """The figures of the last runs, the last one first."""
    async with get_client() as client:
        tables = await client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])),
            sort=ArtifactSort.CREATED_DESC,
            limit=last_runs,
        )
    return [Figures.from_rows(json.loads(str(table.data))) for table in tables]
