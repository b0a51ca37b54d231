"""Requests that come at the same moment, answered by one call."""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from tasks_lib.errors import ImageloomError, TransientError
from tasks_lib.models.base import ImageAnswer, ImageRequest

__all__ = ["JoinedCalls"]

LINGER_S = 0.005
"""How long a request waits for others; images take seconds."""

_Place = tuple[ImageRequest, "asyncio.Future[ImageAnswer]"]


class JoinedCalls:
    """Gathers requests into calls for several images, as a GPU or a provider's ``n`` likes them.

    Lives on the event loop. A caller who is cancelled leaves its call to the others; with the last one it ends.

    Args:
        call: answers some requests at once, in order, each with an image or with what went wrong with it alone. Fewer
            answers than requests are a fault of those left over.
        most: requests in one call.
        key: only requests with equal keys share a call.
        at_once: calls at the same time, ``None`` for any number; what comes meanwhile is gathered.
    """

    def __init__(
        self,
        call: Callable[[list[ImageRequest]], Awaitable[Sequence[ImageAnswer | Exception]]],
        most: int,
        key: Callable[[ImageRequest], Hashable] = lambda request: None,
        at_once: int | None = None,
    ) -> None:
        self._call = call
        self._most = most
        self._key = key
        self._turns: AbstractAsyncContextManager[None] = asyncio.Semaphore(at_once) if at_once else nullcontext()
        self._waiting: dict[Hashable, list[_Place]] = {}
        self._started: dict[Hashable, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, request: ImageRequest) -> ImageAnswer:
        """The answer to one request, asked together with others.

        Raises:
            TransientError: the call gave fewer images than were asked.
            Exception: what the call raised, or gave in place of this image.
        """
        place: asyncio.Future[ImageAnswer] = asyncio.get_running_loop().create_future()
        key = self._key(request)
        waiting = self._waiting.setdefault(key, [])
        waiting.append((request, place))
        # As many calls are started as the requests that wait will fill.
        if len(waiting) > self._started.get(key, 0) * self._most:
            self._started[key] = self._started.get(key, 0) + 1
            task = asyncio.ensure_future(self._gather(key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await place

    async def _gather(self, key: Hashable) -> None:
        await asyncio.sleep(LINGER_S)
        async with self._turns:
            places = self._take(key)
            if places:
                await self._answer_all(places)

    def _take(self, key: Hashable) -> list[_Place]:
        waiting = [place for place in self._waiting.pop(key, []) if not place[1].done()]
        taken, left = waiting[: self._most], waiting[self._most :]
        self._started[key] -= 1
        if left:
            self._waiting[key] = left
        elif not self._started[key]:
            del self._started[key]
        return taken

    async def _answer_all(self, places: Sequence[_Place]) -> None:
        call = asyncio.ensure_future(self._call([request for request, _ in places]))  # noqa: RUF006  # awaited below
        _end_with_the_last(call, [place for _, place in places])
        await asyncio.wait({call})
        if call.cancelled():
            return
        for (_, place), outcome in zip(places, _outcomes(call, len(places)), strict=True):
            if place.done():
                continue
            if isinstance(outcome, BaseException):
                place.set_exception(outcome)
            else:
                place.set_result(outcome)


def _outcomes(call: "asyncio.Future[Sequence[ImageAnswer | Exception]]", count: int) -> list[Any]:
    """What each of so many requests gets of a call that is over: an answer, or an error to raise."""
    error = call.exception()
    if error:
        # Each caller notes its own attempts on an error of ours; those of libraries can't always be copied.
        return [copy.copy(error) if isinstance(error, ImageloomError) else error for _ in range(count)]
    answers = list(call.result())[:count]
    missing = f"{len(answers)} images came back where {count} were asked in one call."
    return [*answers, *(TransientError(missing) for _ in range(count - len(answers)))]


def _end_with_the_last(call: "asyncio.Future[Any]", places: Sequence["asyncio.Future[Any]"]) -> None:
    def leave(_: Any) -> None:
        if all(place.cancelled() for place in places):
            call.cancel()

    for place in places:
        place.add_done_callback(leave)
