"""The one place where a request is answered.

``fingerprint -> store? -> single flight -> budget reserve -> concurrency slot -> call (retry inside) -> verify
bytes -> store -> settle``
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tasks_lib.errors import GenerationError, NotAskedError, StopError, ThrottledError, TransientError
from tasks_lib.event_loop import event_loop
from tasks_lib.images import ImageFacts, verify_image
from tasks_lib.limits import Budget, ConcurrencyLimit, Limits, RetryPolicy
from tasks_lib.models import ImageAnswer, ImageGenerationModel, ImageRequest
from tasks_lib.provenance import Record, fingerprint, sha256
from tasks_lib.store import ImageStore

__all__ = ["Generation", "ImageGenerator"]

SAME_FAULT_LIMIT = 5
"""Requests found invalid in a row, with no image in between, that stop the run."""


@dataclass(frozen=True)
class Generation:
    """How one generation ended."""

    status: str
    """``ok``, ``refused``, ``failed`` or ``not_asked``."""
    request: ImageRequest
    error: str | None = None
    """Why there is no image."""
    attempts: int = 0
    """Calls made in this run; 0 for an image that was in the store."""
    seconds: float = 0.0
    """Spent on those calls, waiting included."""
    record: Record | None = None
    data: bytes | None = None
    """The image, where no store keeps it."""


@dataclass(frozen=True)
class _Arrival:
    """An image that has just come, found whole."""

    answer: ImageAnswer
    facts: ImageFacts
    attempts: int
    seconds: float


class ImageGenerator:
    """Answers requests with a model, within limits, keeping every paid image.

    It may be called from any thread; all threads share one window, one budget and one set of calls in flight.
    Pickled, it travels without its connections and opens its own.

    Args:
        model: a loaded model.
        store: where images are kept; ``None`` keeps nothing, as in a short script.
        limits: what may be in flight, spent and tried again.
    """

    def __init__(
        self, model: ImageGenerationModel, store: ImageStore | None = None, limits: Limits | None = None
    ) -> None:
        self.model = model
        self.store = store
        self.limits = limits or Limits()
        self.budget = Budget(self.limits.max_images, self.limits.max_cost_usd, model.price_per_image_usd)
        self.window = ConcurrencyLimit(self.limits.max_concurrency)
        self._retry = RetryPolicy(self.limits.max_attempts, self.limits.max_wait_s)
        self._identity = model.identity()
        self._in_flight: dict[str, asyncio.Task[Generation]] = {}
        self._stopped: BaseException | None = None
        self._invalid_in_a_row = 0

    def __reduce__(self) -> tuple[type["ImageGenerator"], tuple[ImageGenerationModel, ImageStore | None, Limits]]:
        return ImageGenerator, (self.model, self.store, self.limits)

    def fingerprint(self, request: ImageRequest) -> str:
        """The key of a request's image in the store."""
        return fingerprint(self._identity, request.facts())

    def generate(self, requests: Sequence[ImageRequest]) -> list[Generation]:
        """Answer requests, in order, each with an image or the reason why there is none.

        Raises:
            StopError: no further request can succeed; what was paid for is in the store.
            StoreError: the store cannot be read or written.
        """
        keys = [self.fingerprint(request) for request in requests]
        kept = self.store.get_many(keys) if self.store else {}
        missing = [(key, request) for key, request in zip(keys, requests, strict=True) if key not in kept]
        asked = iter(event_loop().run(self._answer_all(missing)) if missing else [])
        return [
            Generation("ok", request, record=kept[key]) if key in kept else next(asked)
            for key, request in zip(keys, requests, strict=True)
        ]

    def close(self) -> None:
        """Close the model's connections."""
        event_loop().run(self.model.aclose())

    async def _answer_all(self, requests: Sequence[tuple[str, ImageRequest]]) -> list[Generation]:
        answers = await asyncio.gather(
            *(self._answer_once(key, request) for key, request in requests), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [answer for answer in answers if isinstance(answer, Generation)]

    async def _answer_once(self, key: str, request: ImageRequest) -> Generation:
        """Equal requests in flight await one call."""
        flight = self._in_flight.get(key)
        if flight is None:
            flight = self._in_flight[key] = asyncio.ensure_future(self._answer(key, request))
            flight.add_done_callback(lambda _: self._in_flight.pop(key, None))
        return await asyncio.shield(flight)

    async def _answer(self, key: str, request: ImageRequest) -> Generation:
        # Another batch or process may have paid for it since the caller looked.
        record = await asyncio.to_thread(self.store.get, key) if self.store else None
        if record:
            return Generation("ok", request, record=record)
        try:
            arrival = await self._ask_within_budget(request)
        except GenerationError as error:
            return Generation(error.status, request, str(error), error.attempts, error.seconds)
        record = self._record(key, request, arrival)
        if self.store:
            await asyncio.to_thread(self.store.put, record, arrival.answer.data)
        data = None if self.store else arrival.answer.data
        return Generation("ok", request, None, arrival.attempts, arrival.seconds, record, data)

    async def _ask_within_budget(self, request: ImageRequest) -> _Arrival:
        await self.budget.reserve()
        try:
            arrival = await self._ask(request)
        except BaseException:
            await self.budget.refund()
            raise
        await self.budget.settle(self._cost(arrival.answer))
        return arrival

    async def _ask(self, request: ImageRequest) -> _Arrival:
        """Call until there is a whole image or no attempt is left."""
        started = time.monotonic()
        failures = throttles = 0
        waited = 0.0
        while True:
            try:
                answer, facts = await self._attempt(request)
                self._invalid_in_a_row = 0
                return _Arrival(answer, facts, failures + throttles + 1, time.monotonic() - started)
            except GenerationError as error:
                throttled = isinstance(error, ThrottledError)
                failures, throttles = failures + (not throttled), throttles + throttled
                delay = self._delay(error, failures, throttles, waited)
                if delay is None:
                    error.attempts = 0 if isinstance(error, NotAskedError) else failures + throttles
                    error.seconds = time.monotonic() - started
                    raise
            waited += delay
            await asyncio.sleep(delay)

    def _delay(self, error: GenerationError, failures: int, throttles: int, waited: float) -> float | None:
        if not isinstance(error, TransientError):
            return None
        return self._retry.delay(error, failures, throttles, waited)

    async def _attempt(self, request: ImageRequest) -> tuple[ImageAnswer, ImageFacts]:
        async with self.window.slot():
            if self._stopped:
                raise NotAskedError(f"not asked: the run stopped: {self._stopped}")
            answer = await self._call(request)
        return answer, await asyncio.to_thread(verify_image, answer.data)

    async def _call(self, request: ImageRequest) -> ImageAnswer:
        try:
            async with asyncio.timeout(self.model.timeout_s):
                answer = await self.model.agenerate(request)
        except TimeoutError as error:
            raise TransientError(
                f"{self.model.model_name} gave no answer within {self.model.timeout_s:g} s (timeout_s)."
            ) from error
        except StopError as error:
            self._stopped = error
            raise
        except Exception as error:  # the row boundary: the model says what its errors mean
            raise self._explained(error) from error
        return answer if isinstance(answer, ImageAnswer) else ImageAnswer(answer)

    def _explained(self, error: Exception) -> Exception:
        explained = self.model.explain(error)
        if explained is None:
            # A programming error in the model: the next request would meet it too.
            self._stopped = error
            return error
        return self._after_invalid(explained)

    def _after_invalid(self, error: GenerationError) -> Exception:
        """Several invalid requests in a row mean that all are: wrong options, not a wrong prompt."""
        if isinstance(error, TransientError) or error.status != "failed":
            return error
        self._invalid_in_a_row += 1
        if self._invalid_in_a_row < SAME_FAULT_LIMIT:
            return error
        self._stopped = StopError(f"{SAME_FAULT_LIMIT} requests in a row were rejected, so the run stops: {error}")
        return self._stopped

    def _cost(self, answer: ImageAnswer) -> float | None:
        return self.model.price_per_image_usd if answer.cost_usd is None else answer.cost_usd

    def _record(self, key: str, request: ImageRequest, arrival: _Arrival) -> Record:
        answer, facts = arrival.answer, arrival.facts
        return Record(
            fingerprint=key,
            model_name=self.model.model_name,
            model=self._identity,
            request=request.facts(),
            sha256=sha256(answer.data),
            size=len(answer.data),
            format=facts.format,
            width=facts.width,
            height=facts.height,
            seconds=round(arrival.seconds, 3),
            attempts=arrival.attempts,
            cost_usd=self._cost(answer),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            metadata=dict(answer.metadata),
        )
