"""The event loop that answers requests: one for each process, in a thread of its own.

It is called the same way from a script, from a notebook whose own loop is running, and from the worker
threads and processes of Prefect, Dask and Ray.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

__all__ = ["EventLoopThread", "event_loop"]

T = TypeVar("T")

WORKERS = 32
"""Threads for what would hold the loop up, such as a provider's image that its helper downloads."""

TIDYING_S = 2.0
"""Seconds that an interrupted coroutine may take to tidy up."""

_STARTING = threading.Lock()
"""Two threads must not start a loop each."""


class EventLoopThread:
    """A running event loop in a daemon thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(ThreadPoolExecutor(WORKERS, thread_name_prefix="imageloom-worker"))
        self._thread = threading.Thread(target=self.loop.run_forever, name="imageloom-loop", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end.

        Where the waiting thread is interrupted, the coroutine is cancelled, and its own tidying up awaited.

        Raises:
            RuntimeError: called on the loop itself, which would wait for ever.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("a model or task called process() or generate() from Imageloom's own event loop")
        ended = threading.Event()
        future: Future[T] = asyncio.run_coroutine_threadsafe(_telling(coroutine, ended), self.loop)
        try:
            return future.result()
        finally:
            if not future.done():
                future.cancel()
                ended.wait(TIDYING_S)


async def _telling(coroutine: Coroutine[Any, Any, T], ended: threading.Event) -> T:
    try:
        return await coroutine
    finally:
        ended.set()


def event_loop() -> EventLoopThread:
    """The loop of this process; a forked process gets its own."""
    with _STARTING:
        return _event_loop_of(os.getpid())


@cache
def _event_loop_of(_process_id: int) -> EventLoopThread:
    return EventLoopThread()
