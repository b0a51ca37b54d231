"""Worker processes of Ray: of a cluster that runs already, or started on this machine."""

import logging
import socket
import threading
from collections import deque
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

from tasks_lib.errors import MissingExtraError, RecipeError, StopError
from tasks_lib.workers.batch_worker import BatchWorker, Order, Outcome
from tasks_lib.workers.workers import Workers, lost_worker

try:
    import ray
    from ray.exceptions import RayActorError, RayError
except ImportError as error:
    raise MissingExtraError("A runner of type ray", "ray") from error

__all__ = ["RayWorkers"]

PATIENCE_S = 10.0
"""For a cluster to answer."""
OBJECT_STORE_BYTES = 128 * 2**20
"""Shared memory for what travels: batches and their rows."""


class RayWorkers(Workers):
    """Batches by Ray actors, each a process that runs one batch at a time.

    Args:
        count: how many actors.
        address: of a cluster, or ``None`` to start one here.
        gpus_per_worker: what Ray sets aside for each.

    Raises:
        RecipeError: the cluster does not answer.
    """

    def __init__(self, count: int, address: str | None, gpus_per_worker: float) -> None:
        super().__init__(count)
        self._opened = ExitStack()
        # One whose cluster was opened by the caller is left to the caller.
        if not ray.is_initialized():
            _open_cluster(count, address)
            self._opened.callback(ray.shutdown)
        # The second thread is for stop(). What is run again is for the flow to say, or an allowance is spent twice.
        self._new_actor = ray.remote(
            num_cpus=1, num_gpus=gpus_per_worker, max_concurrency=2, max_restarts=0, max_task_retries=0
        )(BatchWorker).remote
        self._lock = threading.Lock()
        self._idle: deque[Any] = deque(self._new_actor() for _ in range(count))
        self._actors = set(self._idle)

    def _leave(self) -> None:
        with self._opened:
            for actor in self._actors:
                ray.kill(actor)

    def _send(self, order: Order) -> Outcome:
        actor = self._idle.popleft()
        try:
            outcome: Outcome = ray.get(actor.work.remote(order))
        except RayActorError as error:
            actor = self._replaced(actor)
            raise lost_worker(order.batch, "Ray") from error
        except RayError as error:
            raise StopError(
                f"the Ray cluster failed while it ran {order.batch.label} ({type(error).__name__}: {error}). "
                "What was paid for is in the store; see the log of its workers, then build again to go on."
            ) from error
        finally:
            self._idle.append(actor)
        return outcome

    def _stop_workers(self, reason: str, grace_s: float | None) -> None:
        with self._lock:
            for actor in self._actors:
                actor.stop.remote(reason, grace_s)

    def _replaced(self, lost: Any) -> Any:
        with self._lock:
            # It may only be out of reach.
            ray.kill(lost)
            self._actors.discard(lost)
            actor = self._new_actor()
            self._actors.add(actor)
        return actor


def _open_cluster(count: int, address: str | None) -> None:
    # What becomes of workers is told by errors.
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address is None:
        ray.init(
            address="local",
            num_cpus=count,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            **settings,
        )
        return
    try:
        if address != "auto":
            _reach(address)
        ray.init(address=address, **settings)
    except (OSError, RuntimeError, ValueError) as error:  # a ConnectionError is an OSError
        raise RecipeError(
            f"runner.address: no Ray cluster answers at {address} ({type(error).__name__}: {error}). "
            "Start it, or leave the address out for workers on this machine."
        ) from error


def _reach(address: str) -> None:
    """Ray itself would try for many minutes."""
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    socket.create_connection((parts.hostname or "", parts.port or 10001), timeout=PATIENCE_S).close()
