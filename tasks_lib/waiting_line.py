"""A line of coroutines that wait to take something, first come, first served."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["WaitingLine"]


T = TypeVar("T")


class WaitingLine(Generic[T]):
    """Lets callers take one of something, in the order in which they came.

    Lives on the event loop, which is why nothing here is locked.

    Args:
        take: takes one if there is one, else gives ``None``.
        give_back: undoes a take, for a caller who was cancelled in the moment of being served.
    """

    def __init__(self, take: Callable[[], T | None], give_back: Callable[[], None]) -> None:
        self._take = take
        self._give_back = give_back
        self._places: deque[asyncio.Future[T | None]] = deque()

    async def enter(self) -> T | None:
        """Wait until one is taken; ``None`` when sent away without."""
        taken = None if self._places else self._take()
        if taken is not None:
            return taken
        place: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        self._places.append(place)
        try:
            return await place
        except asyncio.CancelledError:
            if not place.cancelled() and place.result() is not None:
                self._give_back()
                self.serve()
            raise

    def serve(self) -> None:
        """Serve those who wait, as far as there is something to take; call it when there may be more."""
        while self._places:
            if not self._places[0].done():
                taken = self._take()
                if taken is None:
                    return
                self._places[0].set_result(taken)
            self._places.popleft()

    def send_away(self) -> None:
        """Let everybody who waits leave without."""
        while self._places:
            place = self._places.popleft()
            if not place.done():
                place.set_result(None)
