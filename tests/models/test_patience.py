"""An image that is paid for is asked for again, at a pace that a server can bear, before it is paid anew."""

import asyncio
from collections.abc import Sequence

import pytest

from tasks_lib.errors import BadImageError, ImageloomError, StopError, ThrottledError, TransientError
from tasks_lib.models.patience import AbsentError, ask_patiently
from tests.virtual_clock import run_on_virtual_clock


def asked(faults: Sequence[Exception]) -> tuple[float, int]:
    """Seconds until there is an answer or no more patience, and how often was asked, where these faults come first."""
    times = 0

    async def ask() -> None:
        nonlocal times
        times += 1
        if times <= len(faults):
            raise faults[times - 1]

    async def whole() -> float:
        try:
            await ask_patiently(ask)
        except (ImageloomError, OSError) as error:
            assert error is faults[-1]
        return asyncio.get_running_loop().time()

    return run_on_virtual_clock(whole()), times


@pytest.mark.parametrize(
    ("faults", "seconds", "times"),
    [
        ([], 0, 1),
        ([TransientError("502")], 0.25, 2),
        ([BadImageError("page"), TransientError("502"), ConnectionResetError(), TimeoutError()], 3.75, 5),
        ([TransientError("502", 3.0), TransientError("502", 0.0)], 3.5, 3),
        ([ThrottledError("429")] * 9, 0.25 + 0.5 + 1 + 2 + 4 + 4 * 8, 10),
        ([ThrottledError("429", 60.0)] * 9, 9 * 60, 10),
    ],
)
def test_what_passes_is_waited_for(faults: list[Exception], seconds: float, times: int) -> None:
    """Faults that pass are outlasted with growing pauses, and no question comes before its Retry-After is over."""
    assert asked(faults) == (pytest.approx(seconds), times)


@pytest.mark.parametrize(
    ("fault", "seconds", "times"),
    [(TransientError("502"), 15.75, 7), (AbsentError("404"), 0.75, 3), (StopError("401"), 0, 1)],
)
def test_what_does_not_pass_is_given_up(fault: Exception, seconds: float, times: int) -> None:
    """A fault that stays is given up after 16 seconds, an image that is missing within one, and the rest at once."""
    assert asked([fault] * times) == (pytest.approx(seconds), times)
