"""Every provider that the installed huggingface_hub knows is asked by the library's own request and gives its image."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub.inference._providers import PROVIDERS

from tasks_lib import ImageGenerator, ImageRequest, ImageStore, InferenceEndpointsImageGeneration, Limits
from tasks_lib.errors import MissingSecretError, RecipeError
from tasks_lib.generation import Generation
from tests.endpoint import Endpoint
from tests.hub_server import FACTS, HubServer, hub_in_place_of_the_real_one
from tests.loopback import Reply

MAKERS = sorted(name for name, tasks in PROVIDERS.items() if "text-to-image" in tasks)
EDITORS = sorted(name for name, tasks in PROVIDERS.items() if "image-to-image" in tasks)
TELL_FACTS = {name for name in MAKERS if name != "hf-inference"}
TIMES = {"createdAt": "2026-11-22T10:00:00.000Z", "updatedAt": "2026-11-22T10:00:00.000Z"}
ENDPOINT_MODEL = {"repository": "me/cat", "framework": "pytorch", "revision": "main", "task": "text-to-image"}
Ask = Callable[..., Generation]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The Hub, its router and a token."""
    with hub_in_place_of_the_real_one(monkeypatch, "hf_x") as server:
        yield server


@pytest.fixture
def ask(hub: HubServer, tmp_path: Path) -> Iterator[Ask]:
    """Asks one image of a provider."""
    generators = []

    def one(request: ImageRequest, **settings: object) -> Generation:
        # The library remembers for good what the Hub says of a model.
        model = InferenceEndpointsImageGeneration.model_validate({"model_id": f"me/{hub.task}", **settings})
        model.load()
        generators.append(ImageGenerator(model, ImageStore(tmp_path), Limits(max_attempts=1)))
        (found,) = generators[-1].generate([request])
        return found

    yield one
    for generator in generators:
        generator.close()


@pytest.mark.parametrize("provider", MAKERS)
def test_a_provider_makes_an_image(hub: HubServer, ask: Ask, tmp_path: Path, provider: str) -> None:
    """One call, with the token and who pays; the provider's own bytes are kept, and what it says of them."""
    found = ask(ImageRequest("a cat", {"num_inference_steps": 4}, seed=3), provider=provider, bill_to="my-team")
    assert (found.status, found.error) == ("ok", None)
    assert found.record is not None
    assert ImageStore(tmp_path).read([found.record.file_name]) == [hub.image]
    assert found.record.metadata.items() >= (FACTS if provider in TELL_FACTS else {}).items()
    (post,) = hub.posts
    assert post.path.startswith(f"/{provider}/")
    assert (post.headers["authorization"], post.headers["x-hf-bill-to"]) == ("Bearer hf_x", "my-team")
    assert b"a cat" in post.body


@pytest.mark.parametrize("provider", EDITORS)
def test_a_provider_edits_an_image(hub: HubServer, ask: Ask, tmp_path: Path, provider: str) -> None:
    """Source image and prompt are sent as the provider takes them."""
    hub.task = "image-to-image"
    found = ask(ImageRequest("make it night", seed=3, images=(hub.image,)), provider=provider)
    assert (found.status, found.error) == ("ok", None)
    (post,) = hub.posts
    assert b"make it night" in post.body
    assert len(post.body) > len(hub.image)


def test_auto_takes_the_first_provider(hub: HubServer, ask: Ask) -> None:
    """Without a provider, the first that the Hub names for the model is asked."""
    assert ask(ImageRequest("a cat"), provider="auto").status == "ok"
    assert hub.posts[0].path.startswith(f"/{next(name for name in PROVIDERS if name in MAKERS)}/")


def test_looking_a_model_up_holds_nothing_else_up(hub: HubServer) -> None:
    """Where the first request of a process must ask the Hub for the provider, the event loop goes on meanwhile."""
    hub.knows.clear()

    async def ask() -> bytes:
        # Not loaded, as in a worker; the library remembers for good what the Hub says of a model.
        model = InferenceEndpointsImageGeneration(model_id="me/asked-late", provider="auto")
        call = asyncio.ensure_future(model.agenerate(ImageRequest("a cat")))
        await asyncio.sleep(0)
        hub.knows.set()
        answer = await call
        await model.aclose()
        return answer.data

    assert asyncio.run(ask()) == hub.image


def test_a_link_that_fails_at_first_is_not_paid_again(hub: HubServer, ask: Ask) -> None:
    """A download that fails is tried again by itself; the image is not asked, and paid, a second time."""
    hub.failing_links = 2
    assert ask(ImageRequest("a cat"), provider="fal-ai").status == "ok"
    assert len(hub.posts) == 1


def test_what_the_hub_does_not_offer_is_said_before_the_first_call(hub: HubServer, ask: Ask) -> None:
    """A provider that does not serve the model for such a task is one error that names both."""
    hub.task = "text-to-video"
    with pytest.raises(RecipeError, match="me/text-to-video cannot be asked through the provider 'nscale'"):
        ask(ImageRequest("a cat"), provider="nscale")
    assert hub.posts == []


def test_a_missing_token_is_named(hub: HubServer, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the token in the variable that the model names there is one error, and no call."""
    with pytest.raises(MissingSecretError, match="MY_TOKEN"):
        ask(ImageRequest("a cat"), provider="together", token_env="MY_TOKEN")
    assert hub.posts == []


@pytest.mark.parametrize("state", ["running", "paused"])
def test_a_dedicated_endpoint_is_asked_by_its_name(hub: HubServer, endpoint: Endpoint, state: str) -> None:
    """Its URL is that of the Hub; one that has none because it is paused is an error that says to resume it."""
    status = {"state": state, "url": endpoint.url if state == "running" else None, **TIMES}
    about = {"name": "mine", "type": "protected", "healthRoute": None, "model": ENDPOINT_MODEL, "status": status}
    hub.fault = Reply(json.dumps(about).encode(), headers={"content-type": "application/json"})
    model = InferenceEndpointsImageGeneration(endpoint_name="mine", endpoint_namespace="me")
    if state == "paused":
        with pytest.raises(RecipeError, match=r"the endpoint 'mine' is paused and has no URL\. Resume it"):
            model.load()
        return
    model.load()
    generator = ImageGenerator(model)
    (found,) = generator.generate([ImageRequest("a cat", seed=3)])
    generator.close()
    assert found.data == endpoint.image_for("a cat", {"seed": 3})
    assert endpoint.calls[0].headers["authorization"] == "Bearer hf_x"
