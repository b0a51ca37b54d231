"""What every model keeps, whatever its kind: one contract, held against a real endpoint that speaks its protocol."""

import asyncio
import base64
import json
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from tasks_lib.errors import StopError
from tasks_lib.generator import ImageGenerator
from tasks_lib.limits import Limits
from tasks_lib.models import (
    DiffusersImageGeneration,
    ImageGenerationModel,
    ImageRequest,
    InferenceEndpointsImageGeneration,
    OpenAIImageGeneration,
    ProceduralImageGeneration,
)
from tasks_lib.models.base import ImageAnswer
from tests.endpoint import Endpoint
from tests.endpoint_images import image_for
from tests.generating import requests_for
from tests.hub_server import hub_in_place_of_the_real_one
from tests.openai_endpoint import OpenAIEndpoint
from tests.openai_endpoint_models import set_openai_key
from tests.processes import wait_until

NETWORK = ["endpoint", "provider", "openai", "compatible"]
KINDS = [*NETWORK, "procedural"]
TOKEN, PASSWORD = "hf_MARKEDxTOKEN", "marked-password"
SOURCE = image_for("source", image_format="png")
ELSEWHERE = """
import json, pickle, sys
from huggingface_hub import constants
constants.ENDPOINT, constants.INFERENCE_PROXY_TEMPLATE = sys.argv[2:]
generator, requests = pickle.load(open(sys.argv[1], "rb"))
found = generator.generate(requests)
generator.close()
print(json.dumps([generator.model.identity(), [[each.fingerprint, each.data.hex()] for each in found]]))
"""


@dataclass(frozen=True)
class Contracted:
    """A model, and the endpoint that it asks, if any."""

    model: ImageGenerationModel
    server: Endpoint | None

    def image_sent(self, request: ImageRequest) -> bytes:
        """What the endpoint sends for a request; the procedural model, which has none, is asked itself."""
        if self.server is None:
            answer = asyncio.run(self.model.agenerate(request))
            assert isinstance(answer, ImageAnswer)
            return answer.data
        (sent,) = self.asked(request.prompt, request.seed if self.model.takes_seed else None)
        return self.server.image_for(*sent)

    def asked(self, prompt: str, seed: int | None) -> list[tuple[str, dict[str, Any]]]:
        """Prompt and parameters of the calls with this prompt and seed, as they came."""
        assert self.server is not None
        calls = [call for call in self.server.calls_for(prompt) if call.parameters.get("seed") == seed]
        number = {"number": 0} if isinstance(self.server, OpenAIEndpoint) else {}
        return [(call.prompt, {**call.parameters, **number}) for call in calls]

    def generator(self, **limits: Any) -> ImageGenerator:
        return ImageGenerator(self.model, None, Limits(**limits))


@pytest.fixture
def contracted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Contracted]:
    """The model of this kind, loaded, with its endpoint."""
    set_openai_key(monkeypatch, TOKEN)
    kind = request.param
    with (
        Endpoint() if kind == "endpoint" else OpenAIEndpoint() as server,
        hub_in_place_of_the_real_one(monkeypatch, TOKEN),
    ):
        # Where the library finds its providers, which no setting says. The protocol of nscale is that of OpenAI.
        monkeypatch.setattr(constants, "INFERENCE_PROXY_TEMPLATE", server.url.removesuffix("/v1"))
        model = model_of(kind, server.url)
        model.load()
        yield Contracted(model, None if kind == "procedural" else server)


def model_of(kind: str, url: str) -> ImageGenerationModel:
    if kind == "procedural":
        return ProceduralImageGeneration(width=32, height=32)
    if kind == "provider":
        return InferenceEndpointsImageGeneration(model_id="me/text-to-image", provider="nscale")
    url = url.replace("http://", f"http://me:{PASSWORD}@")
    if kind == "endpoint":
        return InferenceEndpointsImageGeneration(base_url=url)
    model_id = "gpt-image-2" if kind == "openai" else "z-image"
    return OpenAIImageGeneration.model_validate({"model_id": model_id, "base_url": url, "dialect": kind})


every = pytest.mark.parametrize("contracted", KINDS, indirect=True)
networked = pytest.mark.parametrize("contracted", NETWORK, indirect=True)


def test_every_kind_is_held_to_it() -> None:
    """No kind of model that a recipe can name is left out, but the one that needs torch."""
    held = {InferenceEndpointsImageGeneration, OpenAIImageGeneration, ProceduralImageGeneration}
    kinds = {each for each in ImageGenerationModel.__subclasses__() if each.__module__.startswith("tasks_lib.")}
    assert kinds - {DiffusersImageGeneration} == held


@every
def test_as_many_as_asked_in_order_and_as_they_came(contracted: Contracted) -> None:
    """For each request there is an image, in order, of the very bytes that the endpoint sent."""
    requests = [replace(each, prompt=f"{each.number} red circles") for each in requests_for("", 6)]
    with closing(contracted.generator()) as generator:
        found = generator.generate(requests)
    assert [each.request for each in found] == requests
    assert [each.data for each in found] == [contracted.image_sent(each) for each in requests]
    assert len({each.data for each in found}) == 6


