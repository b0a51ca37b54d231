"""A real HTTP server on loopback that speaks the Hugging Face text-to-image protocol and accounts for every call.

`POST` to any path with `{"inputs": prompt, "parameters": {...}}` answers image bytes; to edit an image, `inputs` is the
base64 image and the prompt is among the parameters. What goes wrong is named in the prompt: see
`tests/endpoint_scenarios.py`. `GET` answers a summary of the account in JSON.

    with Endpoint(latency_s=0.1) as endpoint:
        client = InferenceClient(model=endpoint.url, token="any")

A benchmark must not share its interpreter with the server: `python -m tests.endpoint --port 0 --latency 0.1` prints
its URL as its first line and serves until it is killed.
"""

import argparse
import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Self

from tests.endpoint_server import HOST, Asked, Behaviour, Call, EndpointServer

__all__ = ["Call", "Endpoint"]


class Endpoint:
    """The server in a thread and an event loop of its own; use it as a context manager.

    Args:
        latency_s: seconds that every answer takes; only the 429 of `max_in_flight` comes at once.
        image_bytes: about how big the images are; None for small ones whose pixels carry the prompt.
        image_format: "png", "jpeg" or "webp", for prompts that do not say `[png]`, `[jpeg]` or `[webp]`.
        max_in_flight: how many calls may be in flight before more are answered 429; None for any number.
        fail_share: the share (0 to 1) of requests whose first call goes wrong, in many ways.
        fail_seed: chooses these requests and what happens to each.
    """

    def __init__(
        self,
        *,
        latency_s: float = 0.0,
        image_bytes: int | None = None,
        image_format: str = "png",
        max_in_flight: int | None = None,
        fail_share: float = 0.0,
        fail_seed: int = 0,
    ) -> None:
        self._behaviour = Behaviour(latency_s, image_bytes, image_format, fail_share, fail_seed)
        self._server = EndpointServer(self._behaviour, max_in_flight)
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="endpoint", daemon=True)
        self._thread.start()
        self.resume()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._run(self._server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """Where to post to."""
        return f"http://{HOST}:{self._server.port}"

    @property
    def calls(self) -> list[Call]:
        """Every call that has ended, in the order of their ends."""
        self._settle()
        return list(self._server.calls)

    @property
    def in_flight(self) -> int:
        """How many calls have come in whole and have not ended."""
        self._settle()
        return self._server.in_flight

    @property
    def most_in_flight(self) -> int:
        """The most calls that were in flight at one time, those answered 429 among them."""
        self._settle()
        return self._server.most_in_flight

    def calls_for(self, prompt: str) -> list[Call]:
        """Return the calls with this very prompt that have ended."""
        return [call for call in self.calls if call.prompt == prompt]

    def image_for(self, prompt: str, parameters: Mapping[str, Any] | None = None, source: str | None = None) -> bytes:
        """Return the image file this endpoint sends for a request that goes well."""
        return self._behaviour.image_for(Asked(prompt, parameters or {}, source)).body

    def allow(self, max_in_flight: int | None, retry_after: str | None = None) -> None:
        """From now on answer 429, with this `Retry-After` if any, to calls beyond this many in flight."""
        self._server.max_in_flight = max_in_flight
        self._server.retry_after = retry_after

    def pause(self) -> None:
        """Refuse connections and close the idle ones until `resume`; calls in flight are still answered."""
        self._run(self._server.refuse())

    def resume(self) -> None:
        """Listen again, on the same port."""
        self._run(self._server.listen())

    def reset(self) -> None:
        """Forget the calls that have ended and which scenarios have already happened."""
        self._run(self._server.forget())

    def _settle(self) -> None:
        # The client may hold an answer whose call is not in the account yet: that takes the loop one more turn.
        if not self._loop.is_closed():
            self._run(asyncio.sleep(0))

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


def main() -> None:
    """Serve in the foreground until killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.endpoint", description="Serve test images on loopback.")
    parser.add_argument("--port", type=int, default=0, help="0 for any free one")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that every answer takes")
    parser.add_argument("--image-bytes", type=int, help="about how big the images are")
    parser.add_argument("--image-format", choices=["jpeg", "png", "webp"], default="png")
    parser.add_argument("--max-in-flight", type=int, help="answer 429 to calls beyond this many")
    parser.add_argument("--fail-share", type=float, default=0.0, help="share of first calls that go wrong, 0 to 1")
    parser.add_argument("--fail-seed", type=int, default=0)
    options = parser.parse_args()
    behaviour = Behaviour(
        options.latency, options.image_bytes, options.image_format, options.fail_share, options.fail_seed
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(EndpointServer(behaviour, options.max_in_flight), options.port))


async def _serve(server: EndpointServer, port: int) -> None:
    await server.listen(port)
    print(f"http://{HOST}:{server.port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    main()
