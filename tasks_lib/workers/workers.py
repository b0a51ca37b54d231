"""Worker processes as a flow sees them: it gives them batches, each with its allowance, and takes the rows back."""

import secrets
import threading
from abc import ABC, abstractmethod

import fsspec

from tasks_lib.batches import Batch, RowResult
from tasks_lib.checks import Checks
from tasks_lib.errors import LostWorkerError, RecipeError, StopError
from tasks_lib.flights import GRACE_S
from tasks_lib.images import file_name_of, url_of
from tasks_lib.limits import Budget
from tasks_lib.runners import check_workers_understand
from tasks_lib.store import ImageStore
from tasks_lib.tasks import ImageTask
from tasks_lib.workers.allowances import Allowance, Allowances
from tasks_lib.workers.batch_worker import Order, Outcome, WorkerSetup

__all__ = ["Workers", "lost_worker"]


class Workers(ABC):
    """Worker processes, each of which runs one batch at a time.

    The caps of a run hold over all of them: each has its share of ``max_concurrency``, and each batch an allowance of
    images and dollars, set aside when it is sent and settled when its rows come back.

    Args:
        count: how many batches are at work at once.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = count
        self._waiting: list[int] = []
        self._allowances: dict[Budget, Allowances] = {}
        self._witnesses: dict[str, str] = {}
        self._changed = threading.Condition()
        self._stopped: Exception | None = None

    def run(self, task: ImageTask, batch: Batch, checks: Checks) -> list[RowResult]:
        """Have a batch run by a worker, waiting for one that is free; batches go in the order of their rows.

        Args:
            task: connected to a generator with a store; see :func:`tasks_lib.build.connected_task`.
            batch: the rows.
            checks: what an image must pass.

        Raises:
            LostWorkerError: its worker was lost; the batch may be run again.
            StopError: :meth:`stop` was called.
            Exception: what :func:`tasks_lib.batches.process_batch` raised there.
        """
        outcome = self._run(task, batch, checks)
        rows = outcome.rows
        # Damaged images use an allowance up while the run may have room; what is paid for is in the store.
        while outcome.images and any(map(_was_asked_in_part, rows)):
            outcome = self._run(task, batch, checks)
            rows = [new if _was_asked_in_part(old) else old for old, new in zip(rows, outcome.rows, strict=True)]
        return rows

    def _run(self, task: ImageTask, batch: Batch, checks: Checks) -> Outcome:
        order = self._order(task, batch, checks)
        outcome = None
        try:
            outcome = self._send(order)
        finally:
            self._settle(task, order.allowance, outcome)
        if outcome.error is None:
            return outcome
        if isinstance(outcome.error, OSError):
            # A lost share: the batch may be run again.
            raise outcome.error
        # Whatever it is, the other batches would meet it too; what they are told of it is not what people read.
        raise self._end(outcome.error)

    def stop(self, reason: str, grace_s: float | None = GRACE_S) -> None:
        """Ask nothing from now on: batches that wait end at once, those at work when what is in flight has arrived.

        Args:
            reason: what the error says, such as "cancelled".
            grace_s: seconds for that; ``None`` is as long as the model's ``timeout_s`` allows.
        """
        error = StopError(f"the run was stopped: {reason}. What was paid for is in the store; build again to go on.")
        self._end(error, grace_s)

    def close(self) -> None:
        """End the workers, or leave the cluster they belong to."""
        try:
            for url in self._witnesses.values():
                filesystem, path = fsspec.core.url_to_fs(url)
                filesystem.rm_file(path)
        finally:
            self._leave()

    @abstractmethod
    def _leave(self) -> None:
        """End what was opened."""

    @abstractmethod
    def _send(self, order: Order) -> Outcome:
        """Have a worker run it, and wait."""

    @abstractmethod
    def _stop_workers(self, reason: str, grace_s: float | None) -> None:
        """Tell every worker."""

    def _order(self, task: ImageTask, batch: Batch, checks: Checks) -> Order:
        setup = self._setup(task, checks)
        return Order(setup, batch, self._take(task, batch))

    def _setup(self, task: ImageTask, checks: Checks) -> str:
        generator = task.llm.generator
        assert generator.store is not None
        share = generator.limits.max_concurrency // self.count
        if share < 1:
            raise RecipeError(
                f"limits.max_concurrency ({generator.limits.max_concurrency}) is less than the {self.count} workers "
                "that are open: open fewer, or raise it."
            )
        check_workers_understand(task)
        return WorkerSetup(
            task=task,
            checks=checks,
            limits=generator.limits.model_copy(
                update={"max_concurrency": share, "max_images": None, "max_cost_usd": None}
            ),
            store=generator.store.location,
            witness=self._witness_in(generator.store),
            seed=task.llm.seed,
        ).model_dump_json()

    def _witness_in(self, store: ImageStore) -> str:
        with self._changed:
            if store.location not in self._witnesses:
                reference = store.put_file(secrets.token_bytes(16), "witness")
                self._witnesses[store.location] = url_of(reference)
            return file_name_of(self._witnesses[store.location])

    def _take(self, task: ImageTask, batch: Batch) -> Allowance:
        """Wait for a free worker and for what the batch may spend."""
        budget = task.llm.generator.budget
        wanted = len(batch.rows) * task.num_generations
        with self._changed:
            allowances = self._allowances.setdefault(budget, Allowances(budget))
            self._waiting.append(batch.start)
            try:
                while True:
                    if self._stopped is not None:
                        raise self._stopped
                    is_next = self._free > 0 and batch.start == min(self._waiting)
                    allowance = allowances.give(wanted) if is_next else None
                    if allowance is not None:
                        self._free -= 1
                        return allowance
                    self._changed.wait()
            finally:
                self._waiting.remove(batch.start)
                self._changed.notify_all()

    def _settle(self, task: ImageTask, allowance: Allowance, outcome: Outcome | None) -> None:
        with self._changed:
            allowances = self._allowances[task.llm.generator.budget]
            if outcome is None:
                allowances.write_off(allowance)
            else:
                allowances.settle(allowance, outcome.images, outcome.cost_usd)
            self._free += 1
            self._changed.notify_all()

    def _end(self, error: Exception, grace_s: float | None = None) -> Exception:
        """End every batch with the first error there was, which is given back."""
        with self._changed:
            is_first = self._stopped is None
            self._stopped = self._stopped or error
            self._changed.notify_all()
        if is_first or grace_s is not None:
            self._stop_workers(str(self._stopped), grace_s)
        return self._stopped


def _was_asked_in_part(row: RowResult) -> bool:
    return any(entry["status"] == "not_asked" for entry in row.ledger)


def lost_worker(batch: Batch, kind: str) -> LostWorkerError:
    """The error for a batch whose worker was lost, and what to do where that comes again and again."""
    return LostWorkerError(
        f"a {kind} worker was lost while it ran {batch.label}. What it had stored is kept; see its log and, if it "
        "ran out of memory, give it smaller batches (batch_size) or a larger machine, then build again."
    )
