"""How much may be spent and tried again in one run: the settings, the budget, the retry rule."""

import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from pydantic import Field

from tasks_lib.errors import NotAskedError, RecipeError, ThrottledError, TransientError
from tasks_lib.settings import Settings
from tasks_lib.waiting_line import WaitingLine

__all__ = ["Budget", "Limits", "Reservation", "RetryPolicy"]


FIRST_S, LONGEST_S = 0.5, 30.0
"""The most that is waited before the second attempt, and before any."""


class Limits(Settings):
    """What one run may use."""

    max_concurrency: int = Field(default=16, ge=1, le=1024)
    """Most calls in flight at once, over all workers; fewer while the endpoint throttles."""
    max_images: int | None = Field(default=None, ge=0)
    """Most images asked and paid in one run, those that came damaged included; what the store holds does not count."""
    max_cost_usd: float | None = Field(default=None, ge=0)
    """Most US dollars spent in one run; needs the model's price."""
    max_failure_rate: float = Field(default=0.2, ge=0, le=1)
    """Share of failed generations above which the run counts as failed, after writing what there is."""
    max_attempts: int = Field(default=5, ge=1)
    """Most calls for one generation, not counting those the endpoint throttled."""
    max_wait_s: float = Field(default=300.0, ge=0)
    """Seconds one generation may spend waiting for an endpoint that throttles."""
    retry_refused: bool = False
    """Ask again what moderation refused in an earlier run; what merely failed is asked again anyway."""


@dataclass(frozen=True)
class RetryPolicy:
    """Whether a failed call is tried again, and after how long.

    Exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
    2015); what the endpoint asks for in ``Retry-After`` wins.
    """

    max_attempts: int = 5
    max_wait_s: float = 300.0

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
        # Past some doublings the power would no longer fit a float.
        longest = min(LONGEST_S, FIRST_S * 2 ** min(failures + throttles - 1, 32))
        asked = error.retry_after
        # Zero, or a date that is past here, is no pause: such a server would be asked a thousand times a second.
        delay = asked or random.uniform(0, longest)
        waits = waited_s + delay if isinstance(error, ThrottledError) else asked or 0.0
        return None if waits > self.max_wait_s else delay


class Budget:
    """Images and dollars of one run: reserved before a call, settled or refunded after it.

    Whoever finds everything reserved waits until it is known what was spent, so that a refund is used and the
    cap is never passed. Lives on the event loop; see :mod:`tasks_lib.workers.allowances` for calls of other processes.

    Args:
        max_images: cap on images, or ``None``.
        max_cost_usd: cap on dollars, or ``None``.
        price_usd: the most one image costs, or ``None`` where unknown.
        cap: what to name when a cap is reached; by default the setting.

    Raises:
        RecipeError: a cost cap with an unknown price.
    """

    def __init__(
        self,
        max_images: int | None = None,
        max_cost_usd: float | None = None,
        price_usd: float | None = None,
        cap: str | None = None,
    ) -> None:
        if max_cost_usd is not None and price_usd is None:
            raise RecipeError(
                f"limits.max_cost_usd is {max_cost_usd}, but the model's price is unknown. "
                "State price_per_image_usd in the model, or cap the run with limits.max_images."
            )
        self.images = 0
        """Paid so far."""
        self.cost_usd = Decimal(0)
        """Spent so far; decimal, because ten times 0.1 has to be 1."""
        self.max_images = max_images
        self.max_cost_usd = None if max_cost_usd is None else Decimal(str(max_cost_usd))
        self.price_usd = Decimal(str(price_usd or 0))
        self._cap_named = cap
        self._reserved = 0
        self._line = WaitingLine(self._take, self.refund)

    async def reserve(self) -> None:
        """Set one image and its price aside, waiting while others may still give theirs back.

        Raises:
            NotAskedError: the cap is reached.
        """
        if not self._has_room_for(1) or await self._line.enter() is None:
            raise NotAskedError(f"not asked: {self._cap()} leaves no room for another image.")

    def settle(self, cost_usd: float | None) -> None:
        """Turn a reservation into what was really spent.

        Args:
            cost_usd: what the image cost, or ``None`` for the price.
        """
        self.images += 1
        self.cost_usd += self.price_usd if cost_usd is None else Decimal(str(cost_usd))
        self.refund()

    def refund(self) -> None:
        """Give a reservation back."""
        self._reserved -= 1
        if self._has_room_for(1):
            self._line.serve()
        else:
            self._line.send_away()

    def _take(self) -> int | None:
        if not self._has_room_for(self._reserved + 1):
            return None
        self._reserved += 1
        return self._reserved

    def _has_room_for(self, more: int) -> bool:
        if self.max_images is not None and self.images + more > self.max_images:
            return False
        return self.max_cost_usd is None or self.cost_usd + more * self.price_usd <= self.max_cost_usd

    def _cap(self) -> str:
        if self._cap_named:
            return self._cap_named
        if self.max_images is not None and self.images >= self.max_images:
            return f"limits.max_images ({self.max_images})"
        return f"limits.max_cost_usd ({self.max_cost_usd})"


class Reservation:
    """Room for one image in a budget, held from before a call until what it brought is paid for.

    Use: as a context that gives back what was not spent; :meth:`hold` before every call, :meth:`settle` after an
    answer.

    Args:
        budget: of the run.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._is_held = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_held:
            self._budget.refund()

    async def hold(self) -> None:
        """Set room aside, unless there is some from a call that brought nothing.

        Raises:
            NotAskedError: the cap is reached.
        """
        if not self._is_held:
            await self._budget.reserve()
            self._is_held = True

    def settle(self, cost_usd: float | None) -> None:
        """Pay for an image; as :meth:`Budget.settle`."""
        self._is_held = False
        self._budget.settle(cost_usd)
