"""What each batch may spend while other processes do the calls: the budget of a run, shared out and settled."""

from dataclasses import dataclass
from decimal import Decimal

from tasks_lib.limits import Budget

__all__ = ["Allowance", "Allowances"]


@dataclass(frozen=True)
class Allowance:
    """What one batch may spend; ``None`` is without end."""

    images: int | None = None
    cost_usd: Decimal | None = None
    cap: str | None = None
    """The cap to name when it is used up."""

    def is_short_of(self, wanted: "Allowance") -> bool:
        """Whether it is less than another, which was wanted."""
        images = self.images is not None and wanted.images is not None and self.images < wanted.images
        return images or (self.cost_usd is not None and wanted.cost_usd is not None and self.cost_usd < wanted.cost_usd)


class Allowances:
    """Gives each batch what it may need of a budget, or what is left, so that all together never pass a cap.

    Whoever uses it holds a lock.

    Args:
        budget: of the run; it goes on counting what was paid.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._given: list[Allowance] = []
        self._lost: list[Allowance] = []

    def give(self, images: int) -> Allowance | None:
        """Set aside what so many images cost at most.

        Returns:
            The allowance, for less where a cap leaves no more; ``None`` while there is not enough and batches at
            work may still give something back.
        """
        wanted = Allowance(images, images * self._budget.price_usd)
        allowance = self._what_is_left(wanted)
        if self._given and allowance.is_short_of(wanted):
            return None
        self._given.append(allowance)
        return allowance

    def settle(self, allowance: Allowance, images: int, cost_usd: Decimal) -> None:
        """Turn an allowance into what was really spent of it."""
        self._given.remove(allowance)
        self._budget.images += images
        self._budget.cost_usd += cost_usd

    def write_off(self, allowance: Allowance) -> None:
        """Count an allowance as spent: its worker is lost, and nobody can tell any more what it paid."""
        self._given.remove(allowance)
        self._lost.append(allowance)

    def _what_is_left(self, wanted: Allowance) -> Allowance:
        budget, gone = self._budget, [*self._given, *self._lost]
        images = cost = cap = None
        if budget.max_cost_usd is not None:
            room = (
                budget.max_cost_usd - budget.cost_usd - sum((each.cost_usd or Decimal(0) for each in gone), Decimal(0))
            )
            cost = max(Decimal(0), min(wanted.cost_usd or Decimal(0), room))
            cap = f"limits.max_cost_usd ({budget.max_cost_usd})"
        if budget.max_images is not None:
            left = budget.max_images - budget.images - sum(each.images or 0 for each in gone)
            images = max(0, min(wanted.images or 0, left))
            if cap is None or images < (wanted.images or 0):
                cap = f"limits.max_images ({budget.max_images})"
        return Allowance(images, cost, cap)
