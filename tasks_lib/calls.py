"""Calling a model for one request until there is an image or no attempt is left."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, TypeVar

from tasks_lib.concurrency import ConcurrencyLimit
from tasks_lib.errors import (
    GenerationError,
    InvalidRequestError,
    LostImageError,
    NoImageError,
    NotAskedError,
    StopError,
    ThrottledError,
    TransientError,
)
from tasks_lib.flights import Flight
from tasks_lib.limits import Budget, Reservation, RetryPolicy
from tasks_lib.models import ImageAnswer, ImageGenerationModel, ImageRequest

__all__ = ["Arrival", "Calls"]

T = TypeVar("T")

SAME_FAULT_LIMIT = 5
"""Requests found invalid in a row, with no other answer in between, that stop the run."""


@dataclass(frozen=True)
class Arrival:
    """An answer that has just come."""

    answer: ImageAnswer
    attempts: int
    """Calls made for it."""
    seconds: float
    """Since the first of them, waiting included."""


class Calls:
    """The calls of one generator to its model, through one window and under one retry rule.

    Args:
        model: what is called.
        window: limits how many calls are in flight.
        retry: says which failed calls are tried again, and when.
        keepers: the threads in which answers are verified and stored.
    """

    def __init__(
        self, model: ImageGenerationModel, window: ConcurrencyLimit, retry: RetryPolicy, keepers: ThreadPoolExecutor
    ) -> None:
        self._keepers = keepers
        self._model = model
        self._window = window
        self._retry = retry
        self._invalid_in_a_row = 0
        # A kill costs what is in flight and what has come and is not yet kept: never more than a few beyond the window.
        self._unkept = asyncio.Semaphore(window.maximum + max(2, window.maximum // 4))

    async def ask(self, request: ImageRequest, flight: Flight[Any], budget: Budget, keep: Callable[[Arrival], T]) -> T:
        """Call until there is an image.

        Args:
            request: what to send.
            flight: says whether a call may still begin.
            budget: pays for every image that comes, a damaged one included.
            keep: verifies and stores an answer, in a thread; a :class:`BadImageError` asks for another attempt.

        Raises:
            GenerationError: there is no image, or no room for it in the budget; with attempts and seconds filled in.
            StopError: no further request can succeed.
        """
        with Reservation(budget) as room:
            return await self._ask(request, flight, room, keep)

    async def _ask(
        self, request: ImageRequest, flight: Flight[Any], room: Reservation, keep: Callable[[Arrival], T]
    ) -> T:
        started = time.monotonic()
        failures = throttles = 0
        waited = 0.0
        while True:
            try:
                await room.hold()
                return await self._attempt(request, flight, room, keep, failures + throttles + 1, started)
            except GenerationError as error:
                throttled = isinstance(error, ThrottledError)
                called = not isinstance(error, NotAskedError)
                failures, throttles = failures + (called and not throttled), throttles + throttled
                error.attempts, error.seconds = failures + throttles, time.monotonic() - started
                if not isinstance(error, TransientError):
                    raise
                delay = self._retry.delay(error, failures, throttles, waited)
                if delay is None:
                    raise
            flight.check()
            waited += delay
            # Outside the window, so that nobody else waits.
            await asyncio.sleep(delay)

    async def _attempt(
        self,
        request: ImageRequest,
        flight: Flight[Any],
        room: Reservation,
        keep: Callable[[Arrival], T],
        attempts: int,
        started: float,
    ) -> T:
        try:
            async with self._unkept:
                async with self._window.slot():
                    flight.take_off()
                    answer = await self._call(request)
                arrival = Arrival(answer, attempts, time.monotonic() - started)
                return await self._kept(arrival, room, keep)
        except LostImageError:
            room.settle(None)
            raise
        finally:
            flight.land()

    async def _kept(self, arrival: Arrival, room: Reservation, keep: Callable[[Arrival], T]) -> T:
        is_paid = True
        try:
            return await asyncio.get_running_loop().run_in_executor(self._keepers, keep, arrival)
        except NoImageError:
            is_paid = False
            raise
        finally:
            # A damaged image is paid for as a whole one is, and one that cannot be stored.
            if is_paid:
                room.settle(arrival.answer.cost_usd)

    async def _call(self, request: ImageRequest) -> ImageAnswer:
        try:
            async with asyncio.timeout(self._model.timeout_s) as deadline:
                answer = await self._answering(request)
        except Exception as error:
            meaning = self._meaning(error, deadline.expired())
            if meaning is error:
                raise
            raise meaning from error
        self._invalid_in_a_row = 0
        return self._as_answer(answer)

    def _answering(self, request: ImageRequest) -> Awaitable[ImageAnswer | bytes]:
        answering = self._model.agenerate(request)
        if not isawaitable(answering):
            raise StopError(f"{type(self._model).__name__}.agenerate() is no coroutine; write: async def agenerate")
        return answering

    def _meaning(self, error: Exception, is_late: bool) -> Exception:
        """The model says what its errors mean; one it does not know is a programming error, and stays what it is."""
        if is_late and isinstance(error, TimeoutError):
            return TransientError(
                f"{self._model.model_name} gave no answer within {self._model.timeout_s:g} s (timeout_s)."
            )
        meaning = self._model.explain(error) or error
        if isinstance(meaning, InvalidRequestError):
            return self._after_invalid(meaning)
        if isinstance(meaning, GenerationError) and not isinstance(meaning, TransientError):
            self._invalid_in_a_row = 0
        return meaning

    def _after_invalid(self, error: InvalidRequestError) -> Exception:
        """Several invalid requests in a row mean that all are: wrong options, not a wrong prompt."""
        self._invalid_in_a_row += 1
        if self._invalid_in_a_row < SAME_FAULT_LIMIT:
            return error
        return StopError(
            f"{SAME_FAULT_LIMIT} requests in a row were rejected, so the run stops. The last one: {error} "
            "Check generation_kwargs, then build again."
        )

    def _as_answer(self, answer: ImageAnswer | bytes) -> ImageAnswer:
        if isinstance(answer, ImageAnswer):
            return answer
        if isinstance(answer, bytes):
            return ImageAnswer(answer)
        raise TypeError(
            f"{type(self._model).__name__}.agenerate() returned a {type(answer).__name__}; "
            "it must return an ImageAnswer or the image's bytes"
        )
