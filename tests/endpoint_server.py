"""The connections of the test endpoint and the account of its calls, all on one event loop."""

import asyncio
import contextlib
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from tests.endpoint_images import format_for, image_for, request_key
from tests.endpoint_scenarios import Answer, Marker, answer_for, json_answer, marker_for, mixed_fault
from tests.endpoint_wire import Request, deliver, read_request

__all__ = ["HOST", "Asked", "Behaviour", "Call", "EndpointServer"]

HOST = "127.0.0.1"
LARGEST_SIDE = 4096


@dataclass(frozen=True)
class Asked:
    """What a request asks for; `source` is the base64 image to be edited, if any."""

    prompt: str
    parameters: Mapping[str, Any]
    source: str | None = None

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Read the body of a request; raises ValueError when it does not follow the protocol."""
        content = json.loads(body)
        if not isinstance(content, dict) or not isinstance(content.get("inputs"), str):
            raise ValueError("the body must be a JSON object with the text 'inputs'")
        parameters = content.get("parameters") or {}
        for side in ("width", "height"):
            if not 1 <= int(parameters.get(side, 1)) <= LARGEST_SIDE:
                raise ValueError(f"{side} must be between 1 and {LARGEST_SIDE}, found {parameters[side]}")
        if "prompt" in parameters:
            return cls(parameters["prompt"], parameters, content["inputs"])
        return cls(content["inputs"], parameters)

    @property
    def key(self) -> bytes:
        """What stands for this request; its calls are counted under it."""
        return request_key(self.prompt, self.parameters, self.source)


@dataclass(frozen=True)
class Call:
    """One call that has ended; times are seconds of `time.monotonic()`.

    `delivered` says that the body was written to its last byte while the client was there; `sent_sha256` is that of
    the body then, without the zeros of a huge one, else None.
    """

    asked: Asked
    headers: Mapping[str, str]
    time_started: float
    time_answered: float
    """When the answer began to be sent."""
    time_ended: float
    status: int
    sent_sha256: str | None
    delivered: bool

    @property
    def prompt(self) -> str:
        """The prompt that was asked for."""
        return self.asked.prompt

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The parameters sent with the prompt."""
        return self.asked.parameters


@dataclass(frozen=True)
class Behaviour:
    """How the endpoint answers; the fields are described at `Endpoint`."""

    latency_s: float = 0.0
    image_bytes: int | None = None
    image_format: str = "png"
    fail_share: float = 0.0
    fail_seed: int = 0

    def image_for(self, asked: Asked) -> Answer:
        """Return the answer to a request that goes well."""
        chosen = format_for(asked.prompt, self.image_format)
        body = image_for(
            asked.prompt, asked.parameters, asked.source, image_format=chosen, image_bytes=self.image_bytes
        )
        return Answer(200, f"image/{chosen}", body)

    def answer(self, asked: Asked, attempt: int) -> Answer:
        """Return the answer to call number `attempt` (from 0) of a request."""
        image = self.image_for(asked)
        marker = marker_for(asked.prompt, attempt)
        if marker is None and attempt == 0 and self.fail_share:
            marker = mixed_fault(asked.key, self.fail_share, self.fail_seed)
        answer = answer_for(marker, image) if marker else image
        return replace(answer, delay_s=answer.delay_s + self.latency_s)


class EndpointServer:
    """The listening socket, its connections and their account; every method belongs to one event loop.

    Args:
        behaviour: how requests are answered.
        max_in_flight: how many calls may be in flight before more are answered 429; None for any number.
    """

    def __init__(self, behaviour: Behaviour, max_in_flight: int | None = None) -> None:
        self.port = 0
        self.max_in_flight = max_in_flight
        self.retry_after: str | None = None
        self.calls: list[Call] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self._behaviour = behaviour
        self._attempts: Counter[bytes] = Counter()
        self._listener: asyncio.Server | None = None
        self._idle: set[asyncio.StreamWriter] = set()
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def listen(self, port: int | None = None) -> None:
        """Listen on a port: the one given (0 for any free one), else the one listened on before."""
        self._listener = await asyncio.start_server(self._converse, HOST, self.port if port is None else port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Refuse connections and close the idle ones; calls in flight are still answered."""
        if self._listener:
            self._listener.close()
            self._listener = None
        idle = list(self._idle)
        for writer in idle:
            writer.close()
        # Only when the sockets are closed does a client find out before it sends its next request.
        await asyncio.gather(*(writer.wait_closed() for writer in idle), return_exceptions=True)

    async def stop(self) -> None:
        """Close everything, calls in flight included."""
        await self.refuse()
        connections = dict(self._connections)
        for task, writer in connections.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await asyncio.gather(*(writer.wait_closed() for writer in connections.values()), return_exceptions=True)

    async def forget(self) -> None:
        """Empty the account and the memory of which calls already went wrong."""
        self.calls.clear()
        self._attempts.clear()
        self.most_in_flight = self.in_flight

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with self._connection(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            usable = True
            while usable and self._listener:
                self._idle.add(writer)
                request = await read_request(reader)
                self._idle.discard(writer)
                usable = await self._reply(request, reader, writer)

    @contextlib.contextmanager
    def _connection(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        # Written only means written when no byte waits in a buffer of ours.
        writer.transport.set_write_buffer_limits(high=0)
        try:
            yield
        finally:
            writer.close()
            self._idle.discard(writer)
            del self._connections[task]

    async def _reply(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; returns whether the connection can serve another."""
        if request.method != "POST":
            return await deliver(json_answer(200, self._account()), reader, writer)
        try:
            asked = Asked.read(request.body)
        except (AttributeError, TypeError, ValueError) as error:
            return await deliver(json_answer(400, {"error": f"Invalid request: {error}"}), reader, writer)
        delivered = await self._take(asked, request, reader, writer)
        return delivered and request.headers.get("connection", "").lower() != "close"

    async def _take(
        self, asked: Asked, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one call and enter it into the account."""
        started = answered = time.monotonic()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        delivered = False
        answer = self._answer(asked)
        try:
            if answer.delay_s:
                await asyncio.sleep(answer.delay_s)
            answered = time.monotonic()
            delivered = await deliver(answer, reader, writer)
        finally:
            self.in_flight -= 1
            sha256 = hashlib.sha256(answer.body).hexdigest() if delivered else None
            times = started, answered, time.monotonic()
            self.calls.append(Call(asked, request.headers, *times, answer.status, sha256, delivered))
        return delivered

    def _answer(self, asked: Asked) -> Answer:
        if self.max_in_flight is not None and self.in_flight > self.max_in_flight:
            options = {} if self.retry_after is None else {"retry-after": self.retry_after}
            return answer_for(Marker("429", options), Answer())
        attempt = self._attempts[asked.key]
        self._attempts[asked.key] += 1
        try:
            return self._behaviour.answer(asked, attempt)
        except ValueError as error:
            return json_answer(400, {"error": f"Unreadable scenario in {asked.prompt!r}: {error}"})

    def _account(self) -> dict[str, Any]:
        return {
            "calls": len(self.calls),
            "delivered": sum(call.delivered for call in self.calls),
            "most_in_flight": self.most_in_flight,
            "by_status": Counter(call.status for call in self.calls),
        }
