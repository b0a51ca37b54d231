"""The one place where a request is answered.

``fingerprint -> store? -> single flight -> budget reserve -> concurrency slot -> call (retry inside) -> verify
bytes -> store -> settle``
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from tasks_lib.calls import Arrival, Calls
from tasks_lib.concurrency import ConcurrencyLimit
from tasks_lib.errors import GenerationError, RefusedError, StopError
from tasks_lib.event_loop import event_loop
from tasks_lib.flights import GRACE_S, Flight, Flights, look_at
from tasks_lib.generation import Generation
from tasks_lib.image_verification import verify_image
from tasks_lib.limits import Budget, Limits, RetryPolicy
from tasks_lib.models import ImageAnswer, ImageGenerationModel, ImageRequest
from tasks_lib.provenance import Record, canonical_json, fingerprint_of_json, sha256
from tasks_lib.store import ImageStore
from tasks_lib.store.refusals import Refusal

__all__ = ["ImageGenerator"]

LOCAL_KEEPERS = 2
"""Threads that verify and write images. Many that write files at the same time take twelve times the CPU."""
REMOTE_KEEPERS = 32
"""The same, where a write takes as long as a short call."""


class ImageGenerator:
    """Answers requests with a model, within limits, keeping every paid image.

    It may be called from any thread; all threads share one window, one budget and one set of calls in flight.
    Pickled, it travels without its connections and opens its own.

    Args:
        model: a loaded model.
        store: where images are kept; ``None`` keeps nothing, as in a short script.
        limits: what may be in flight, spent and tried again.

    Raises:
        RecipeError: a cost cap with an unknown price.
    """

    def __init__(
        self, model: ImageGenerationModel, store: ImageStore | None = None, limits: Limits | None = None
    ) -> None:
        self.model = model
        self.store = store
        self.limits = limits or Limits()
        self.budget = Budget(self.limits.max_images, self.limits.max_cost_usd, model.price_per_image_usd)
        self.window = ConcurrencyLimit(self.limits.max_concurrency, self.limits.max_wait_s)
        self._identity = model.identity()
        self._identity_json = canonical_json(self._identity)
        retry = RetryPolicy(self.limits.max_attempts, self.limits.max_wait_s)
        is_remote = store is not None and "://" in store.location
        keepers = ThreadPoolExecutor(REMOTE_KEEPERS if is_remote else LOCAL_KEEPERS, "imageloom-keeper")
        self._calls = Calls(model, self.window, retry, keepers)
        self._flights: Flights[Generation] = Flights()
        self._unaccounted: dict[str, tuple[int, float]] = {}

    def __reduce__(self) -> tuple[type["ImageGenerator"], tuple[ImageGenerationModel, ImageStore | None, Limits]]:
        return ImageGenerator, (self.model, self.store, self.limits)

    def fingerprint(self, request: ImageRequest) -> str:
        """The key of a request's image in the store."""
        return fingerprint_of_json(self._identity_json, canonical_json(request.facts()))

    def generate(self, requests: Sequence[ImageRequest]) -> list[Generation]:
        """Answer requests, in order, each with an image or the reason why there is none.

        Interrupted, it asks nothing new, and gives what is in flight a moment to arrive and be kept.

        Raises:
            StopError: no further request can succeed, or :meth:`stop` was called; what was paid for is in the store.
                Without a store, images that came are given back, and the others are ``not_asked`` for that reason.
            StoreError: the store cannot be read or written.
        """
        keyed = [(self.fingerprint(request), request) for request in requests]
        # Looked up here first: what is in the store needs neither the loop nor a task of its own.
        known = self.known(dict(keyed))
        missing = [each for each in keyed if each[0] not in known]
        asked = iter(event_loop().run(self._answer_all(missing)) if missing else [])
        return [known[key] if key in known else next(asked) for key, _ in keyed]

    def stop(self, reason: str, grace_s: float | None = GRACE_S) -> None:
        """Ask nothing from now on, for good: every caller gets a :class:`StopError`.

        Returns at once, from any thread or signal handler. The callers return when what is in flight has arrived and
        is kept, or when the time for that is over.

        Args:
            reason: what the error says, such as "cancelled".
            grace_s: seconds for that; ``None`` is as long as the model's ``timeout_s`` allows.
        """
        error = StopError(f"the run was stopped: {reason}. What was paid for is in the store; build again to go on.")
        event_loop().loop.call_soon_threadsafe(self._flights.stop, error, grace_s)

    def close(self) -> None:
        """Close the model's connections."""
        event_loop().run(self.model.aclose())

    def take_account(self, fingerprint: str) -> tuple[int, float]:
        """Calls and seconds that an image took in this run, told once; none of both for one that was in the store.

        Whoever comes for it: the batch that asked, or the same batch once more after a fault of its machine.
        """
        return self._unaccounted.pop(fingerprint, (0, 0.0))

    def known(self, requests: Mapping[str, ImageRequest]) -> dict[str, Generation]:
        """What the store answers without a call: images, and refusals unless they are to be asked again.

        Args:
            requests: by fingerprint.

        Raises:
            StoreError: the store cannot be read.
        """
        if not self.store:
            return {}
        kept = self.store.get_many(requests)
        known = {key: Generation("ok", key, requests[key], record=record) for key, record in kept.items()}
        if not self.limits.retry_refused:
            refused = self.store.refusals.get_many(requests.keys() - kept.keys())
            known |= {key: Generation("refused", key, requests[key], each.error) for key, each in refused.items()}
        return known

    async def _answer_all(self, keyed: Sequence[tuple[str, ImageRequest]]) -> list[Generation]:
        new = {key for key, _ in keyed if key not in self._flights}
        # Looked up after the keys are taken: whoever paid for one since is found, in flight or in the store.
        found = asyncio.ensure_future(self._look_up(new))
        found.add_done_callback(look_at)
        flights = [self._flights.join(key, partial(self._answer, request, found)) for key, request in keyed]
        try:
            await asyncio.wait({flight.task for flight in flights})
        except asyncio.CancelledError:
            await self._flights.leave(flights)
            raise
        if self._flights.stopped and any(map(_has_no_end, flights)):
            return self._rescued(flights, [request for _, request in keyed], self._flights.stopped)
        return self._outcomes(flights, new)

    def _rescued(
        self, flights: Sequence[Flight[Generation]], requests: Sequence[ImageRequest], error: Exception
    ) -> list[Generation]:
        """Without a store, what was paid for is in nobody's hands but the caller's."""
        if self.store or not isinstance(error, StopError) or all(map(_has_no_end, flights)):
            raise error
        return [
            Generation("not_asked", flight.key, request, str(error)) if _has_no_end(flight) else flight.task.result()
            for flight, request in zip(flights, requests, strict=True)
        ]

    def _outcomes(self, flights: Sequence[Flight[Generation]], new: set[str]) -> list[Generation]:
        outcomes = []
        for flight in flights:
            outcome = flight.task.result()
            # A call is accounted for once.
            outcomes.append(outcome if flight.key in new else replace(outcome, attempts=0, seconds=0.0))
            new.discard(flight.key)
        return outcomes

    async def _look_up(self, keys: set[str]) -> dict[str, Record]:
        return await asyncio.to_thread(self.store.get_many, keys) if self.store and keys else {}

    async def _answer(
        self, request: ImageRequest, found: asyncio.Future[dict[str, Record]], flight: Flight[Generation]
    ) -> Generation:
        try:
            record = (await asyncio.shield(found)).get(flight.key)
            if record:
                return Generation("ok", flight.key, request, record=record)
            flight.check()
            return await self._ask(request, flight)
        except Exception as error:
            # Whatever it is, the next request would meet it too.
            self._flights.stop(error)
            raise

    async def _ask(self, request: ImageRequest, flight: Flight[Generation]) -> Generation:
        keep = partial(self._keep, flight.key, request)
        try:
            arrival, record = await self._calls.ask(request, flight, self.budget, keep)
        except GenerationError as error:
            if isinstance(error, RefusedError):
                await asyncio.to_thread(self._note_refusal, flight.key, str(error))
            return Generation(error.status, flight.key, request, str(error), error.attempts, error.seconds)
        data = None if self.store else arrival.answer.data
        if self.store:
            self._unaccounted[flight.key] = (arrival.attempts, arrival.seconds)
        return Generation("ok", flight.key, request, None, arrival.attempts, arrival.seconds, record, data)

    def _note_refusal(self, key: str, error: str) -> None:
        if self.store:
            self.store.refusals.put(Refusal(key, error, _now()))

    def _keep(self, key: str, request: ImageRequest, arrival: Arrival) -> tuple[Arrival, Record]:
        """Verify an image and store it, in a thread, before anything else is done with it."""
        record = self._record(key, request, arrival)
        # Another process may have been quicker with the same image; then its record is the one that stays.
        return arrival, self.store.put(record, arrival.answer.data) if self.store else record

    def _record(self, key: str, request: ImageRequest, arrival: Arrival) -> Record:
        answer = arrival.answer
        facts = verify_image(answer.data)
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
            created=_now(),
            metadata=dict(answer.metadata),
        )

    def _cost(self, answer: ImageAnswer) -> float | None:
        return self.model.price_per_image_usd if answer.cost_usd is None else answer.cost_usd


def _has_no_end(flight: Flight[Generation]) -> bool:
    return flight.task.cancelled() or flight.task.exception() is not None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
