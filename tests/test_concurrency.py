"""The window finds out how many calls an endpoint takes, whatever that is and however it changes."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks_lib.concurrency import ConcurrencyLimit
from tasks_lib.errors import ThrottledError
from tasks_lib.limits import RetryPolicy
from tests.virtual_clock import run_on_virtual_clock

LATENCY_S = 0.1


class LimitedEndpoint:
    """Takes so many calls at a time; others are throttled at once."""

    def __init__(self, takes: int, retry_after: float | None = None, random_share: float = 0.0) -> None:
        self.takes = takes
        self.answered = self.throttled = self.most_in_flight = 0
        self._retry_after = retry_after
        self._random_share = random_share
        self._random = random.Random(7)
        self._in_flight = 0

    async def answer(self) -> None:
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            if self._in_flight > self.takes:
                await self._throttle(0.001)
            if self._random.random() < self._random_share:
                await self._throttle(LATENCY_S)
            await asyncio.sleep(LATENCY_S)
            self.answered += 1
        finally:
            self._in_flight -= 1

    async def _throttle(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.throttled += 1
        raise ThrottledError("throttled", self._retry_after)


async def ask_for_ever(limit: ConcurrencyLimit, endpoint: LimitedEndpoint) -> None:
    retry, throttles = RetryPolicy(), 0
    while True:
        try:
            async with limit.slot():
                await endpoint.answer()
            throttles = 0
        except ThrottledError as error:
            throttles += 1
            await asyncio.sleep(retry.delay(error, 0, throttles, 0.0) or 0.0)


async def load(limit: ConcurrencyLimit, endpoint: LimitedEndpoint, phases: list[tuple[int, float]]) -> list[int]:
    """Ask through the window with demand for more, while the endpoint's capacity changes; the window after each."""
    random.seed(3)
    asking = [asyncio.ensure_future(ask_for_ever(limit, endpoint)) for _ in range(512)]
    windows = []
    for takes, seconds in phases:
        endpoint.takes = takes
        await asyncio.sleep(seconds)
        windows.append(limit.window)
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    return windows


@pytest.mark.parametrize("retry_after", [None, 1.0])
@pytest.mark.parametrize("maximum", [32, 64])
def test_window_follows_the_endpoint(maximum: int, retry_after: float | None) -> None:
    """Where 8, then 2, then 32 calls are taken, the window settles there, at 80 % of the ideal and 5 % throttled."""
    limit, endpoint = ConcurrencyLimit(maximum), LimitedEndpoint(8, retry_after)
    windows = run_on_virtual_clock(load(limit, endpoint, [(8, 10), (2, 10), (32, 10)]))
    assert all(abs(found - takes) <= 1 for found, takes in zip(windows, (8, 2, 32), strict=True)), windows
    assert endpoint.answered >= 0.8 * (8 + 2 + 32) * 10 / LATENCY_S
    assert endpoint.throttled < 0.05 * (endpoint.answered + endpoint.throttled)


def test_first_burst_finds_the_capacity() -> None:
    """Of 32 calls begun at once 24 are throttled; a few more at most, and the window is what the endpoint takes."""
    limit, endpoint = ConcurrencyLimit(32), LimitedEndpoint(8)
    (window,) = run_on_virtual_clock(load(limit, endpoint, [(8, 0.15)]))
    assert window == 8
    assert 24 <= endpoint.throttled <= 27


@settings(max_examples=20)
@given(takes=st.integers(1, 48), maximum=st.integers(1, 64))
def test_window_settles_anywhere(takes: int, maximum: int) -> None:
    """Whatever the endpoint takes and the user allows, the window ends at the smaller of the two, give or take one."""
    limit, endpoint = ConcurrencyLimit(maximum), LimitedEndpoint(takes)
    (window,) = run_on_virtual_clock(load(limit, endpoint, [(takes, 20)]))
    assert abs(window - min(takes, maximum)) <= 1
    assert endpoint.most_in_flight <= maximum
    assert limit.in_flight == 0


def test_window_starts_at_its_maximum() -> None:
    """Without throttling there is no slow start and no change: the maximum is in flight from the first moment."""
    limit, endpoint = ConcurrencyLimit(32), LimitedEndpoint(1000)
    run_on_virtual_clock(load(limit, endpoint, [(1000, 10.05)]))
    assert endpoint.answered == 32 * 100


def test_random_throttling_is_no_reason_to_slow_down() -> None:
    """One call in twelve throttled at random costs a quarter of the throughput at most, its own place included."""
    limit, endpoint = ConcurrencyLimit(32), LimitedEndpoint(1000, retry_after=0.05, random_share=1 / 12)
    run_on_virtual_clock(load(limit, endpoint, [(1000, 30)]))
    assert endpoint.answered >= 0.75 * 32 * 30 / LATENCY_S


def test_straggler_delays_nothing_but_itself() -> None:
    """One call of 30 seconds holds one place; everything else goes on through the others."""

    async def race() -> tuple[float, float]:
        limit, loop = ConcurrencyLimit(4), asyncio.get_running_loop()

        async def call(seconds: float) -> float:
            async with limit.slot():
                await asyncio.sleep(seconds)
            return loop.time()

        straggler, *others = await asyncio.gather(call(30), *(call(0.1) for _ in range(300)))
        return straggler, max(others)

    straggler, last = run_on_virtual_clock(race())
    assert straggler == pytest.approx(30)
    assert last == pytest.approx(300 / 3 * 0.1)


def test_window_honours_retry_after() -> None:
    """After a cut nobody calls before the endpoint's Retry-After is over, and then somebody does."""
    begun: list[float] = []

    async def call(limit: ConcurrencyLimit) -> None:
        async with limit.slot():
            begun.append(asyncio.get_running_loop().time())
            raise ThrottledError("throttled", 7.0)

    async def storm() -> None:
        limit = ConcurrencyLimit(8)
        await asyncio.gather(*(call(limit) for _ in range(20)), return_exceptions=True)

    run_on_virtual_clock(storm())
    assert len(begun) == 20
    assert not [moment for moment in begun if 0 < moment < 7]
    assert any(7 <= moment < 7.1 for moment in begun)


def test_window_is_never_closed_for_longer_than_allowed() -> None:
    """An endpoint that asks to come back tomorrow does not stop a run until then."""

    async def storm() -> float:
        limit = ConcurrencyLimit(4, longest_pause_s=60)

        async def call() -> None:
            async with limit.slot():
                raise ThrottledError("throttled", 86_400.0)

        await asyncio.gather(*(call() for _ in range(5)), return_exceptions=True)
        return asyncio.get_running_loop().time()

    assert run_on_virtual_clock(storm()) == pytest.approx(60)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=30), st.integers(1, 4))
def test_cancelled_callers_leave_no_place_taken(callers: list[tuple[int, bool]], maximum: int) -> None:
    """Whoever is cancelled, waiting or calling or in the moment of being served, the window stays whole."""

    async def crowd() -> None:
        limit = ConcurrencyLimit(maximum)

        async def call(seconds: int) -> None:
            async with limit.slot():
                assert limit.in_flight <= maximum
                await asyncio.sleep(seconds)

        tasks = [asyncio.ensure_future(call(seconds)) for seconds, _ in callers]
        for task, (seconds, cancelled) in zip(tasks, callers, strict=True):
            await asyncio.sleep(seconds % 3)
            if cancelled:
                task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [outcome for outcome in outcomes if isinstance(outcome, AssertionError)]
        assert limit.in_flight == 0
        async with limit.slot():
            assert limit.in_flight == 1

    run_on_virtual_clock(crowd())