@every
def test_seeds_do_what_the_model_says(contracted: Contracted) -> None:
    """Equal seeds give equal pixels and others give others, where the model takes seeds; else none is sent."""
    seeded = [ImageRequest("a storm", seed=seed, number=number) for number, seed in enumerate((7, 7, 8))]
    with closing(contracted.generator()) as generator:
        one, same, other = (each.data for each in generator.generate(seeded))
    assert one == same
    assert (one != other) is contracted.model.takes_seed
    if contracted.server:
        sent = Counter(call.parameters.get("seed") for call in contracted.server.calls)
        assert sent == (Counter({7: 2, 8: 1}) if contracted.model.takes_seed else Counter({None: 3}))


@every
def test_in_another_process_it_is_the_same(contracted: Contracted, tmp_path: Path) -> None:
    """Pickled after use, it answers the same under the same identity elsewhere, and neither holds a secret."""
    requests = requests_for("two blue squares", 2)
    with closing(contracted.generator()) as generator:
        here = generator.generate(requests)
        kept = pickle.dumps((generator, requests))
    (tmp_path / "generator").write_bytes(kept)
    places = [constants.ENDPOINT, constants.INFERENCE_PROXY_TEMPLATE]
    command = [sys.executable, "-c", ELSEWHERE, str(tmp_path / "generator"), *places]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    identity = contracted.model.identity()
    found = [[each.fingerprint, (each.data or b"").hex()] for each in here]
    assert json.loads(done.stdout) == [identity, found]
    assert not [secret for secret in (TOKEN, PASSWORD) if secret in str(identity)]
    assert TOKEN.encode() not in kept


@networked
def test_errors_are_told_apart(contracted: Contracted) -> None:
    """Refused, invalid, transient and throttled are each what they are, and one that concerns all stops the run."""
    prompts = ["half \ud83d", "{{refused-openai}}", "{{422}}", "{{500 times=inf}}", "{{429 retry-after=0.1}}"]
    with closing(contracted.generator(max_attempts=1)) as generator:
        found = generator.generate([ImageRequest(prompt) for prompt in prompts])
        assert [each.status for each in found] == ["failed", "refused", "failed", "failed", "ok"]
        assert [each.attempts for each in found] == [1, 1, 1, 1, 2]
        with pytest.raises(StopError, match="answered 401"):
            generator.generate([ImageRequest("{{401}}")])
    with closing(contracted.generator(max_attempts=2)) as generator:
        again = generator.generate([ImageRequest("once {{500}}"), ImageRequest("again {{422}}")])
    assert [(each.status, each.attempts) for each in again] == [("ok", 2), ("failed", 1)]


@networked
def test_cancelled_it_asks_nothing_more(contracted: Contracted) -> None:
    """A cancelled call leaves its endpoint at once; a stopped run is over in a moment, what waited was never asked."""
    server = contracted.server
    assert server

    async def cancelled() -> None:
        call = asyncio.ensure_future(contracted.model.agenerate(ImageRequest("one {{hang}}")))
        await asyncio.to_thread(wait_until, lambda: server.in_flight == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await contracted.model.aclose()

    asyncio.run(asyncio.wait_for(cancelled(), 30))
    wait_until(lambda: server.in_flight == 0)
    requests = [ImageRequest(f"{number} {{{{hang}}}}") for number in range(9)]
    with closing(contracted.generator(max_concurrency=2)) as generator, ThreadPoolExecutor(1) as thread:
        caller = thread.submit(generator.generate, requests)
        wait_until(lambda: server.in_flight == 2)
        generator.stop("enough", grace_s=0.5)
        assert isinstance(caller.exception(timeout=15), StopError)
    wait_until(lambda: server.in_flight == 0)
    assert len(server.calls) == 3


@every
def test_from_threads_and_from_a_running_loop(contracted: Contracted) -> None:
    """One generator answers two threads and a coroutine at the same time, each with its own images."""
    parts = [[ImageRequest(f"{name} {n} circles", seed=n) for n in range(4)] for name in ("red", "blue", "green")]
    with closing(contracted.generator(max_concurrency=4)) as generator, ThreadPoolExecutor(2) as threads:

        async def cell() -> list[list[bytes | None]]:
            others = [threads.submit(generator.generate, part) for part in parts[:2]]
            found = [generator.generate(parts[2]), *(other.result(20) for other in others)]
            return [[each.data for each in part] for part in found]

        here, one, other = asyncio.run(cell())
    assert [one, other, here] == [[contracted.image_sent(each) for each in part] for part in parts]


@every
def test_source_images_are_sent_or_declined(contracted: Contracted) -> None:
    """A model that says it edits sends the source image; one that does not says so, and asks nothing."""
    request = ImageRequest("a red circle", images=(SOURCE,))
    with closing(contracted.generator()) as generator:
        if not contracted.model.edits:
            with pytest.raises(StopError, match="image-to-image"):
                generator.generate([request])
            assert contracted.server is None or contracted.server.calls == []
            return
        (found,) = generator.generate([request])
        (plain,) = generator.generate([replace(request, images=())])
    assert (found.status, found.data != plain.data) == ("ok", True)
    if contracted.server:
        sent = base64.b64encode(SOURCE).decode()
        assert [call.asked.source for call in contracted.server.calls] == [sent, None]
