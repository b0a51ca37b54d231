"""The budget and the retry rule keep what they promise, whatever the order of events."""

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.errors import NotAskedError, RecipeError, ThrottledError, TransientError
from tasks_lib.limits import LONGEST_S, Budget, RetryPolicy
from tests.virtual_clock import run_on_virtual_clock

CENTS = st.integers(0, 7)
ENDS = st.lists(
    st.tuples(st.sampled_from(["settle", "settle for less", "refund", "cancel"]), st.integers(0, 5)), max_size=40
)


@given(ends=ENDS, max_images=st.none() | st.integers(0, 12), cap=st.none() | st.integers(0, 60), price=CENTS)
def test_budget_is_kept_and_used(
    ends: list[tuple[str, int]], max_images: int | None, cap: int | None, price: int
) -> None:
    """In any order of reserving, settling, refunding and leaving, no cap is passed and no room is left unused."""
    budget = Budget(max_images, None if cap is None else cap / 100, price / 100)
    outcomes: list[str] = []

    async def spend(how: str, seconds: int) -> None:
        try:
            await budget.reserve()
        except NotAskedError:
            outcomes.append("not asked")
            return
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            budget.refund()
            raise
        if how == "settle":
            budget.settle(None)
        elif how == "settle for less":
            budget.settle(price / 200)
        else:
            budget.refund()
        outcomes.append(how)
        assert max_images is None or budget.images <= max_images
        assert cap is None or budget.cost_usd <= Decimal(cap) / 100

    async def crowd() -> None:
        tasks = [asyncio.ensure_future(spend(how, seconds)) for how, seconds in ends]
        for task, (how, seconds) in zip(tasks, ends, strict=True):
            await asyncio.sleep(seconds % 2)
            if how == "cancel":
                task.cancel()
        ends_of_all = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [end for end in ends_of_all if isinstance(end, AssertionError)]

    run_on_virtual_clock(crowd())
    assert budget.images == sum(outcome.startswith("settle") for outcome in outcomes)
    if "not asked" in outcomes:
        no_image = max_images is not None and budget.images >= max_images
        no_money = cap is not None and budget.cost_usd + Decimal(price) / 100 > Decimal(cap) / 100
        assert no_image or no_money


def test_budget_lets_in_who_waits_for_a_refund() -> None:
    """Whoever finds everything reserved waits, in order, and gets in when a reservation comes back."""

    async def crowd() -> list[str]:
        budget, done = Budget(max_images=1), []

        async def spend(name: str, succeeds: bool) -> None:
            await budget.reserve()
            await asyncio.sleep(1)
            budget.settle(None) if succeeds else budget.refund()
            done.append(name)

        asked = (spend("first", False), spend("second", False), spend("third", True), spend("fourth", True))
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(outcomes[3], NotAskedError)
        assert "limits.max_images (1)" in str(outcomes[3])
        return done

    assert run_on_virtual_clock(crowd()) == ["first", "second", "third"]


def test_budget_counts_in_decimals() -> None:
    """Ten images of 0.1 dollars fit a cap of 1 dollar: cents do not go astray in binary fractions."""

    async def spend() -> int:
        budget = Budget(max_cost_usd=1.0, price_usd=0.1)
        for _ in range(10):
            await budget.reserve()
            budget.settle(None)
        with pytest.raises(NotAskedError, match=r"limits\.max_cost_usd"):
            await budget.reserve()
        return budget.images

    assert run_on_virtual_clock(spend()) == 10


def test_cost_cap_needs_a_price() -> None:
    """A cap in dollars without a price is refused before anything is asked, and the error says what to do."""
    with pytest.raises(RecipeError, match="price_per_image_usd"):
        Budget(max_cost_usd=1.0)


@given(failures=st.integers(0, 9), throttles=st.integers(0, 2000), waited=st.floats(0, 400))
def test_backoff_is_bounded(failures: int, throttles: int, waited: float) -> None:
    """However often a call failed, the next wait is at most 30 seconds, and all of them together max_wait_s."""
    policy = RetryPolicy()
    delay = policy.delay(TransientError("x"), failures, throttles, waited)
    assert delay is None if failures >= policy.max_attempts else 0 <= (delay or 0) <= LONGEST_S
    delay = policy.delay(ThrottledError("x"), failures, throttles, waited)
    assert delay is None or waited + delay <= policy.max_wait_s


@pytest.mark.parametrize("asked", [0.0, None])
def test_an_endpoint_that_throttles_for_ever_is_given_up(asked: float | None) -> None:
    """One that asks for no pause, or for one of no seconds, is called ever more seldom, and not for ever."""
    policy, waited, throttles = RetryPolicy(), 0.0, 0
    while throttles < 100:
        throttles += 1
        delay = policy.delay(ThrottledError("x", asked), 0, throttles, waited)
        if delay is None:
            break
        waited += delay
    assert throttles < 100
    assert 200 < waited <= policy.max_wait_s


@given(st.floats(0, 300, exclude_min=True), st.booleans())
def test_retry_after_wins(seconds: float, throttled: bool) -> None:
    """A wait that the endpoint asks for is kept to the second, and given up when it is longer than allowed."""
    kind = ThrottledError if throttled else TransientError
    assert RetryPolicy().delay(kind("x", seconds), 1, 0, 0.0) == seconds
    assert RetryPolicy().delay(kind("x", seconds + 300.1), 1, 0, 0.0) is None
