"""A URL with a login is used as it is, and shown without it wherever it could be seen."""

import base64
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import ValidationError

from tasks_lib.errors import StopError
from tasks_lib.generator import ImageGenerator
from tasks_lib.limits import Limits
from tasks_lib.models import (
    ImageGenerationModel,
    ImageRequest,
    InferenceEndpointsImageGeneration,
    OpenAIImageGeneration,
)
from tasks_lib.models.endpoint_url import login_spellings
from tasks_lib.store import ImageStore
from tests.echo import EchoServer

USER, PASSWORD = "marked-user", "marked/p@ss word"
ESCAPED = quote(PASSWORD, safe="")
KINDS: list[Any] = [InferenceEndpointsImageGeneration, OpenAIImageGeneration]


def model_of(kind: Any, url: str) -> ImageGenerationModel:
    named = {"model_id": "m"} if kind is OpenAIImageGeneration else {}
    model = kind.model_validate({"base_url": url, **named})
    assert isinstance(model, ImageGenerationModel)
    return model


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("said", ["{}", "user {0!r}", "signed in with marked-user:marked/p@ss word", f"no {ESCAPED}"])
@pytest.mark.parametrize("status", [200, 401, 422, 500])
@pytest.mark.parametrize("kind", KINDS)
def test_an_escaped_password_is_shown_and_kept_nowhere(tmp_path: Path, kind: Any, status: int, said: str) -> None:
    """A password that is percent-encoded in base_url is in no error, repr, dump or file in either spelling."""
    with EchoServer(status, "text", said) as server:
        model = model_of(kind, server.url.replace("http://", f"http://{USER}:{ESCAPED}@"))
        model.load()
        generator = ImageGenerator(model, ImageStore(tmp_path), Limits(max_attempts=1))
        try:
            (found,) = generator.generate([ImageRequest("a cat")])
            told = f"{found!r} {found.error}"
        except StopError as error:
            told = f"{error!r} {error} {error.__cause__}"
        generator.close()
        (authorization,) = server.authorizations
    basic = authorization.removeprefix("Basic ")
    told += f"{model!r} {model} {model.model_name} {model.identity()} {model.written()} {model.model_dump()}"
    told += f"{model.model_dump_json()} {generator!r}"
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (PASSWORD, ESCAPED, basic):
        assert secret not in told
        assert secret.encode() not in kept


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://me:{ESCAPED}@host.example/v1",
        f"http://me:{PASSWORD}@host.example/v1",
        f"http://me:{ESCAPED}@[::1/v1",
        f"http://me:{ESCAPED}@host.example\u2100/v1",
        f"http://me:{ESCAPED}@host.example:port/v1",
        f"http://me:{ESCAPED}@/v1",
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_url_is_said_without_its_password(kind: Any, url: str) -> None:
    """A URL that cannot be asked is found when it is read; the error shows none of its login."""
    with pytest.raises(ValidationError, match="base_url") as caught:
        model_of(kind, url)
    assert "marked" not in f"{caught.value!r} {caught.value} {caught.value.__cause__}"


def test_every_spelling_of_a_login_is_known() -> None:
    """As it stands in the URL, as it is meant, and as it is sent; a name alone is a key."""
    spelled = {"me:a%2Fb", "me:a/b", "a%2Fb", "a/b", "bWU6YS9i"}
    assert set(login_spellings("https://me:a%2Fb@host/x")) == spelled
    assert set(login_spellings("https://key%2F1@host")) == {"key%2F1", "key/1:", "key/1", "a2V5LzE6"}
    assert login_spellings("https://host/x@y") == []


def test_a_login_takes_the_place_of_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """A login in base_url is sent as it is meant, in UTF-8; the token of the environment, meant for others, is not."""
    monkeypatch.setenv("HF_TOKEN", "hf_token_of_the_hub")
    with EchoServer(422, "text", "no") as server:
        model = model_of(InferenceEndpointsImageGeneration, server.url.replace("://", "://m%C3%A9:p%40ss%F0%9F%90%88@"))
        model.load()
        generator = ImageGenerator(model, None, Limits(max_attempts=1))
        generator.generate([ImageRequest("a cat")])
        generator.close()
        (authorization,) = server.authorizations
    kind, login = authorization.split()
    assert (kind, base64.b64decode(login).decode()) == ("Basic", "mé:p@ss🐈")
