"""How much may be in flight, spent and tried again: the concurrency window, the budget, the retry rule."""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal

from pydantic import Field

from tasks_lib.errors import NotAskedError, RecipeError, ThrottledError, TransientError
from tasks_lib.settings import Settings

__all__ = ["Budget", "ConcurrencyLimit", "Limits", "RetryPolicy"]


class Limits(Settings):
    """What one run may use."""

    max_concurrency: int = Field(default=16, ge=1, le=1024)
    """Most calls in flight at once in one process; fewer while the endpoint throttles."""
    max_images: int | None = Field(default=None, ge=0)
    """Most images asked and paid in one run; what the store holds does not count."""
    max_cost_usd: float | None = Field(default=None, ge=0)
    """Most US dollars spent in one run; needs the model's price."""
    max_failure_rate: float = Field(default=0.2, ge=0, le=1)
    """Share of failed generations above which the run counts as failed, after writing what there is."""
    max_attempts: int = Field(default=5, ge=1)
    """Most calls for one generation, not counting those the endpoint throttled."""
    max_wait_s: float = Field(default=300.0, ge=0)
    """Seconds one generation may spend waiting for an endpoint that throttles."""


@dataclass(frozen=True)
class RetryPolicy:
    """Whether a failed call is tried again, and after how long.

    Exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
    2015); what the endpoint asks for in ``Retry-After`` wins.
    """

    max_attempts: int = 5
    max_wait_s: float = 300.0
    base_s: float = 0.5
    longest_s: float = 30.0

    def delay(self, error: TransientError, failures: int, throttles: int, waited_s: float) -> float | None:
        """Seconds to wait before the next attempt, or ``None`` to give up.

        Args:
            error: why the last attempt failed.
            failures: failed attempts so far that were not throttled, the last one included.
            throttles: throttled attempts so far, the last one included.
            waited_s: seconds already waited for this generation.
        """
        if failures >= self.max_attempts:
            return None
        longest = min(self.longest_s, self.base_s * 2 ** max(failures + throttles - 1, 0))
        delay = error.retry_after if error.retry_after is not None else random.uniform(0, longest)
        if isinstance(error, ThrottledError) and waited_s + delay > self.max_wait_s:
            return None
        return delay


class Budget:
    """Images and dollars of one run: reserved before a call, settled or refunded after it.

    Lives on the event loop. Whoever finds everything reserved waits until it is known what was spent, so
    that a refund is used and the cap is never passed.

    Args:
        max_images: cap on images, or ``None``.
        max_cost_usd: cap on dollars, or ``None``.
        price_usd: the most one image costs, or ``None`` where unknown.

    Raises:
        RecipeError: a cost cap with an unknown price.
    """

    def __init__(
        self, max_images: int | None = None, max_cost_usd: float | None = None, price_usd: float | None = None
    ) -> None:
        if max_cost_usd is not None and price_usd is None:
            raise RecipeError(
                f"limits.max_cost_usd is {max_cost_usd}, but the model's price is unknown. "
                "State price_per_image_usd in the model, or cap the run with limits.max_images."
            )
        self.images = 0
        self.cost_usd = Decimal(0)
        self.reached = False
        self._max_images = max_images
        self._max_cost = None if max_cost_usd is None else Decimal(str(max_cost_usd))
        self._price = Decimal(str(price_usd or 0))
        self._reserved = 0
        self._changed = asyncio.Condition()

    async def reserve(self) -> None:
        """Set one image and its price aside.

        Raises:
            NotAskedError: the cap is reached.
        """
        async with self._changed:
            while not self._fits(self._reserved + 1):
                if not self._fits(1):
                    self.reached = True
                    raise NotAskedError(f"not asked: {self._cap()} is reached.")
                await self._changed.wait()
            self._reserved += 1

    async def settle(self, cost_usd: float | None) -> None:
        """Turn a reservation into what was really spent."""
        self.images += 1
        self.cost_usd += self._price if cost_usd is None else Decimal(str(cost_usd))
        await self.refund()

    async def refund(self) -> None:
        """Give a reservation back."""
        async with self._changed:
            self._reserved -= 1
            self._changed.notify_all()

    def _fits(self, more: int) -> bool:
        if self._max_images is not None and self.images + more > self._max_images:
            return False
        return self._max_cost is None or self.cost_usd + more * self._price <= self._max_cost

    def _cap(self) -> str:
        if self._max_images is not None and self.images >= self._max_images:
            return f"limits.max_images ({self._max_images})"
        return f"limits.max_cost_usd ({self._max_cost})"


class ConcurrencyLimit:
    """A sliding window over the calls in flight, which finds out how many an endpoint takes.

    It starts at the maximum. Throttling halves it, once for all calls that were in flight together; from there
    it grows by one a window (additive increase, multiplicative decrease: Chiu and Jain, 1989) up to where it
    was throttled. Beyond that it probes, rarely, by steps that double as long as they succeed.
    Lives on the event loop.

    Args:
        maximum: most calls in flight, at least 1.
        patience: answers in a row without throttling before a probe.
    """

    def __init__(self, maximum: int, patience: int = 24) -> None:
        self.maximum = self.window = self._ceiling = maximum
        self.in_flight = 0
        self._patience = patience
        self._answers = 0
        self._step = 1
        self._epoch = 0
        self._paused_until = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a place in the window and hold it; a :class:`ThrottledError` inside narrows the window."""
        await self._enter()
        epoch = self._epoch
        try:
            yield
        except ThrottledError as error:
            self._throttled(epoch, error.retry_after)
            raise
        else:
            self._answered()
        finally:
            self.in_flight -= 1
            self._admit()

    async def _enter(self) -> None:
        if not self._waiting and self._is_open():
            self.in_flight += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.in_flight -= 1
                self._admit()
            raise

    def _is_open(self) -> bool:
        return self.in_flight < self.window and time.monotonic() >= self._paused_until

    def _admit(self) -> None:
        while self._waiting and self._is_open():
            place = self._waiting.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)

    def _answered(self) -> None:
        self._answers += 1
        probing = self.window >= self._ceiling
        if self.window < self.maximum and self._answers >= (self._patience if probing else self.window):
            self._answers = 0
            step = self._step if probing else 1
            self._step = self._step * 2 if probing else 1
            self.window = min(self.maximum, self.window + step)
            self._ceiling = max(self._ceiling, self.window - step)

    def _throttled(self, epoch: int, retry_after: float | None) -> None:
        if retry_after:
            self._pause(retry_after)
        if epoch != self._epoch:
            return
        self._epoch += 1
        self._answers, self._step = 0, 1
        probed = self.window > self._ceiling
        self.window = max(1, self._ceiling if probed else self.window // 2)
        if not probed:
            self._ceiling = max(self.window, self._ceiling - 1)

    def _pause(self, seconds: float) -> None:
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)
        asyncio.get_running_loop().call_later(seconds + 0.001, self._admit)
