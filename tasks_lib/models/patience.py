"""Asking for an image that is paid for: again and again, before it is paid a second time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tasks_lib.errors import ThrottledError, TransientError
from tasks_lib.models.http_post import HTTP_FAULTS

__all__ = ["AbsentError", "ask_patiently"]

T = TypeVar("T")

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 8.0
MOST_FAULTS = 7
"""Times that one question may fail, with pauses of 16 seconds in all."""
MOST_ABSENCES = 3
"""The same for what is not there, with pauses of a second; what comes late is seldom later."""


class AbsentError(TransientError):
    """There is nothing where the image should be."""


async def ask_patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """What a question brings, asked again where it fails for the moment.

    Each pause is twice the one before, and at least what ``Retry-After`` says. One that is throttled is asked until
    the model's timeout ends the whole call: whoever throttles has the image.

    Raises:
        TransientError, aiohttp.ClientError, OSError: as the last time it was asked.
    """
    tries = faults = 0
    while True:
        try:
            return await ask()
        except (TransientError, *HTTP_FAULTS) as error:
            tries, faults = tries + 1, faults + (not isinstance(error, ThrottledError))
            if faults >= (MOST_ABSENCES if isinstance(error, AbsentError) else MOST_FAULTS):
                raise
            asked_s = error.retry_after if isinstance(error, TransientError) else None
        await asyncio.sleep(max(asked_s or 0.0, min(FIRST_PAUSE_S * 2 ** (tries - 1), LONGEST_PAUSE_S)))
