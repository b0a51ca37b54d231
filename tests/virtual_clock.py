"""An event loop whose clock jumps: what would take minutes takes milliseconds, and takes them exactly."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["run_on_virtual_clock"]

T = TypeVar("T")


def run_on_virtual_clock(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing but time and other coroutines; `loop.time()` starts at 0 seconds."""
    loop = _VirtualClockLoop(_JumpingSelector())
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


class _JumpingSelector(selectors.SelectSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("nothing will ever happen: every coroutine waits for another")
        self.now += timeout
        return []


class _VirtualClockLoop(asyncio.SelectorEventLoop):
    def __init__(self, selector: _JumpingSelector) -> None:
        super().__init__(selector)
        self._clock = selector

    def time(self) -> float:
        return self._clock.now
