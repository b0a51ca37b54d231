"""A provider that makes its images after it has answered is asked until the image is there, and nobody else is."""

import asyncio
import importlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from huggingface_hub.inference._providers import PROVIDERS

from tasks_lib import ImageGenerator, ImageRequest, InferenceEndpointsImageGeneration, Limits
from tasks_lib.errors import StopError
from tasks_lib.generation import Generation
from tasks_lib.image_verification import MAX_BYTES
from tests.hub_server import FACTS, QUEUED, HubServer, hub_in_place_of_the_real_one
from tests.loopback import LoopbackServer, Reply
from tests.processes import wait_until

TOKEN = "hf_MARKEDxTOKEN"
WITH_REASON: dict[str, Callable[[str], dict[str, Any]]] = {
    "fal-ai": lambda reason: {"status": "FAILED", "error": reason},
    "wavespeed": lambda reason: {"data": {"status": "failed", "error": reason, "has_nsfw_contents": [False]}},
    "zai-org": lambda reason: {"task_status": "FAIL", "error": {"message": reason}},
}
"""How a provider says that a task has failed."""
queued = pytest.mark.parametrize(("provider", "task"), QUEUED)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The Hub and its router."""
    with hub_in_place_of_the_real_one(monkeypatch, TOKEN) as server:
        yield server


def model_for(hub: HubServer, provider: str, task: str) -> InferenceEndpointsImageGeneration:
    hub.task = task
    model = InferenceEndpointsImageGeneration(model_id=f"me/{task}", provider=provider, timeout_s=20)
    model.load()
    return model


def request_for(hub: HubServer, task: str) -> ImageRequest:
    return ImageRequest("a cat", images=(hub.image,) if task == "image-to-image" else ())


def asked(hub: HubServer, provider: str, task: str, **settings: Any) -> Generation:
    """One image of a queued provider, in one attempt."""
    model = model_for(hub, provider, task).model_copy(update=settings)
    with closing(ImageGenerator(model, None, Limits(max_attempts=1))) as generator:
        return generator.generate([request_for(hub, task)])[0]


@queued
def test_the_image_comes_when_it_is_done(hub: HubServer, provider: str, task: str) -> None:
    """The provider's own bytes are kept with what it says of them; its link is followed once, without the token."""
    found = asked(hub, provider, task)
    assert (found.status, found.data, found.error) == ("ok", hub.image, None)
    assert found.record is not None
    assert found.record.metadata.items() >= FACTS.items()
    (download,) = hub.downloads
    assert "authorization" not in download.headers
    assert len(hub.posts) == 1


@queued
def test_only_the_provider_itself_is_asked(hub: HubServer, provider: str, task: str) -> None:
    """Wherever the first answer points, questions and token go to the provider's own host."""
    with LoopbackServer(lambda asked: Reply(b"{}")) as elsewhere:
        authority = elsewhere.url.removeprefix("http://")
        for announced in (
            f"{elsewhere.url}/maker/cat/1",
            f"//{authority}/x",
            f"{authority}/x",
            f"@{authority}",
            "/x\x01y",
        ):
            hub.announced = announced
            assert asked(hub, provider, task).status == "ok"
    assert {poll.headers["authorization"] for poll in hub.polls} == {f"Bearer {TOKEN}"}
    assert all(poll.path.startswith(f"/{provider}/") for poll in hub.polls)


@queued
def test_a_queue_that_leads_elsewhere_is_not_followed(hub: HubServer, provider: str, task: str) -> None:
    """A redirect in place of an answer is an error; the token does not travel."""
    heard = []
    with LoopbackServer(lambda asked: heard.append(asked) or Reply()) as elsewhere:  # type: ignore[func-returns-value]
        hub.fault = Reply(status=307, headers={"Location": elsewhere.url})
        found = asked(hub, provider, task)
    assert found.status == "failed"
    assert f"({provider}) answered 307" in str(found.error)
    assert heard == []


@queued
def test_a_rejected_key_in_the_queue_stops_the_run(hub: HubServer, provider: str, task: str) -> None:
    """A queue that answers 401, or 404, ends the run with one question, and the token is not shown."""
    for status in (401, 404):
        hub.fault = Reply(f"no {TOKEN}".encode(), status)
        with pytest.raises(
            StopError, match=rf"me/{task} \({provider}\) answered {status}: no.*The run stops"
        ) as caught:
            asked(hub, provider, task)
        assert TOKEN not in str(caught.value)
    assert (len(hub.posts), len(hub.polls)) == (2, 2)


