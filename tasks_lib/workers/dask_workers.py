"""Worker processes of Dask: of a cluster that runs already, or started on this machine."""

import logging
import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from tasks_lib.errors import LostWorkerError, MissingExtraError, RecipeError, StopError
from tasks_lib.workers.batch_worker import BatchWorker, Order, Outcome
from tasks_lib.workers.workers import Workers, lost_worker

try:
    import dask
    from distributed import Client, Event, KilledWorker, LocalCluster, get_worker
    from distributed.diagnostics.plugin import WorkerPlugin
except ImportError as error:
    raise MissingExtraError("A runner of type dask", "dask") from error

__all__ = ["DaskWorkers"]

PATIENCE_S = 10.0
"""For a scheduler to answer, and for its first worker."""


class DaskWorkers(Workers):
    """Batches as Dask tasks, at most ``count`` at once.

    Args:
        count: batches at work at once; without an address, worker processes to start.
        address: of a scheduler, or ``None``.

    Raises:
        RecipeError: the scheduler does not answer, or has no workers.
    """

    def __init__(self, count: int, address: str | None) -> None:
        super().__init__(count)
        self._name = f"imageloom-{secrets.token_hex(8)}"
        self._opened = ExitStack()
        try:
            self._opened.enter_context(_quiet())
            # Source images travel with their rows.
            self._opened.enter_context(dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GiB"}))
            self._client = self._connected(address) if address else self._started()
            self._client.register_plugin(_BatchWorkerPlugin(self._name, is_child=not address))
        except BaseException:
            self._opened.close()
            raise

    def _leave(self) -> None:
        # A scheduler that is gone has nothing left to tell.
        with self._opened, suppress(OSError, TimeoutError):
            self._client.unregister_worker_plugin(self._name)

    def _send(self, order: Order) -> Outcome:
        key = f"{self._name}-{secrets.token_hex(8)}"
        future = self._client.submit(_work, self._name, key, order, key=key, pure=False)
        try:
            outcome: Outcome = future.result()
        except (KilledWorker, LostWorkerError) as error:
            raise lost_worker(order.batch, "Dask") from error
        except Exception as error:
            raise StopError(
                f"the Dask cluster failed while it ran {order.batch.label} ({type(error).__name__}: {error}). "
                "What was paid for is in the store; see the log of its workers, then build again to go on."
            ) from error
        return outcome

    def _stop_workers(self, reason: str, grace_s: float | None) -> None:
        self._client.run(_stop, self._name, reason, grace_s, on_error="ignore")

    def _started(self) -> Client:
        cluster = LocalCluster(
            n_workers=self.count,
            threads_per_worker=1,
            memory_limit=0,
            # Any free port: nobody asked for a dashboard.
            dashboard_address="127.0.0.1:0",
            # So that a lost worker is told at once, and not after Dask has tried the batch again by itself.
            scheduler_kwargs={"allowed_failures": 0},
        )
        return self._opened.enter_context(Client(self._opened.enter_context(cluster), set_as_default=False))

    def _connected(self, address: str) -> Client:
        try:
            client = self._opened.enter_context(Client(address, timeout=PATIENCE_S, set_as_default=False))
            client.wait_for_workers(1, timeout=PATIENCE_S)
        except (OSError, ValueError) as error:  # a TimeoutError is an OSError
            raise RecipeError(
                f"runner.address: no Dask cluster with workers answers at {address} within {PATIENCE_S:g} s "
                f"({type(error).__name__}: {error}). Start it, or leave the address out for workers on this machine."
            ) from error
        return client


@contextmanager
def _quiet() -> Iterator[None]:
    """What becomes of workers is told by errors; Dask logs every connection."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


class _BatchWorkerPlugin(WorkerPlugin):  # type: ignore[misc]  # untyped
    """Keeps a batch worker in each worker process, also in those that come later."""

    def __init__(self, name: str, is_child: bool) -> None:
        self.name = name
        self._is_child = is_child
        self.batches: BatchWorker

    def setup(self, worker: Any) -> None:
        if self._is_child:
            # Ctrl-C is for the flow, which lets what is in flight arrive.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.batches = BatchWorker()

    def teardown(self, worker: Any) -> None:
        self.batches.close()


def _work(name: str, key: str, order: Order) -> Outcome:
    begun = Event(key)
    if begun.is_set():
        # Dask runs a task again whose worker was lost; that is for the flow to do, which first settles what is spent.
        raise LostWorkerError
    begun.set()
    outcome: Outcome = get_worker().plugins[name].batches.work(order)
    return outcome


def _stop(name: str, reason: str, grace_s: float | None, dask_worker: Any) -> None:
    if name in dask_worker.plugins:
        dask_worker.plugins[name].batches.stop(reason, grace_s)
