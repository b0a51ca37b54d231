"""Whatever huggingface_hub raises on a call, or when it is asked about a model, becomes an error of ours."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import aiohttp
import httpx2
import pytest
from huggingface_hub import errors

from tasks_lib import ImageGenerator, ImageRequest, InferenceEndpointsImageGeneration
from tasks_lib.errors import (
    ImageloomError,
    InvalidRequestError,
    RecipeError,
    StopError,
    ThrottledError,
    TransientError,
)
from tasks_lib.models.hub_errors import meaning_of
from tests.hub_server import HubServer, hub_in_place_of_the_real_one
from tests.loopback import Reply

TOKEN = "hf_MARKEDxTOKEN"
MODEL_INFO = httpx2.Request("GET", "http://hub/api/models/me/cat", headers={"authorization": f"Bearer {TOKEN}"})
BY_STATUS: dict[int, type[ImageloomError]] = {
    400: InvalidRequestError,
    401: StopError,
    402: StopError,
    403: StopError,
    404: StopError,
    408: TransientError,
    409: TransientError,
    422: InvalidRequestError,
    429: ThrottledError,
    500: TransientError,
    502: TransientError,
    503: ThrottledError,
    504: TransientError,
}
MEANINGS: dict[str, type[ImageloomError]] = {
    "InferenceTimeoutError": TransientError,
    "LocalTokenNotFoundError": StopError,
    "OfflineModeIsEnabled": StopError,
}
"""Of those that carry no answer."""
USUAL_STATUS = {"BadRequestError": 400, "DisabledRepoError": 403, "GatedRepoError": 403}
"""Every other class with an answer says that something was not found."""
RAISED_BY_CALLS = {errors.HfHubHTTPError, *(getattr(errors, name) for name in MEANINGS)}
"""With their subclasses; all others are about files, caches, jobs and other services of the Hub."""
CALLED = sorted(
    (each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, tuple(RAISED_BY_CALLS))),
    key=lambda kind: kind.__name__,
)


def answered(status: int, body: str = "no", request: httpx2.Request = MODEL_INFO, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, text=body, headers=headers, request=request)


@pytest.mark.parametrize("kind", CALLED)
def test_every_error_of_the_library_has_a_meaning(kind: type[Any]) -> None:
    """Each class that a call can raise becomes an error of ours, that of its status where it carries an answer."""
    if issubclass(kind, errors.HfHubHTTPError):
        status = USUAL_STATUS.get(kind.__name__, 404)
        expected, error = BY_STATUS[status], kind("no", response=answered(status))
    else:
        expected, error = MEANINGS[kind.__name__], kind("no")
    assert type(meaning_of(error, "model", [])) is expected


def test_every_error_over_http_is_looked_at() -> None:
    """An error of HTTP that a new version of the library brings must be entered into the tables above."""
    over_http = {
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, httpx2.HTTPError)
    }
    others = {each for each in over_http if issubclass(each, errors.TextGenerationError)} | {httpx2.HTTPError}
    assert over_http - others <= set(CALLED)


@pytest.mark.parametrize("status", BY_STATUS)
@pytest.mark.parametrize("with_hub", [True, False], ids=["HfHubHTTPError", "HTTPStatusError"])
def test_every_status_has_a_meaning(status: int, with_hub: bool) -> None:
    """The status of the answer decides, not the class of the error; Retry-After is kept, the token is not."""
    answer = answered(status, f"no to {TOKEN}", **{"retry-after": "7"})
    error = (
        errors.HfHubHTTPError("no", response=answer)
        if with_hub
        else httpx2.HTTPStatusError("no", request=MODEL_INFO, response=answer)
    )
    meaning = meaning_of(error, "model", [TOKEN])
    assert type(meaning) is BY_STATUS[status]
    assert f"model answered {status}: no to [redacted]" in str(meaning)
    if isinstance(meaning, TransientError):
        assert meaning.retry_after == 7


def test_other_errors_keep_their_meaning() -> None:
    """An error of ours stays itself, lost connections are worth another try, programming errors mean nothing."""
    ours = StopError("x")
    assert meaning_of(ours, "model", []) is ours
    for lost in (httpx2.ReadError("x"), aiohttp.ServerDisconnectedError("x"), TimeoutError("x")):
        assert isinstance(meaning_of(lost, "model", []), TransientError)
    for mistake in (ZeroDivisionError("x"), ValueError("x")):
        assert meaning_of(mistake, "model", []) is None


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The Hub and its router."""
    with hub_in_place_of_the_real_one(monkeypatch, TOKEN) as server:
        yield server


def test_a_model_that_is_not_offered_for_editing_stops_the_run(hub: HubServer) -> None:
    """A request for which the Hub names no provider is an error of ours, not one of the library."""
    model = InferenceEndpointsImageGeneration(model_id="me/text-to-image", provider="replicate")
    model.load()
    with (
        closing(ImageGenerator(model, None)) as generator,
        pytest.raises(StopError, match=r"me/text-to-image: .*not supported for task image-to-image"),
    ):
        generator.generate([ImageRequest("night", images=(hub.image,))])
    assert hub.posts == []


@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_an_endpoint_that_cannot_be_looked_up_is_named(hub: HubServer, status: int) -> None:
    """What the Hub says of a dedicated endpoint is told before the first call."""
    hub.fault = Reply(b"no", status)
    model = InferenceEndpointsImageGeneration(endpoint_name="my-endpoint", endpoint_namespace="me")
    with pytest.raises(RecipeError, match=rf"'my-endpoint' cannot be looked up: .*{status}"):
        model.load()