@queued
@pytest.mark.parametrize(
    "fault",
    [Reply(b"slow down", 429, {"Retry-After": "0.3"}), Reply(b"sorry", 502), Reply(b"<html>sorry</html>")],
    ids=["429", "502", "page"],
)
def test_an_image_is_not_paid_twice_for_a_bad_moment(hub: HubServer, provider: str, task: str, fault: Reply) -> None:
    """A queue that cannot answer for a moment is asked again; the image itself is not, and waits are kept."""
    hub.fault = fault
    found = asked(hub, provider, task)
    assert (found.status, found.attempts, len(hub.posts)) == ("ok", 1, 1)
    assert found.seconds >= float(fault.headers.get("Retry-After", 0))


@queued
def test_an_image_that_failed_in_the_queue_says_why(hub: HubServer, provider: str, task: str) -> None:
    """The reason that the provider gives for a failed task is the row's, and a refusal is told apart."""
    for reason, status in (("out of memory", "failed"), ("NSFW content detected", "refused")):
        hub.fault = Reply(json.dumps(WITH_REASON[provider](reason)).encode())
        found = asked(hub, provider, task)
        assert (found.status, found.attempts) == (status, 1)
        assert f"me/{task} ({provider}) made no image; it answered" in str(found.error)
        assert reason in str(found.error)


@queued
@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, b"<html>gone</html>", r"the link to the image, http://127.*, answered 404"),
        (200, b"<html>gone</html>", "not an image; it begins with b'<html>gone"),
        (200, bytes(MAX_BYTES + 1), "at most 67,108,864"),
    ],
    ids=["404", "page", "too-big"],
)
def test_what_is_no_image_behind_the_link(
    hub: HubServer, provider: str, task: str, status: int, body: bytes, error: str
) -> None:
    """A missing image, a web page and more bytes than an image can have are a failure that says so."""
    with LoopbackServer(lambda asked: Reply(body, status)) as files:
        hub.link = f"{files.url}/cat.png"
        found = asked(hub, provider, task)
    assert (found.status, len(hub.posts)) == ("failed", 1)
    assert re.search(error, str(found.error)), found.error


@queued
def test_a_link_into_a_private_network_stops_the_run(hub: HubServer, provider: str, task: str) -> None:
    """A provider cannot lead us to an address that only this machine's network has."""
    hub.link = "http://169.254.169.254/latest/meta-data"
    with pytest.raises(StopError, match="link-local address"):
        asked(hub, provider, task)


@queued
def test_a_queue_that_never_ends_is_left_in_time(hub: HubServer, provider: str, task: str) -> None:
    """An image that does not come within the model's timeout fails with that reason."""
    hub.busy = True
    found = asked(hub, provider, task, timeout_s=0.6)
    assert found.status == "failed"
    assert "gave no answer within 0.6 s" in str(found.error)


@queued
def test_a_cancelled_call_leaves_the_queue(hub: HubServer, provider: str, task: str) -> None:
    """Nobody asks on for an image that is not waited for any more."""
    model = model_for(hub, provider, task)
    hub.busy = True

    async def cancelled() -> None:
        call = asyncio.ensure_future(model.agenerate(request_for(hub, task)))
        await asyncio.to_thread(wait_until, lambda: len(hub.polls) > 1)
        call.cancel()
        await asyncio.wait([call])
        await model.aclose()
        assert call.cancelled()

    asyncio.run(asyncio.wait_for(cancelled(), 30))


def test_a_provider_without_a_queue_says_what_it_answered(hub: HubServer) -> None:
    """An answer that holds, links to and announces no image is told with its words."""
    hub.announced = ""
    found = asked(hub, "wavespeed", "text-to-image")
    assert (found.status, hub.polls) == ("failed", [])
    assert 'made no image; it answered {"data": {"urls": {"get": ""}' in str(found.error)


def test_every_queued_provider_is_tried() -> None:
    """The library has no provider that waits for its image beside those above and one that answers with a link."""
    polling = {
        (name, task)
        for name, tasks in PROVIDERS.items()
        for task, helper in tasks.items()
        if task in ("text-to-image", "image-to-image")
        and hasattr(importlib.import_module(type(helper).__module__), "_POLLING_INTERVAL")
    }
    assert polling - {("fal-ai", "text-to-image")} == set(QUEUED)
