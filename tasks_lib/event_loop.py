"""The event loop that answers requests: one for each process, in a thread of its own.

It is called the same way from a script, from a notebook whose own loop is running, and from the worker
threads and processes of Prefect, Dask and Ray.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from functools import cache
from typing import Any, TypeVar

__all__ = ["EventLoopThread", "event_loop"]

T = TypeVar("T")


class EventLoopThread:
    """A running event loop in a daemon thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="imageloom-loop", daemon=True).start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end; an interrupt of the waiting thread cancels it."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result()
        except (KeyboardInterrupt, CancelledError):
            future.cancel()
            raise


def event_loop() -> EventLoopThread:
    """The loop of this process; a forked process gets its own."""
    # Not functools.cache alone: two threads that meet here at once would get a loop each, and requests that
    # share a window over two loops wait for ever.
    with _STARTING:
        return _event_loop_of(os.getpid())


@cache
def _event_loop_of(_process_id: int) -> EventLoopThread:
    return EventLoopThread()


_STARTING = threading.Lock()
