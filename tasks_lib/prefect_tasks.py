"""The Prefect tasks; with flows/ and the rooms of a run's page, events and assets the only importer of Prefect.

A batch is one task run, not an image: a task run costs the server about 25 ms, whatever it does.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext, SyncClientContext
from prefect.futures import PrefectFuture, wait
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed
from prefect.tasks import Task
from prefect.utilities.annotations import opaque

from tasks_lib.batches import Batch, BatchResult, RowResult, process_batch
from tasks_lib.build import Build
from tasks_lib.checks import Checks
from tasks_lib.distiset import Distiset
from tasks_lib.errors import ImageloomError, LostWorkerError, StopError
from tasks_lib.flights import look_at
from tasks_lib.generator import ImageGenerator
from tasks_lib.recipe import Recipe
from tasks_lib.runners import ThreadRunner
from tasks_lib.tasks import ImageTask
from tasks_lib.workers import Workers, open_workers

__all__ = [
    "BATCHES_IN_PLAY",
    "MOST_BATCHES_IN_PLAY",
    "final_state",
    "headline_of",
    "result_of",
    "results_in_order",
    "run_image_task",
]

Result = TypeVar("Result")

BATCHES_IN_PLAY = 8
"""Batches submitted and not yet consumed: with 128 rows each, 16 times 64 calls in flight."""
MOST_BATCHES_IN_PLAY = 512
"""The same with as many workers as a recipe may have: two for each, so that none waits for the slowest."""
SECONDS_BETWEEN_TELLINGS = 0.5


def _is_a_fault_of_the_machine(task: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:
    """Endpoint faults were retried by the generator, and a failing store ends the run; a lost share is tried again."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, (LostWorkerError, OSError))


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
def run_image_task(
    image_task: ImageTask, batch: Batch, checks: Checks, label: str, workers: Workers | None = None
) -> BatchResult:
    """Run an image task over one batch.

    Args:
        image_task: connected to a generator with a store; see :func:`tasks_lib.build.connected_task`.
        batch: the rows.
        checks: what an image must pass.
        label: the name of the task run.
        workers: other processes that run it while this task run waits; see :func:`tasks_lib.workers.open_workers`.

    Raises:
        StopError: the run cannot go on; the task run fails with its one sentence.
    """
    try:
        process = workers.run if workers else process_batch
        return BatchResult(process(image_task, batch, checks))
    except StopError as error:
        return cast(BatchResult, _failed(error))


async def final_state(ending: Awaitable[Result], headline: Callable[[Result], str | None]) -> State[Result] | Result:
    """What a flow returns: the state in which it ends, with a message for people.

    A message of ours is enough to act on; any other exception passes, and Prefect logs its traceback. A flow that was
    given retries gets plain values and errors: Prefect tries again only after an exception, and then forgets states.

    Args:
        ending: gives the flow's result.
        headline: the message of a result.

    Raises:
        ImageloomError: of a flow that has retries.
    """
    context = FlowRunContext.get()
    retried = context and context.flow_run and context.flow_run.empirical_policy.retries
    try:
        result = await ending
    except ImageloomError as error:
        if retried:
            raise
        return _failed(error)
    return result if retried else Completed(message=headline(result), data=result)


def headline_of(distiset: Distiset) -> str | None:
    """What the state of a build says; nothing of a Distiset that was put together."""
    return distiset.report.headline if distiset.report else None


def _failed(error: ImageloomError) -> State[Any]:
    return Failed(message=str(error), data=error)


