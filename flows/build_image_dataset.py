"""The flow that builds an image dataset: recipe in, Distiset on disk out."""

import asyncio
import gc
from collections.abc import Mapping
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from flows.publish_image_dataset import publish_dataset
from flows.run_secrets import refuse_secret_parameters, secrets_in_environment
from tasks_lib.build import Build
from tasks_lib.distiset import Distiset
from tasks_lib.errors import TooManyFailuresError
from tasks_lib.prefect_tasks import MOST_BATCHES_IN_PLAY, final_state, headline_of, results_in_order
from tasks_lib.publishing import check_token
from tasks_lib.recipe import PushToHub, Recipe, RecipeOrPlace, load_recipe
from tasks_lib.run_assets import write_dataset
from tasks_lib.run_events import emit_built, refusal_told
from tasks_lib.run_page import ProgressArtifact, show_report

__all__ = ["build_image_dataset", "run_name"]


def run_name() -> str:
    """Such as ``colour-shapes 2026-11-22 14:30``, in UTC; of a URL, nothing of its query."""
    recipe = flow_run.parameters.get("recipe")
    settings = recipe if isinstance(recipe, Mapping) else getattr(recipe, "__dict__", {})
    name = Path(urlsplit(recipe).path).stem if isinstance(recipe, str) else settings.get("name")
    return f"{name or 'recipe'} {flow_run.scheduled_start_time:%Y-%m-%d %H:%M}"


@flow(
    name="build-image-dataset",
    flow_run_name=run_name,
    task_runner=cast(Any, ThreadPoolTaskRunner(max_workers=MOST_BATCHES_IN_PLAY)),
    persist_result=False,
    retries=0,
)
async def build_image_dataset(
    recipe: RecipeOrPlace, limit: Annotated[int, Field(ge=1)] | None = None, overrides: dict[str, Any] | None = None
) -> Distiset:
    """Build the dataset that a recipe describes.

    Rows are cut into batches, each one task run. Every paid image is in the store the moment it arrives, so a
    run that failed, crashed or was cancelled is continued by the next one, which asks only what is missing.

    Args:
        recipe: the recipe, or the path of its YAML file.
        limit: take only the first so many rows of the prompts.
        overrides: settings by dotted key, such as {"limits.max_images": 10}.

    Returns:
        The dataset with its report; the folder of the recipe's output holds the same.
    """
    # Prefect shows the state's message, and gives the caller its data or raises its error.
    return cast(Distiset, await final_state(_build(recipe, limit, overrides), headline_of))


async def _build(given: Recipe | str, limit: int | None, overrides: dict[str, Any] | None) -> Distiset:
    # Before anything is told of it: the key may be its name.
    refuse_secret_parameters()
    with refusal_told(given):
        recipe = load_recipe(given, overrides)
    push = recipe.output.push_to_hub if limit is None else None
    async with AsyncExitStack() as secrets:
        with refusal_told(recipe):
            await secrets.enter_async_context(secrets_in_environment(recipe.secrets))
            if push:
                # Before the first image is paid for.
                await asyncio.to_thread(check_token, push.repo_id)
            distiset = await _built(recipe, limit)
        if push:
            await _publish(distiset, push)
    return distiset


async def _built(recipe: Recipe, limit: int | None) -> Distiset:
    # Else the garbage collector walks the half a million objects of imported modules time and again meanwhile:
    # measured, that made a rerun a tenth slower, and 1,000 calls of 100 ms half a second.
    gc.freeze()
    try:
        return await _run(await asyncio.to_thread(Build, recipe, limit))
    finally:
        gc.unfreeze()


async def _publish(distiset: Distiset, push: PushToHub) -> None:
    assert distiset.report is not None
    # A part of the rows never takes the place of a published whole.
    if distiset.report.every_row_asked:
        await publish_dataset(distiset.report.folder, push.repo_id, push.private)
    else:
        get_run_logger().warning("not published to %s: a cap ended the build before every row was asked.", push.repo_id)


async def _run(build: Build) -> Distiset:
    progress = ProgressArtifact(build.recipe.name)
    try:
        done = 0
        # Closed on every way out, so that no batch is at work any more when the build is closed.
        async with aclosing(results_in_order(build)) as batches:
            async for results in batches:
                await asyncio.to_thread(build.add, results)
                done += sum(len(result.ledger) for result in results)
                await progress.show(done / build.total)
        distiset = await write_dataset(build)
    except TooManyFailuresError as error:
        await show_report(error.distiset.report)
        raise
    finally:
        await asyncio.to_thread(build.close)
    assert distiset.report is not None
    await show_report(distiset.report)
    emit_built(distiset.report)
    return distiset
