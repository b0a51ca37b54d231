"""Answers that are on their way: equal requests share one, and what has to be paid for is not given up."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Generic, TypeVar

__all__ = ["GRACE_S", "Flight", "Flights", "look_at"]

T = TypeVar("T")

GRACE_S = 5.0
"""Seconds that calls under way have to end, once somebody stops or interrupts the run: each is paid for."""


class Flight(Generic[T]):
    """One request on its way to an answer, for which one or more callers wait."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.callers = 0
        self.task: asyncio.Task[T]
        self._end: BaseException | None = None
        self._is_calling = False

    def take_off(self) -> None:
        """Begin a call: from here to the landing, the answer has to be paid for.

        Raises:
            BaseException: why no further call may begin.
        """
        self.check()
        self._is_calling = True

    def land(self) -> None:
        """The call has ended, and its answer is kept."""
        self._is_calling = False

    def check(self) -> None:
        """Raise why no further call may begin, if none may."""
        if self._end is not None:
            raise self._end

    def forbid(self, reason: BaseException) -> None:
        """Let no further call begin."""
        self._end = reason

    def end(self, reason: BaseException) -> None:
        """Let no further call begin, and give up at once unless one is under way."""
        self.forbid(reason)
        if not self._is_calling:
            self.task.cancel()


class Flights(Generic[T]):
    """All answers on their way, by key. Lives on the event loop."""

    def __init__(self) -> None:
        self.stopped: Exception | None = None
        """Why no call begins any more."""
        self._joinable: dict[str, Flight[T]] = {}
        self._flights: set[Flight[T]] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._joinable

    def join(self, key: str, answer: Callable[[Flight[T]], Coroutine[Any, Any, T]]) -> Flight[T]:
        """The flight to a key's answer, for one more caller; it starts if it is not under way."""
        flight = self._joinable.get(key) or self._start(key, answer)
        flight.callers += 1
        return flight

    async def leave(self, flights: Iterable[Flight[T]]) -> None:
        """One caller of these no longer waits: end those for which nobody does, after :data:`GRACE_S` at most."""
        left = []
        for flight in flights:
            flight.callers -= 1
            if not flight.callers and not flight.task.done():
                self._make_unjoinable(flight)
                flight.end(asyncio.CancelledError())
                left.append(flight.task)
        if left:
            await asyncio.wait(left, timeout=GRACE_S)
        for task in left:
            task.cancel()

    def stop(self, error: Exception, grace_s: float | None = None) -> None:
        """Let no call begin any more; those under way have ``grace_s`` seconds to end, or all the time they need."""
        self.stopped = self.stopped or error
        for flight in self._flights:
            flight.end(self.stopped)
        if grace_s is not None:
            asyncio.get_running_loop().call_later(grace_s, self._cancel_all)

    def _start(self, key: str, answer: Callable[[Flight[T]], Coroutine[Any, Any, T]]) -> Flight[T]:
        flight = self._joinable[key] = Flight[T](key)
        flight.task = asyncio.ensure_future(answer(flight))
        flight.task.add_done_callback(lambda task: self._forget(flight, task))
        self._flights.add(flight)
        if self.stopped:
            # Not end(): an answer that needs no call is still given.
            flight.forbid(self.stopped)
        return flight

    def _forget(self, flight: Flight[T], task: asyncio.Task[T]) -> None:
        self._flights.discard(flight)
        self._make_unjoinable(flight)
        look_at(task)

    def _make_unjoinable(self, flight: Flight[T]) -> None:
        if self._joinable.get(flight.key) is flight:
            del self._joinable[flight.key]

    def _cancel_all(self) -> None:
        for flight in self._flights:
            flight.task.cancel()


def look_at(future: asyncio.Future[Any]) -> None:
    """Look at an exception, or asyncio would log it where no caller is left to hear of it."""
    if not future.cancelled():
        future.exception()