async def results_in_order(build: Build) -> AsyncGenerator[list[RowResult]]:
    """Send the batches of a build through the flow's task runner and give their results in order.

    Each is a task run of the flow's process, which does the work itself or, with another ``runner``, waits for a worker
    that does. Workers know nothing of Prefect: its own runners for Dask and Ray would send them the settings of this
    process with every batch, API key included, and could neither keep a cap nor stop a batch at work.

    Close it (:func:`contextlib.aclosing`): when a batch fails or the flow is cancelled, the batches in play ask
    nothing more and are waited for, so that what is in flight is kept; once cancelled, for a few seconds.

    Raises:
        Exception: of the first batch, in order, that failed.
    """
    pending: deque[PrefectFuture[BatchResult]] = deque()
    # Task runs take the client they find here; without, each makes its own, at 30 ms of CPU for its TLS.
    async with _workers_for(build.recipe) as workers:
        in_play = max(BATCHES_IN_PLAY, 2 * workers.count) if workers else BATCHES_IN_PLAY
        with SyncClientContext.get_or_create():
            try:
                batches = build.batches()
                # Off the loop: cutting the batches of image editing reads and checks their source images.
                while batch := await asyncio.to_thread(next, batches, None):
                    pending.append(_submit(build, batch, workers))
                    if len(pending) == in_play:
                        yield await _rows(build, pending[0])
                        pending.popleft()
                while pending:
                    yield await _rows(build, pending[0])
                    pending.popleft()
            finally:
                if pending:
                    await _end(workers or build.task.llm.generator, pending)


@asynccontextmanager
async def _workers_for(recipe: Recipe) -> AsyncIterator[Workers | None]:
    """The processes that the recipe's runner asks for; ``None`` where this one does the work."""
    if isinstance(recipe.runner, ThreadRunner):
        yield None
        return
    opening = asyncio.ensure_future(asyncio.to_thread(open_workers, recipe.runner, recipe.limits.max_concurrency))
    try:
        workers = await asyncio.shield(opening)
    except asyncio.CancelledError:
        await asyncio.to_thread((await opening).close)
        raise
    if workers.count < recipe.runner.workers:
        get_run_logger().warning(
            "limits.max_concurrency is %d, so %d of %d workers are used.",
            recipe.limits.max_concurrency,
            workers.count,
            recipe.runner.workers,
        )
    try:
        yield workers
    finally:
        await asyncio.to_thread(workers.close)


async def result_of(future: PrefectFuture[Result], tell: Callable[[], Awaitable[None]]) -> Result:
    """The result of a task run, awaited off the loop, while people are told how far it is: it may take minutes.

    Args:
        future: of the task run.
        tell: called at once, and every half second until it has ended.

    Raises:
        Exception: with which the task run failed.
    """
    waiting = asyncio.ensure_future(asyncio.to_thread(future.result))
    waiting.add_done_callback(look_at)
    while not waiting.done():
        await tell()
        await asyncio.wait({waiting}, timeout=SECONDS_BETWEEN_TELLINGS)
    return waiting.result()


async def _rows(build: Build, future: PrefectFuture[BatchResult]) -> list[RowResult]:
    async def tell() -> None:
        build.tell()

    return (await result_of(future, tell)).rows


def _submit(build: Build, batch: Batch, workers: Workers | None) -> PrefectFuture[BatchResult]:
    # Unless opaque, Prefect walks every row looking for futures.
    task, rows, others = cast(ImageTask, opaque(build.task)), cast(Batch, opaque(batch)), cast(Any, opaque(workers))
    return run_image_task.submit(task, rows, build.recipe.checks, batch.label, others)


async def _end(at_work: Workers | ImageGenerator, pending: Sequence[PrefectFuture[BatchResult]]) -> None:
    """Let batches in play end: without a hurry, because what is in flight has to be paid for, unless people wait."""
    ended = asyncio.ensure_future(asyncio.to_thread(wait, list(pending)))
    ended.add_done_callback(look_at)
    task = asyncio.current_task()
    try:
        if not (task and task.cancelling()):
            await asyncio.to_thread(at_work.stop, "another batch failed", None)
            await asyncio.shield(ended)
    finally:
        if not ended.done():
            await asyncio.to_thread(at_work.stop, "it was cancelled")
            await ended
