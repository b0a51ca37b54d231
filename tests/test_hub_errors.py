"""Whatever huggingface_hub raises on a call becomes an error of ours, be it while a queued image is waited for."""

import asyncio
import importlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from huggingface_hub import constants, errors
from huggingface_hub.inference._providers import PROVIDERS

from tasks_lib import ImageGenerator, ImageRequest, InferenceEndpointsImageGeneration, Limits
from tasks_lib.errors import (
    BadImageError,
    ImageloomError,
    InvalidRequestError,
    RecipeError,
    RefusedError,
    StopError,
    ThrottledError,
    TransientError,
)
from tasks_lib.generator import Generation
from tasks_lib.models.hub_errors import meaning_of, meaning_while_queued
from tests.generating import wait_until
from tests.hub_server import Fault, HubServer

TOKEN = "hf_MARKEDxTOKEN"
MODEL_INFO = httpx2.Request("GET", "http://hub/api/models/me/cat", headers={"authorization": f"Bearer {TOKEN}"})
QUEUED = [("fal-ai", "image-to-image"), ("wavespeed", "text-to-image"), ("zai-org", "text-to-image")]
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
    for meaning in (meaning_of, meaning_while_queued):
        assert type(meaning(error, "model", [])) is expected


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
    for find in (meaning_of, meaning_while_queued):
        meaning = find(error, "model", [TOKEN])
        assert type(meaning) is BY_STATUS[status]
        assert f"model answered {status}: no to [redacted]" in str(meaning)
        if isinstance(meaning, TransientError):
            assert meaning.retry_after == 7


@pytest.mark.parametrize("kind", [ValueError, KeyError, IndexError, TypeError, AttributeError, httpx2.InvalidURL])
def test_an_answer_that_the_library_cannot_read_is_no_image(kind: type[Exception]) -> None:
    """What a helper makes of an odd answer is told with that answer; a task that moderation failed is refused."""
    meaning = meaning_while_queued(kind("odd"), "model", [TOKEN], f"first {TOKEN}".encode())
    assert isinstance(meaning, BadImageError)
    assert "odd" in str(meaning)
    assert str(meaning).endswith("first [redacted]")
    refused = meaning_while_queued(ValueError("task failed: NSFW content detected"), "model", [])
    assert isinstance(refused, RefusedError)


def test_other_errors_keep_their_meaning() -> None:
    """An error of ours stays itself, lost connections are worth another try, programming errors mean nothing."""
    ours = StopError("x")
    for find in (meaning_of, meaning_while_queued):
        assert find(ours, "model", []) is ours
        assert isinstance(find(httpx2.ReadError("x"), "model", []), TransientError)
        assert find(ZeroDivisionError("x"), "model", []) is None
    assert meaning_of(ValueError("x"), "model", []) is None


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The Hub and its router, whose queues are asked without a pause."""
    with HubServer() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "INFERENCE_ENDPOINTS_ENDPOINT", f"{server.url}/v2")
        monkeypatch.setattr(constants, "INFERENCE_PROXY_TEMPLATE", f"{server.url}/{{provider}}")
        for name in ("fal_ai", "wavespeed", "zai_org"):
            module = importlib.import_module(f"huggingface_hub.inference._providers.{name}")
            monkeypatch.setattr(module, "_POLLING_INTERVAL", 0)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def asked(hub: HubServer, provider: str, task: str, fault: Fault, request: ImageRequest | None = None) -> Generation:
    """One image of a queued provider, whose first question how far it is gets this answer."""
    hub.task, hub.fault = task, fault
    model = InferenceEndpointsImageGeneration.model_validate({"model_id": f"me/{task}", "provider": provider})
    model.load()
    generator = ImageGenerator(model, None, Limits(max_attempts=1))
    images = (hub.image,) if task == "image-to-image" else ()
    try:
        return generator.generate([request or ImageRequest("a cat", images=images)])[0]
    finally:
        generator.close()


@pytest.mark.parametrize(("provider", "task"), QUEUED)
def test_a_rejected_key_in_the_queue_stops_the_run(hub: HubServer, provider: str, task: str) -> None:
    """A queue that answers 401, or 404, ends the run with one question, and the token is not shown."""
    for status in (401, 404):
        with pytest.raises(
            StopError, match=rf"me/{task} \({provider}\) answered {status}: no.*The run stops"
        ) as caught:
            asked(hub, provider, task, (status, {}, f"no {TOKEN}".encode()))
        assert TOKEN not in str(caught.value)
    assert (len(hub.posts), hub.polls) == (2, 2)


@pytest.mark.parametrize(("provider", "task"), QUEUED)
def test_a_queue_that_throttles_is_waited_for(hub: HubServer, provider: str, task: str) -> None:
    """A queue that answers 429 is asked again when its Retry-After is over, though only one attempt is allowed."""
    found = asked(hub, provider, task, (429, {"Retry-After": "0.3"}, b"slow down"))
    assert (found.status, found.attempts) == ("ok", 2)
    assert found.seconds >= 0.3


def test_a_link_that_is_gone_says_nothing_about_the_model(hub: HubServer) -> None:
    """The download of a queued image, which carries no token, is worth another try whatever its status."""
    hub.failing_links = 1
    found = asked(hub, "zai-org", "text-to-image", (200, {}, b'{"task_status": "PROCESSING"}'))
    assert (found.status, found.attempts) == ("failed", 1)
    assert "(zai-org): the link to the image answered 500" in str(found.error)
    gone = answered(404, request=httpx2.Request("GET", "http://files/cat.png"))
    error = httpx2.HTTPStatusError("no", request=gone.request, response=gone)
    assert type(meaning_while_queued(error, "model", [])) is TransientError


def test_an_image_that_failed_in_the_queue_says_why(hub: HubServer) -> None:
    """The reason that the provider gives for a failed task is the row's, and a refusal is told apart."""
    for reason, status in (("out of memory", "failed"), ("NSFW content detected", "refused")):
        body = json.dumps({"data": {"status": "failed", "error": reason}}).encode()
        found = asked(hub, "wavespeed", "text-to-image", (200, {}, body))
        assert (found.status, found.attempts) == (status, 1)
        assert reason in str(found.error)


