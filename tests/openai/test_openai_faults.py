"""What becomes of a request when OpenAI's protocol or its package reports a fault; no key gets out with it."""

from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from tasks_lib.errors import (
    GenerationError,
    InvalidRequestError,
    RefusedError,
    StopError,
    ThrottledError,
    TransientError,
)
from tasks_lib.models import ImageRequest
from tasks_lib.models.openai import OpenAIImageGeneration
from tasks_lib.models.openai_errors import meaning_of
from tests.echo import EchoServer, traces_of
from tests.faults import TOLD, Row, check_outcome, ended_calls
from tests.generating import generator_with
from tests.openai_endpoint import OpenAIEndpoint
from tests.openai_endpoint_models import KEY

PASSWORD = "marked-password"
REQUEST = httpx2.Request("POST", "http://endpoint/v1/images/generations")


def model_at(url: str, **settings: Any) -> OpenAIImageGeneration:
    return OpenAIImageGeneration(model_id="gpt-image-2", base_url=url, **settings)


ROWS = [
    Row("{{429 retry-after=0.3}}", 2, wait_s=0.3),
    Row("{{429 retry-after=0.05 times=7}}", 8),
    Row("{{503 retry-after=0.2}}", 2, wait_s=0.2),
    *(Row(f"{{{{{status}}}}}", 2) for status in (408, 409, 500, 502)),
    Row("{{reset-before}}", 2),
    Row("{{reset-middle}}", 2),
    Row("{{close-middle}}", 2),
    Row("{{hang}}", 2),
    Row("{{html}}", 2),
    Row("{{empty}}", 2),
    Row("{{half-png}}", 2),
    Row("{{wrong-type}}", 1),
    *TOLD,
    Row("{{500 times=inf}}", 3, "gpt-image-2 answered 500: .*Internal server error"),
    Row(
        "{{reset-before times=inf}}",
        3,
        r"gpt-image-2: APIConnectionError Connection error. \((Read|RemoteProtocol)Error",
    ),
    Row("{{reset-middle times=inf}}", 3, "gpt-image-2: (ReadError|RemoteProtocolError)"),
    Row("{{hang times=inf}}", 3, r"gave no answer within 1 s \(timeout_s\)"),
    Row("{{empty times=inf}}", 3, "answered 200 without an image"),
    Row("{{html times=inf}}", 3, "not an image; it begins with b'<!doctype html>"),
    Row("{{bomb}}", 1, "too large to be opened"),
    Row("{{huge}}", 1, r"the answer has 300,\d{3},\d{3} bytes or more; at most 100,663,296"),
    Row("{{huge length=no}}", 1, r"the answer has 100,\d{3},\d{3} bytes or more; at most 100,663,296"),
    Row("{{refused-openai status=200}}", 1, "answered 200 .*moderation_blocked", "refused"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.scenario)
def test_fault(server: OpenAIEndpoint, tmp_path: Path, row: Row) -> None:
    """Each fault is retried by the generator alone, waited for and explained as the table says."""
    timeout_s = 1.0 if "hang" in row.scenario else 20.0
    with generator_with(model_at(server.url, timeout_s=timeout_s), tmp_path, max_attempts=3) as generator:
        check_outcome(generator, server, row)


@pytest.mark.parametrize("scenario", ["{{401}}", "{{403}}", "{{404}}", "[no-credit]", "[hard-limit]"])
def test_fault_that_ends_the_run(server: OpenAIEndpoint, tmp_path: Path, scenario: str) -> None:
    """No key, no credit, no permission or no such model: one call in all, and an error that says what to do."""
    message = r"answered 4..: .*The run stops: .*(check|add|ask)"
    with generator_with(model_at(server.url), tmp_path) as generator, pytest.raises(StopError, match=message):
        generator.generate([ImageRequest(f"a cat {scenario}")])
    assert len(server.posts) == 1


def test_fault_of_a_shared_call_is_each_callers_own(server: OpenAIEndpoint, tmp_path: Path) -> None:
    """Requests that share a failed call fail each with its own error and its own attempts."""
    with generator_with(model_at(server.url, images_per_call=2), tmp_path) as generator:
        found = generator.generate([ImageRequest("{{500}} a cat", number=number) for number in range(2)])
        assert [(each.status, each.attempts) for each in found] == [("ok", 2), ("ok", 2)]
        with pytest.raises(StopError, match="answered 401"):
            generator.generate([ImageRequest("{{401}} a cat", number=number) for number in range(2)])


def test_half_a_surrogate_pair_is_the_rows_own_fault(server: OpenAIEndpoint, tmp_path: Path) -> None:
    """A prompt that cannot be sent fails its row, not the run."""
    with generator_with(model_at(server.url), tmp_path) as generator:
        (found,) = generator.generate([ImageRequest("half \ud83d")])
    assert (found.status, server.posts) == ("failed", [])


def test_long_error_is_not_read_to_its_end(server: OpenAIEndpoint, tmp_path: Path) -> None:
    """Of an error's body no more is read than its beginning, though the SDK would read it all."""
    with generator_with(model_at(server.url), tmp_path, max_attempts=1) as generator:
        (found,) = generator.generate([ImageRequest("[long-error]")])
    (call,) = ended_calls(server, 1)
    assert "answered 500: " in (found.error or "")
    assert not call.delivered


def answered(status: int, body: Any = None, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, json=body or {}, headers=headers, request=REQUEST)


def subclasses(kind: type[Exception]) -> set[type[Exception]]:
    return {kind}.union(*(subclasses(each) for each in kind.__subclasses__()))


MEANINGS: dict[str, type[Exception]] = {
    "APIConnectionError": TransientError,
    "APIError": TransientError,
    "APIResponseValidationError": TransientError,
    "APITimeoutError": TransientError,
    "AuthenticationError": StopError,
    "BadRequestError": InvalidRequestError,
    "ConflictError": TransientError,
    "ContentFilterFinishReasonError": RefusedError,
    "InternalServerError": TransientError,
    "NotFoundError": StopError,
    "OAuthError": StopError,
    "PermissionDeniedError": StopError,
    "RateLimitError": ThrottledError,
    "UnprocessableEntityError": InvalidRequestError,
}
"""All others are about how the SDK was set up, or of a part of it that is not used: they stop the run."""
STATUS = {"APIStatusError": 418, "InternalServerError": 500, "OAuthError": 401}


def raised(kind: type[Any]) -> Exception:
    """An error of this kind as the SDK makes it."""
    if issubclass(kind, openai.APIStatusError):
        status = STATUS.get(kind.__name__) or kind.status_code
        return kind(response=answered(status), body=None, **({} if kind is openai.OAuthError else {"message": "no"}))
    if issubclass(kind, openai.APITimeoutError):
        return kind(REQUEST)
    if issubclass(kind, openai.APIConnectionError):
        return kind(request=REQUEST)
    if issubclass(kind, openai.APIResponseValidationError):
        return kind(answered(200), None)
    if issubclass(kind, openai.APIError):
        return kind("no", REQUEST, body=None)
    error = kind.__new__(kind)
    error.args = ("no",)
    return error


@pytest.mark.parametrize("kind", sorted(subclasses(openai.OpenAIError), key=lambda kind: kind.__name__))
def test_every_error_of_the_sdk_has_a_meaning(kind: type[Exception]) -> None:
    """Whatever the SDK can raise becomes an error of ours, of the kind that says whether to try again."""
    fallback = InvalidRequestError if kind is openai.APIStatusError else StopError
    meaning = meaning_of(raised(kind), "model", [])
    assert type(meaning) is MEANINGS.get(kind.__name__, fallback)


def test_every_named_error_is_still_there() -> None:
    """The table above names no error that the installed SDK no longer has."""
    assert set(MEANINGS) <= {kind.__name__ for kind in subclasses(openai.OpenAIError)}


def test_other_errors_keep_their_meaning() -> None:
    """An error of ours stays itself, lost connections are worth another try, programming errors mean nothing."""
    ours = GenerationError("x")
    assert meaning_of(ours, "model", []) is ours
    assert isinstance(meaning_of(httpx2.ReadError("x"), "model", []), TransientError)
    assert isinstance(meaning_of(ConnectionError("x"), "model", []), TransientError)
    assert meaning_of(TypeError("x"), "model", []) is None


@pytest.mark.parametrize("status", [200, 400, 401, 422, 500])
@pytest.mark.parametrize("kind", ["text", "json", "image"])
def test_echoed_key_is_shown_and_kept_nowhere(tmp_path: Path, status: int, kind: str) -> None:
    """A server that repeats the Authorization header, even inside an image, cannot make us show or keep it."""
    with EchoServer(status, kind) as server:
        traces = traces_of(model_at(server.url), tmp_path)
        assert server.authorizations[0] == f"Bearer {KEY}"
    assert KEY not in traces.shown
    assert KEY.encode() not in traces.pickled + traces.kept


def test_password_of_the_url_is_shown_and_kept_nowhere(tmp_path: Path) -> None:
    """User and password in base_url reach the server, and nothing that is shown, kept or written into a recipe."""
    with EchoServer(500, "text") as server:
        model = model_at(server.url.replace("http://", f"http://me:{PASSWORD}@"))
        traces = traces_of(model, tmp_path)
        assert server.authorizations[0].startswith("Basic ")
        basic = server.authorizations[0].removeprefix("Basic ")
    shown = traces.shown + model.model_dump_json()
    assert not [secret for secret in (PASSWORD, basic) if secret in shown or secret.encode() in traces.kept]
