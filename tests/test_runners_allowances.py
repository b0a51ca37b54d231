"""However batches come and go, their allowances keep within the budget of the run, and use it up."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.limits import Budget
from tasks_lib.workers.allowances import Allowance, Allowances

CENT = Decimal("0.01")
BATCHES = st.lists(
    st.tuples(st.integers(0, 9), st.floats(0, 1), st.sampled_from(["settle", "settle", "lose"])), max_size=30
)


def most_of(allowance: Allowance, wanted: int) -> int:
    """How many images a batch can pay for that wants so many."""
    cents = [] if allowance.cost_usd is None else [int(allowance.cost_usd / CENT)]
    return min(wanted, *cents, wanted if allowance.images is None else allowance.images)


class Run:
    """Batches at work, the oldest of which ends when another has to wait; what they paid is counted here as well."""

    def __init__(self, budget: Budget) -> None:
        self.allowances = Allowances(budget)
        self.at_work: list[tuple[Allowance, int, float, str]] = []
        self.paid = self.perhaps_paid = 0

    def begin(self, wanted: int, share: float, end: str) -> Allowance:
        while (allowance := self.allowances.give(wanted)) is None:
            assert self.at_work, "nobody waits for nothing"
            self.finish()
        self.at_work.append((allowance, wanted, share, end))
        return allowance

    def finish(self) -> None:
        allowance, wanted, share, end = self.at_work.pop(0)
        most = most_of(allowance, wanted)
        if end == "lose":
            self.allowances.write_off(allowance)
            self.perhaps_paid += most
            return
        images = round(share * most)
        self.allowances.settle(allowance, images, images * CENT)
        self.paid += images


@given(batches=BATCHES, max_images=st.none() | st.integers(0, 40), cents=st.none() | st.integers(0, 40))
def test_allowances_keep_the_caps_and_use_them(
    batches: list[tuple[int, float, str]], max_images: int | None, cents: int | None
) -> None:
    """In any order of settling and losing, no cap is passed, even if the lost paid all; a short batch means no room."""
    budget = Budget(max_images, None if cents is None else cents / 100, 0.01)
    run = Run(budget)
    cap = min(each for each in (max_images, cents, 10**6) if each is not None)
    for wanted, share, end in batches:
        allowance = run.begin(wanted, share, end)
        outstanding = sum(most_of(each, asked) for each, asked, _, _ in run.at_work)
        assert run.paid + run.perhaps_paid + outstanding <= cap
        if allowance.is_short_of(Allowance(wanted, wanted * CENT)):
            assert len(run.at_work) == 1
            assert allowance.cap and allowance.cap.startswith("limits.max_")
    while run.at_work:
        run.finish()
    assert budget.images == run.paid
    assert budget.cost_usd == run.paid * CENT
    assert run.paid + run.perhaps_paid <= cap


def test_without_a_cap_nothing_is_held_back() -> None:
    """A budget without caps gives everybody an allowance without end."""
    allowances = Allowances(Budget())
    assert [allowances.give(100), allowances.give(100)] == [Allowance(), Allowance()]
