"""The Prefect tasks and what they show; with flows/ the only importer of Prefect.

A batch is one task run, not an image: a task run costs the server about 25 ms, whatever it does.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Sequence
from typing import Any, cast
from uuid import UUID

from prefect import task
from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import SyncClientContext
from prefect.futures import PrefectFuture, wait
from prefect.states import Completed, Failed
from prefect.tasks import Task
from prefect.utilities.annotations import opaque

from tasks_lib.batches import Batch, BatchResult, RowResult, process_batch
from tasks_lib.build import Build
from tasks_lib.checks import Checks
from tasks_lib.distiset import Distiset
from tasks_lib.errors import ImageloomError, StopError
from tasks_lib.flights import look_at
from tasks_lib.report import BuildReport, dollars
from tasks_lib.tasks import ImageTask

__all__ = ["BATCHES_IN_PLAY", "ProgressArtifact", "final_state", "results_in_order", "run_image_task", "show_report"]

BATCHES_IN_PLAY = 8
"""Batches submitted and not yet consumed: with 128 rows each, 16 times 64 calls in flight."""
SECONDS_BETWEEN_UPDATES = 2.0
SECONDS_BETWEEN_TELLINGS = 0.5


def _is_a_fault_of_the_machine(task: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:
    """Endpoint faults were retried by the generator, and a failing store ends the run; a lost share is tried again."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, OSError)


@task(
    name="run-image-task",
    task_run_name="{label}",
    retries=2,
    retry_delay_seconds=[1, 10],
    retry_condition_fn=_is_a_fault_of_the_machine,
    # The store is the one cache: what a batch paid for is found there.
    cache_policy=NO_CACHE,
    persist_result=False,
)
def run_image_task(image_task: ImageTask, batch: Batch, checks: Checks, label: str) -> BatchResult:
    """Run an image task over one batch.

    Args:
        image_task: connected to a generator with a store; see :func:`tasks_lib.build.connected_task`.
        batch: the rows.
        checks: what an image must pass.
        label: the name of the task run.

    Raises:
        StopError: the run cannot go on; the task run fails with its one sentence.
    """
    try:
        return BatchResult(process_batch(image_task, batch, checks))
    except StopError as error:
        return cast(BatchResult, _failed(error))


async def final_state(building: Awaitable[Distiset]) -> State[Distiset]:
    """The state in which a flow ends, with a message for people.

    A message of ours is enough to act on; any other exception passes, and Prefect logs its traceback.
    """
    try:
        distiset = await building
    except ImageloomError as error:
        return cast(State[Distiset], _failed(error))
    return Completed(message=distiset.report.headline if distiset.report else None, data=distiset)


def _failed(error: ImageloomError) -> State[Any]:
    return Failed(message=str(error), data=error)


async def results_in_order(build: Build) -> AsyncGenerator[list[RowResult]]:
    """Send the batches of a build through the flow's task runner and give their results in order.

    Close it (:func:`contextlib.aclosing`): when a batch fails or the flow is cancelled, the batches in play ask
    nothing more and are waited for.

    Raises:
        Exception: of the first batch, in order, that failed.
    """
    pending: deque[PrefectFuture[BatchResult]] = deque()
    # Task runs take the client they find here; without, each makes its own, at 30 ms of CPU for its TLS.
    with SyncClientContext.get_or_create():
        try:
            batches = build.batches()
            # Off the loop: cutting the batches of image editing reads and checks their source images.
            while batch := await asyncio.to_thread(next, batches, None):
                pending.append(_submit(build, batch))
                if len(pending) == BATCHES_IN_PLAY:
                    yield await _result(build, pending[0])
                    pending.popleft()
            while pending:
                yield await _result(build, pending[0])
                pending.popleft()
        finally:
            if pending:
                await _stop(build, pending)


async def _result(build: Build, future: PrefectFuture[BatchResult]) -> list[RowResult]:
    """Wait off the loop, telling meanwhile how far the build is: a batch may take minutes."""
    waiting = asyncio.ensure_future(asyncio.to_thread(future.result))
    waiting.add_done_callback(look_at)
    while not waiting.done():
        build.tell()
        await asyncio.wait({waiting}, timeout=SECONDS_BETWEEN_TELLINGS)
    return waiting.result().rows


def _submit(build: Build, batch: Batch) -> PrefectFuture[BatchResult]:
    # Unless opaque, Prefect walks every row looking for futures.
    task, rows = cast(ImageTask, opaque(build.task)), cast(Batch, opaque(batch))
    return run_image_task.submit(task, rows, build.recipe.checks, batch.label)


async def _stop(build: Build, pending: Sequence[PrefectFuture[BatchResult]]) -> None:
    build.task.llm.generator.stop("another batch failed, or the run was cancelled")
    await asyncio.to_thread(wait, list(pending))


class ProgressArtifact:
    """A progress bar on the flow run's page, moved at most every two seconds."""

    def __init__(self) -> None:
        self._id: UUID | None = None
        self._updated = 0.0

    async def show(self, share: float) -> None:
        """Move it.

        Args:
            share: from 0 to 1.
        """
        percent = round(100 * share, 1)
        if self._id is None:
            created = await acreate_progress_artifact(progress=percent, description="Images accounted for")
            self._id = created if isinstance(created, UUID) else None
        elif share >= 1 or time.monotonic() - self._updated > SECONDS_BETWEEN_UPDATES:
            await aupdate_progress_artifact(self._id, progress=percent)
        else:
            return
        self._updated = time.monotonic()


async def show_report(report: BuildReport) -> None:
    """Put counts, cost, reasons and the way to the dataset on the flow run's page."""
    await acreate_table_artifact(
        key="imageloom-counts",
        table=[{"status": status, "images": count} for status, count in report.counts.items()],
        description=f"{report.headline}; {dollars(report.total_usd)} for all images of the dataset.",
    )
    if report.reasons:
        await acreate_table_artifact(
            key="imageloom-reasons",
            table=[{"images": count, "reason": reason} for reason, count in report.reasons.items()],
            description="Why images are missing, most frequent first",
        )
    lines = "\n".join(f"| {name} | {value} |" for name, value in report.lines())
    await acreate_markdown_artifact(
        key="imageloom-report", markdown=f"# {report.name}\n\n| | |\n|---|---|\n{lines}\n", description=report.headline
    )