@pytest.mark.parametrize(("provider", "task"), QUEUED)
def test_a_cancelled_call_leaves_the_queue(hub: HubServer, provider: str, task: str) -> None:
    """Nobody asks on for an image that is not waited for any more, and no thread keeps the process from ending."""
    hub.task, hub.busy = task, True
    # Without the promise the thread would ask for ever.
    released = threading.Timer(8, setattr, (hub, "busy", False))
    released.start()
    model = InferenceEndpointsImageGeneration.model_validate({"model_id": f"me/{task}", "provider": provider})
    model.load()
    images = (hub.image,) if task == "image-to-image" else ()

    async def cancelled() -> None:
        call = asyncio.ensure_future(model.agenerate(ImageRequest("a cat", images=images)))
        await asyncio.to_thread(wait_until, lambda: hub.polls > 1)
        call.cancel()
        await asyncio.wait([call])
        await model.aclose()
        assert call.cancelled()

    asyncio.run(cancelled())  # waits for the threads of its loop
    assert hub.busy
    released.cancel()


def test_a_model_that_is_not_offered_for_editing_stops_the_run(hub: HubServer) -> None:
    """A request for which the Hub names no provider is an error of ours, not one of the library."""
    hub.task = "text-to-image"
    with pytest.raises(StopError, match=r"me/text-to-image: .*not supported for task image-to-image"):
        asked(hub, "replicate", "text-to-image", (200, {}, b""), ImageRequest("night", images=(hub.image,)))
    assert hub.posts == []


@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_an_endpoint_that_cannot_be_looked_up_is_named(hub: HubServer, status: int) -> None:
    """What the Hub says of a dedicated endpoint is told before the first call."""
    hub.fault = (status, {}, b"no")
    model = InferenceEndpointsImageGeneration(endpoint_name="my-endpoint", endpoint_namespace="me")
    with pytest.raises(RecipeError, match=rf"'my-endpoint' cannot be looked up: .*{status}"):
        model.load()


def test_every_queued_provider_is_tried() -> None:
    """The library has no provider that waits for its image beside those above and those that answer with a link."""
    polling = {
        (name, task)
        for name, tasks in PROVIDERS.items()
        for task, helper in tasks.items()
        if task in ("text-to-image", "image-to-image")
        and hasattr(importlib.import_module(type(helper).__module__), "_POLLING_INTERVAL")
    }
    assert polling - {("fal-ai", "text-to-image")} - {("wavespeed", "image-to-image")} == set(QUEUED)
