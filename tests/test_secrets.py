"""No secret gets into anything that is shown, sent on or kept."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks_lib.errors import ImageloomError
from tasks_lib.generator import ImageGenerator
from tasks_lib.limits import Limits
from tasks_lib.models import ImageRequest, InferenceEndpointsImageGeneration
from tasks_lib.models.http_answers import redact
from tasks_lib.store import ImageStore
from tests.echo import EchoServer, traces_of
from tests.loopback import LoopbackServer, Reply

TOKEN = "hf_MARKEDxTOKENx0123456789"
PASSWORD = "marked-password"


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    """A token in the environment, with the line end that a file of variables leaves."""
    monkeypatch.setenv("HF_TOKEN", TOKEN + "\n")
    return TOKEN


@pytest.mark.parametrize("status", [200, 400, 401, 422, 500])
@pytest.mark.parametrize("kind", ["text", "json", "image"])
def test_echoed_token_is_shown_and_kept_nowhere(tmp_path: Path, token: str, status: int, kind: str) -> None:
    """An endpoint that repeats the Authorization header, even inside an image, cannot make us show or keep it."""
    with EchoServer(status, kind) as server:
        traces = traces_of(InferenceEndpointsImageGeneration(base_url=server.url), tmp_path)
        assert server.authorizations[0] == f"Bearer {token}"
    assert token not in traces.shown
    assert token.encode() not in traces.pickled + traces.kept


def test_password_of_the_url_is_shown_and_kept_nowhere(tmp_path: Path) -> None:
    """User and password in base_url reach the endpoint, and nothing that is shown, kept or written into a recipe."""
    with EchoServer(500, "text") as server:
        url = server.url.replace("http://", f"http://me:{PASSWORD}@")
        model = InferenceEndpointsImageGeneration(base_url=url)
        traces = traces_of(model, tmp_path)
        assert server.authorizations[0].startswith("Basic ")
        basic = server.authorizations[0].removeprefix("Basic ")
    assert model.model_name == server.url
    shown = traces.shown + model.model_dump_json()
    assert not [secret for secret in (PASSWORD, basic) if secret in shown or secret.encode() in traces.kept]
    plain = InferenceEndpointsImageGeneration(base_url=server.url)
    assert model.identity() == plain.identity()


def test_password_is_not_in_errors_of_settings() -> None:
    """A mistake in another setting, or in the URL itself, is explained without the URL's password."""
    for settings in ({"modle_id": "x"}, {"model_id": "x"}, {"provider": "nobody"}, {"timeout_s": -1}):
        with pytest.raises(ValidationError) as caught:
            InferenceEndpointsImageGeneration(base_url=f"http://me:{PASSWORD}@host", **settings)  # type: ignore[arg-type]
        assert PASSWORD not in str(caught.value)
    with pytest.raises(ValidationError, match="does not begin with http") as caught:
        InferenceEndpointsImageGeneration(base_url=f"ftp://me:{PASSWORD}@host")
    assert PASSWORD not in str(caught.value)


def test_token_that_cannot_be_sent_is_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A token with a line end inside breaks every call, and the error of the client library does not show it."""
    monkeypatch.setenv("MARKED_TOKEN", f"{TOKEN}\n{TOKEN}")
    model = InferenceEndpointsImageGeneration(base_url="http://127.0.0.1:9", token_env="MARKED_TOKEN")
    model.load()
    generator = ImageGenerator(model, ImageStore(tmp_path), Limits(max_attempts=2))
    try:
        (found,) = generator.generate([ImageRequest("a cat")])
        said = repr(found)
    except ImageloomError as error:
        said = repr(error)
    finally:
        generator.close()
    assert TOKEN not in said


def test_missing_token_is_named_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a token is needed and not there, the error names the variable to set."""
    monkeypatch.delenv("OTHER_TOKEN", raising=False)
    model = InferenceEndpointsImageGeneration(model_id="a/b", token_env="OTHER_TOKEN")
    with pytest.raises(ImageloomError, match="export OTHER_TOKEN="):
        model.load()
    assert "OTHER_TOKEN" not in os.environ


def test_password_of_a_proxy_is_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A proxy of the environment that turns the call down is told by its address, without the login in its URL."""
    monkeypatch.setenv("NO_PROXY", "")
    with LoopbackServer(lambda asked: Reply()) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("://", f"://me:{PASSWORD}@"))
        traces = traces_of(InferenceEndpointsImageGeneration(base_url="https://far.test"), tmp_path)
    assert "ClientHttpProxyError" in traces.shown and f":{proxy.port}" in traces.shown
    assert PASSWORD not in traces.shown
    assert PASSWORD.encode() not in traces.kept


def test_redact() -> None:
    """Secrets go, and so do what stands behind Bearer, and login and query of a URL; the rest stays as it was."""
    assert redact("no s3cret, Bearer abc.def-ghi, basic auth", ["s3cret", None, ""]) == (
        "no [redacted], Bearer [redacted], basic auth"
    )
    assert redact("Why? GET '/a?key=a%2Fb&c' of http://host/b?d=e failed", []) == (
        "Why? GET '/a?[redacted]' of http://host/b?[redacted] failed"
    )
    assert (
        redact("http://host/p?a/b=c&sig=s and http://host/r?s", [])
        == "http://host/p?[redacted] and http://host/r?[redacted]"
    )
    for plain in ("what is 2+2?x=4 please", "is it x?y=z, and more", "this and/or?that=3"):
        assert redact(plain, []) == plain
    assert redact("url='http://me:p@ss@host:1/a@b', mail a@b", []) == "url='http://[redacted]@host:1/a@b', mail a@b"
