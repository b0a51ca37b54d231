"""The query of base_url is sent with each call, tells endpoints apart, and is shown and kept nowhere."""

from pathlib import Path
from typing import Any

import pytest

from tasks_lib.errors import StopError
from tasks_lib.models import ImageRequest, OpenAIImageGeneration
from tests.echo import picture_with, traces_of
from tests.generating import generator_with
from tests.loopback import Asked, LoopbackServer, Reply
from tests.models.test_endpoint_url import KINDS, model_of

KEY = "TOPSECRET/123 +x"
QUERY = "version=2&api_key=TOPSECRET%2F123%20%2Bx"


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def redirected(asked: Asked) -> Reply:
    """To itself, for ever."""
    return Reply(b"", 307, {"Location": asked.path})


def echoed(asked: Asked) -> Reply:
    return Reply(f"Cannot POST {asked.path}: the key {KEY} is unknown".encode(), 422)


@pytest.mark.parametrize("reply", [redirected, echoed])
@pytest.mark.parametrize("kind", KINDS)
def test_a_key_in_the_query_is_shown_and_kept_nowhere(tmp_path: Path, kind: Any, reply: Any) -> None:
    """An endpoint that repeats its URL, or an error of the client that holds it, cannot make us show or keep a key."""
    with LoopbackServer(reply) as server:
        model = model_of(kind, f"{server.url}/v1?{QUERY}")
        traces = traces_of(model, tmp_path)
    told = f"{traces.shown} {model.model_dump()} {model.model_dump_json()} {traces.kept!r}"
    assert "TOPSECRET" not in told
    assert server.url in told


@pytest.mark.parametrize("kind", KINDS)
def test_another_query_is_another_endpoint(kind: Any) -> None:
    """Models told apart by the query alone share no image in the store; without a query the identity is as it was."""
    plain, one, other = (model_of(kind, f"http://x/v1{query}").identity() for query in ("", "?m=dev", "?m=pro"))
    assert one != other != plain != one
    assert plain["settings"]["base_url"] == "http://x/v1"
    assert plain.keys() == {"type", "settings", "schema"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_that_names_its_model_is_kept(tmp_path: Path, kind: Any) -> None:
    """An image in which stands what the query says, as programs write their model into it, is no leak but an image."""
    image = picture_with("flux-dev-1.1")
    with LoopbackServer(lambda asked: Reply(image)) as server:
        model = model_of(kind, f"{server.url}/v1?model=flux-dev-1.1")
        with generator_with(model, tmp_path, max_attempts=1) as generator:
            (found,) = generator.generate([ImageRequest("a cat")])
    assert (found.status, found.error) == ("ok", None)


@pytest.mark.parametrize(("query", "sent"), [("?version=2&a=%2F&a=3", "?version=2&a=%2F&a=3"), ("", "")])
def test_the_query_is_sent_behind_the_path_of_each_call(tmp_path: Path, query: str, sent: str) -> None:
    """A server of the OpenAI protocol that wants a query, such as a version, gets it where it belongs."""
    paths = []

    def reply(asked: Asked) -> Reply:
        paths.append(asked.path)
        return Reply(b"no", 401)

    with LoopbackServer(reply) as server:
        model = OpenAIImageGeneration(model_id="m", base_url=f"{server.url}/v1{query}")
        with generator_with(model, tmp_path) as generator, pytest.raises(StopError, match="answered 401"):
            generator.generate([ImageRequest("a cat")])
    assert paths == [f"/v1/images/generations{sent}"]
