"""Calls over our own connections reach whom they should, with what they should, and a paid answer is never dropped."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from tasks_lib.errors import GenerationError
from tasks_lib.models.http_post import HttpAnswer, HttpPoster
from tests.endpoint import Endpoint
from tests.loopback import Asked, LoopbackServer, Reply

MOST_BYTES = 100_000
LEFT_OPEN = """
import sys
from tasks_lib import ImageGeneration, InferenceEndpointsImageGeneration
task = ImageGeneration(image_generation_model=InferenceEndpointsImageGeneration(base_url=sys.argv[1]))
task.load()
rows = next(task.process([{"prompt": "a cat"}]))
assert rows[0]["image"]
"""


class Recorder(LoopbackServer):
    """Answers every request alike, or as it is told by path, and remembers it."""

    def __init__(self, **replies: Reply) -> None:
        super().__init__(self._reply)
        self.asked: list[Asked] = []
        self._replies = replies

    def _reply(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        return self._replies.get(asked.path.strip("/"), Reply(b"an image"))


def run(call: Coroutine[Any, Any, HttpAnswer], http: HttpPoster) -> HttpAnswer:
    async def ask() -> HttpAnswer:
        try:
            return await call
        finally:
            await http.aclose()

    return asyncio.run(ask())


def post(url: str, headers: dict[str, str] | None = None, json: Any = None) -> HttpAnswer:
    http = HttpPoster(MOST_BYTES)
    return run(http.post(url, headers or {}, json), http)


def test_a_call_in_flight_survives_the_closing_of_its_connections() -> None:
    """Whoever shares a model and closes it does not cost the other the image that is on its way."""
    asked, answered = threading.Event(), threading.Event()

    def reply(_: Asked) -> Reply:
        asked.set()
        answered.wait(10)
        return Reply(b"an image")

    async def ask(url: str) -> HttpAnswer:
        http = HttpPoster(MOST_BYTES)
        call = asyncio.ensure_future(http.post(url, {}, {"inputs": "a cat"}))
        assert await asyncio.to_thread(asked.wait, 10)
        await http.aclose()
        answered.set()
        return await call

    with LoopbackServer(reply) as server:
        assert asyncio.run(ask(server.url)).body == b"an image"


def test_a_script_that_ends_without_unloading_says_nothing() -> None:
    """The shortest script that asks for an image ends in silence, though nobody closed its connections."""
    with Endpoint() as endpoint:
        done = subprocess.run([sys.executable, "-c", LEFT_OPEN, endpoint.url], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_to_another_host_is_followed_without_the_token(status: int) -> None:
    """An endpoint that has moved is found, but only the host that was named gets the token."""
    with Recorder() as other, Recorder(old=Reply(b"", status, {"Location": f"{other.url}/new"})) as named:
        answer = post(f"{named.url}/old", {"authorization": "Bearer token"}, {"inputs": "a cat"})
    assert answer.body == b"an image"
    assert named.asked[0].headers["authorization"] == "Bearer token"
    assert "authorization" not in other.asked[0].headers
    assert other.asked[0].body == (b"" if status == 302 else b'{"inputs":"a cat"}')


def test_proxies_of_the_environment_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the environment names a proxy the call goes through it, unless the host is said to need none."""
    for name in ("http_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Recorder() as proxy, Recorder() as endpoint:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        post(f"{endpoint.url}/near", json={})
        post("http://far.test/model", json={})
    assert [asked.path for asked in proxy.asked] == ["http://far.test/model"]
    assert [asked.path for asked in endpoint.asked] == ["/near"]


def test_a_long_header_does_not_lose_the_image() -> None:
    """What a provider's gateway writes into a header, such as a policy of 20 KB, does no harm."""
    with Recorder(image=Reply(b"an image", headers={"Content-Security-Policy": "x" * 20_000})) as server:
        assert post(f"{server.url}/image", json={}).body == b"an image"


def test_a_signed_link_is_asked_for_as_it_stands() -> None:
    """A signature covers every character of a link, so that none is escaped anew or made plain."""
    signed = "/a%2Fb%7E~c+d?X-Sig=a%2Bb%20c+d/e=&e&%zz"
    http = HttpPoster(MOST_BYTES)
    with Recorder() as server:
        run(http.get(f"{server.url}{signed}", {}), http)
        assert server.asked[0].path == signed


def test_what_announces_more_than_an_image_can_have_is_not_read() -> None:
    """An answer that is too long by its own account ends at once; the error says how much is taken."""
    with (
        Recorder(image=Reply(bytes(MOST_BYTES + 1))) as server,
        pytest.raises(GenerationError, match="at most 100,000"),
    ):
        post(f"{server.url}/image", json={})
