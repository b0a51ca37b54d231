"""How many calls may be in flight: a window that finds out how many the endpoint takes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tasks_lib.errors import ThrottledError
from tasks_lib.waiting_line import WaitingLine

__all__ = ["ConcurrencyLimit"]

TOLERANCE = 3.0
"""Throttled calls that may come together before they count."""
FORGIVENESS = 0.25
"""How much of a throttled call an answer makes good: one in five may be throttled for reasons of its own."""
PATIENCE = 24
"""Answers to wait for before trying again what failed; four windows, where that is more."""


class ConcurrencyLimit:
    """A sliding window over the calls in flight, between 1 and a maximum.

    It starts at the maximum, and works by four rules, in the manner of additive increase and multiplicative
    decrease (Chiu and Jain, 1989):

    - **Evidence.** A throttled call alone means little: some endpoints throttle at random. Each adds one to a
      suspicion, each answer takes a quarter of one off, and only at three the window acts.
    - **Cut.** A window that has held is halved, and opens no sooner than ``Retry-After``. The calls begun
      before then do not cut again, but where they are throttled too, the window closes down to those that were
      not: that many the endpoint takes.
    - **Grow.** After a whole window of answers it grows by one, and by twice as much after each step that held.
    - **Undo.** A step that does not hold is undone, and tried again only after many answers. Then the first
      throttled call is evidence enough.

    Lives on the event loop.

    Args:
        maximum: most calls in flight, at least 1.
        longest_pause_s: seconds the window stays closed at most, whatever ``Retry-After`` says.
    """

    def __init__(self, maximum: int, longest_pause_s: float = 300.0) -> None:
        self.maximum = self.window = maximum
        self.in_flight = 0
        self._longest_pause_s = longest_pause_s
        self._line = WaitingLine(self._take, self._leave)
        self._opens_at: float | None = None
        self._epoch = 0
        self._suspicion = 0.0
        self._answers = self._needed = maximum
        """Answers since the window changed; it holds once they are as many as the window."""
        self._step = 0
        """How much the window has just grown; 0 when it was cut or undone."""
        self._held = 1
        """The window to which an undone step falls back."""
        self._failed_before = False

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a place in the window and hold it; a :class:`ThrottledError` inside counts against the window."""
        epoch = await self._line.enter()
        try:
            yield
        except ThrottledError as error:
            self._throttled(epoch, error.retry_after or 0.0)
            raise
        else:
            self._answered(epoch)
        finally:
            self._leave()
            self._line.serve()

    def _take(self) -> int | None:
        """A place in the window is the epoch in which its call begins."""
        if self.in_flight >= self.window or self._opens_at is not None:
            return None
        self.in_flight += 1
        return self._epoch

    def _leave(self) -> None:
        self.in_flight -= 1

    def _answered(self, epoch: int | None) -> None:
        self._suspicion = max(0.0, self._suspicion - FORGIVENESS)
        # A window that is not full proves nothing, nor does a call from before the last cut.
        self._answers += self.in_flight >= self.window and epoch == self._epoch
        if self._answers >= self._needed and self.window < self.maximum:
            self._grow()

    def _grow(self) -> None:
        self._held = self.window
        self._step = min(max(1, 2 * self._step), self.maximum - self.window)
        self.window += self._step
        self._answers, self._needed = 0, self.window
        if self._failed_before:
            self._suspicion = TOLERANCE
            self._failed_before = False

    def _throttled(self, epoch: int | None, retry_after: float) -> None:
        others = self.in_flight - 1
        if epoch != self._epoch:
            self.window = max(self._held, min(self.window, others))
            self._pause(retry_after)
            return
        self._suspicion += 1
        if self._suspicion < TOLERANCE:
            return
        if self._answers >= self.window:
            self._cut(others, retry_after)
        else:
            self._undo(others)
        self._epoch += 1
        self._suspicion, self._answers, self._step = 0.0, 0, 0

    def _undo(self, others: int) -> None:
        if not self._step:
            # What it fell back to does not hold either.
            self._held = 1
        self.window = max(self._held, min(self.window - 1, others))
        self._needed = max(PATIENCE, 4 * self.window)
        self._failed_before = True

    def _cut(self, others: int, retry_after: float) -> None:
        self._held = 1
        self.window = max(1, min(self.window // 2, others))
        self._needed = self.window
        self._failed_before = False
        self._pause(retry_after)

    def _pause(self, seconds: float) -> None:
        """Only a cut closes the window: what a failed step was told binds the one call that was told it."""
        if seconds <= 0 or self._failed_before:
            return
        loop = asyncio.get_running_loop()
        moment = loop.time() + min(seconds, self._longest_pause_s)
        if self._opens_at is None or moment > self._opens_at:
            self._opens_at = moment
            loop.call_at(moment, self._open, moment)

    def _open(self, moment: float) -> None:
        # No look at the clock: a timer may come a nanosecond early, and would find the window still closed.
        if moment == self._opens_at:
            self._opens_at = None
            self._line.serve()
