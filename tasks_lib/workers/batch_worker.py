"""What a worker process does: it opens the task that it is told of, and runs batches through it."""

import pickle
import socket
import threading
import traceback
from dataclasses import dataclass
from decimal import Decimal

from tasks_lib.batches import Batch, RowResult, process_batch
from tasks_lib.checks import Checks
from tasks_lib.errors import ImageloomError, StopError
from tasks_lib.generator import ImageGenerator
from tasks_lib.limits import Budget, Limits
from tasks_lib.session import GenerationSession
from tasks_lib.settings import Settings
from tasks_lib.store import ImageStore
from tasks_lib.tasks import AnyImageTask, ImageTask
from tasks_lib.workers.allowances import Allowance

__all__ = ["BatchWorker", "Order", "Outcome", "WorkerSetup"]


class WorkerSetup(Settings):
    """What a worker is told once, as JSON: the settings of a recipe, and so never a key, which its environment has."""

    task: AnyImageTask
    checks: Checks
    limits: Limits
    """With the worker's share of ``max_concurrency``."""
    store: str
    """Its location, absolute."""
    witness: str
    """A file that the flow has put there."""
    seed: int


@dataclass(frozen=True)
class Order:
    """A batch for a worker."""

    setup: str
    """A :class:`WorkerSetup` as JSON."""
    batch: Batch
    allowance: Allowance


@dataclass(frozen=True)
class Outcome:
    """What became of a batch, and what it cost; errors travel as they are, not as a cluster would wrap them."""

    rows: list[RowResult]
    images: int
    """Paid, whether or not the batch came to its end."""
    cost_usd: Decimal
    error: Exception | None = None


class BatchWorker:
    """Runs batches, one at a time, in a process of its own; a task stays open for the next batch.

    Its connections, its window and its loaded model last as long as it does.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, ImageTask] = {}
        self._one_at_a_time = threading.Lock()
        self._stopped: str | None = None

    def work(self, order: Order) -> Outcome:
        """Run a batch within its allowance."""
        with self._one_at_a_time:
            budget: Budget | None = None
            try:
                setup = WorkerSetup.model_validate_json(order.setup)
                task = self._task(order.setup, setup)
                budget = task.llm.generator.budget = _budget(order.allowance, task)
                rows = process_batch(task, order.batch, setup.checks)
            except Exception as error:  # noqa: BLE001  # the flow raises it
                return _outcome([], budget, _as_it_travels(error))
            return _outcome(rows, budget)

    def stop(self, reason: str, grace_s: float | None) -> None:
        """As :meth:`tasks_lib.generator.ImageGenerator.stop`. Returns at once."""
        self._stopped = reason
        for task in list(self._tasks.values()):
            task.llm.generator.stop(reason, grace_s)

    def close(self) -> None:
        """Let go of models and connections."""
        while self._tasks:
            self._tasks.popitem()[1].unload()

    def _task(self, key: str, setup: WorkerSetup) -> ImageTask:
        if key not in self._tasks:
            self._tasks[key] = _opened(setup)
        if self._stopped is not None:
            raise StopError(f"the run was stopped: {self._stopped}.")
        return self._tasks[key]


def _opened(setup: WorkerSetup) -> ImageTask:
    task, store = setup.task, ImageStore(setup.store)
    if store.read([setup.witness]) == [None]:
        raise StopError(
            f"the worker on {socket.gethostname()} has another store at {setup.store} than the flow, so nothing was "
            "asked. Name a folder that all machines share, or a bucket."
        )
    task.load()
    generator = ImageGenerator(task.image_generation_model, store, setup.limits)
    return task.connected_to(GenerationSession(generator, setup.seed, detailed=True))


def _budget(allowance: Allowance, task: ImageTask) -> Budget:
    cost = None if allowance.cost_usd is None else float(allowance.cost_usd)
    return Budget(allowance.images, cost, task.image_generation_model.price_per_image_usd, allowance.cap)


def _outcome(rows: list[RowResult], budget: Budget | None, error: Exception | None = None) -> Outcome:
    if budget is None:
        return Outcome(rows, 0, Decimal(0), error)
    return Outcome(rows, budget.images, budget.cost_usd, error)


def _as_it_travels(error: Exception) -> Exception:
    """An error that can be pickled; one of ours says enough, of any other its place on the worker is told as well."""
    if not isinstance(error, ImageloomError):
        error.add_note(f"On the worker:\n{traceback.format_exc()}")
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # what was pickled in the same line
    except Exception:  # noqa: BLE001  # whatever a library's exception does when it is pickled
        told = RuntimeError(f"{type(error).__name__}: {error}")
        told.__notes__ = getattr(error, "__notes__", [])
        return told
    return error
