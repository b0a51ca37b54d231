"""The generator asks no more than it must, stops at once, and keeps what was paid for."""

import asyncio
import os
import pickle
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from pydantic import PrivateAttr

from tasks_lib.errors import RecipeError, StopError, StoreError
from tasks_lib.event_loop import event_loop
from tasks_lib.generator import Generation, ImageGenerator
from tasks_lib.limits import Limits
from tasks_lib.models import ImageAnswer, ImageGenerationModel, ImageRequest, InferenceEndpointsImageGeneration
from tasks_lib.store import ImageStore
from tests.endpoint import Endpoint
from tests.endpoint_images import image_for

IMAGE = image_for("a cat", image_format="png")


class Model(ImageGenerationModel):
    """Answers by the prompt, in this process: "wait" waits for `released`, "type" and "text" are mistakes."""

    _released: threading.Event = PrivateAttr(default_factory=threading.Event)
    _asked: list[str] = PrivateAttr(default_factory=list)

    @property
    def model_name(self) -> str:
        return "test"

    async def agenerate(self, request: ImageRequest) -> ImageAnswer | bytes:
        self._asked.append(request.prompt)
        if request.prompt.startswith("type"):
            raise TypeError("a mistake in the model")
        if request.prompt.startswith("text"):
            return "an image, as text"  # type: ignore[return-value]
        if request.prompt.startswith("wait"):
            await asyncio.to_thread(self._released.wait, 10)
        return IMAGE


@pytest.fixture
def generator(endpoint: Endpoint, tmp_path: Path) -> Iterator[ImageGenerator]:
    """A generator over the endpoint, with eight places and a store."""
    model = InferenceEndpointsImageGeneration(base_url=endpoint.url, timeout_s=20)
    model.load()
    generator = ImageGenerator(model, ImageStore(tmp_path / "store"), Limits(max_concurrency=8))
    yield generator
    generator.close()


def requests_for(prompt: str, count: int) -> list[ImageRequest]:
    return [ImageRequest(prompt, seed=number, number=number) for number in range(count)]


def wait_until(true: Any) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it never came true"


def kept_in(generator: ImageGenerator) -> int:
    assert generator.store is not None
    assert generator.store.verify() == {}
    return generator.store.stats().images


def test_store_is_asked_first(endpoint: Endpoint, generator: ImageGenerator) -> None:
    """What the store holds costs no call and no budget, and comes back as it was."""
    first = generator.generate(requests_for("a cat", 3))
    again = generator.generate(requests_for("a cat", 4))
    assert [each.record for each in again[:3]] == [each.record for each in first]
    assert [each.attempts for each in again] == [0, 0, 0, 1]
    assert (len(endpoint.calls), generator.budget.images) == (4, 4)


def test_answers_are_in_order(generator: ImageGenerator) -> None:
    """However long each takes, answers stand in the order of their requests."""
    prompts = [f"{number} {{{{slow seconds={0.3 - number / 30}}}}}" for number in range(8)]
    found = generator.generate([ImageRequest(prompt) for prompt in prompts])
    assert [each.request.prompt for each in found] == prompts


def test_without_a_store_the_bytes_are_given(endpoint: Endpoint) -> None:
    """A short script gets the endpoint's own bytes with the answer."""
    model = InferenceEndpointsImageGeneration(base_url=endpoint.url)
    generator = ImageGenerator(model)
    (found,) = generator.generate([ImageRequest("a cat", seed=3)])
    generator.close()
    assert found.data == endpoint.image_for("a cat", {"seed": 3})


def test_nothing_to_do(generator: ImageGenerator) -> None:
    """No requests get no answers, and nothing is called."""
    assert generator.generate([]) == []


# Stopping.


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_stop_error_asks_nothing_more_and_keeps_what_is_in_flight(
    endpoint: Endpoint, generator: ImageGenerator, status: int
) -> None:
    """At the first answer that no request can succeed, queued ones are dropped and those in flight are kept."""
    slow = [ImageRequest(f"{number} {{{{slow seconds=0.5}}}}") for number in range(7)]
    retried = ImageRequest("{{429 times=inf}}")
    queued = [ImageRequest(f"queued {number}") for number in range(50)]
    with pytest.raises(StopError, match=f"answered {status}"):
        generator.generate([*slow, retried, ImageRequest(f"{{{{{status}}}}}"), *queued])
    asked = Counter(call.prompt.split()[0] for call in endpoint.calls)
    assert asked["queued"] <= 1  # one may have taken the place of a throttled call
    assert kept_in(generator) == 7 + asked["queued"]
    before = len(endpoint.calls)
    with pytest.raises(StopError, match=f"answered {status}"):
        generator.generate([*slow, ImageRequest("another")])
    assert len(endpoint.calls) == before
    assert {each.status for each in generator.generate(slow)} == {"ok"}


def test_five_invalid_requests_in_a_row_stop(endpoint: Endpoint, generator: ImageGenerator) -> None:
    """Four invalid requests are four failed rows; five with no other answer in between mean wrong options."""
    generator = ImageGenerator(generator.model, generator.store, Limits(max_concurrency=1))
    mixed = [ImageRequest(f"{number} {{{{400}}}}") for number in range(4)]
    refused = [ImageRequest("{{refused-hf}}")]
    found = generator.generate([*mixed, ImageRequest("fine")])
    found += generator.generate([*mixed, *refused])
    assert Counter(each.status for each in found) == {"failed": 8, "ok": 1, "refused": 1}
    endpoint.reset()
    with pytest.raises(StopError, match=r"5 requests in a row were rejected.*answered 400.*generation_kwargs"):
        generator.generate([ImageRequest(f"again {number} {{{{400}}}}") for number in range(9)])
    assert len(endpoint.calls) == 5


@pytest.mark.parametrize(("prompt", "message"), [("type", "a mistake in the model"), ("text", "must return an ImageA")])
def test_programming_error_stops(tmp_path: Path, prompt: str, message: str) -> None:
    """A mistake in a model's code comes out as it is, at once, and is not asked again for the next row."""
    model = Model()
    generator = ImageGenerator(model, ImageStore(tmp_path), Limits(max_concurrency=2))
    with pytest.raises(TypeError, match=message):
        generator.generate([ImageRequest("fine"), *(ImageRequest(f"{prompt} {number}") for number in range(20))])
    assert len(model._asked) <= 3
    assert kept_in(generator) == 1


def test_store_that_cannot_be_written_stops(tmp_path: Path) -> None:
    """Where images cannot be kept, none is asked after the first."""
    (tmp_path / "store").write_text("a file where the store's folder should be")
    model = Model()
    generator = ImageGenerator(model, ImageStore(tmp_path / "store"), Limits(max_concurrency=2))
    with pytest.raises(StoreError, match="store"):
        generator.generate(requests_for("a cat", 20))
    assert len(model._asked) <= 3


def test_stop_keeps_what_arrives_in_time(endpoint: Endpoint, generator: ImageGenerator) -> None:
    """After stop() nothing is asked, what arrives in a moment is kept, and every caller is back within two seconds."""
    prompts = [*(f"{number} {{{{slow seconds=0.7}}}}" for number in range(6)), "a {{hang}}", "b {{hang}}"]
    queued = [f"queued {number}" for number in range(50)]
    with ThreadPoolExecutor(2) as threads:
        callers = [
            threads.submit(generator.generate, [ImageRequest(prompt) for prompt in part]) for part in (prompts, queued)
        ]
        wait_until(lambda: endpoint.in_flight == 8)
        stopped = time.monotonic()
        generator.stop("cancelled by somebody")
        errors = [str(caller.exception()) for caller in callers]
        seconds = time.monotonic() - stopped
    assert all("the run was stopped: cancelled by somebody" in error for error in errors)
    assert seconds < 2.5  # 1.5 s and what a busy machine adds
    wait_until(lambda: endpoint.in_flight == 0)
    assert sorted(call.prompt for call in endpoint.calls) == sorted(prompts)
    assert kept_in(generator) == 6
    with pytest.raises(StopError, match="cancelled by somebody"):
        generator.generate([ImageRequest("one more")])


def test_interrupt_keeps_what_arrives_in_time(endpoint: Endpoint, generator: ImageGenerator) -> None:
    """Ctrl-C asks nothing new and keeps what is in flight; afterwards the generator works, as in a notebook."""
    prompts = [*(f"{number} {{{{slow seconds=0.7}}}}" for number in range(7)), "{{hang}}"]

    def interrupt() -> None:
        wait_until(lambda: endpoint.in_flight == 8)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        generator.generate([ImageRequest(prompt) for prompt in [*prompts, *(f"queued {n}" for n in range(50))]])
    thread.join()
    wait_until(lambda: endpoint.in_flight == 0)
    assert sorted(call.prompt for call in endpoint.calls) == sorted(prompts)
    assert kept_in(generator) == 7
    assert generator.generate([ImageRequest("one more")])[0].status == "ok"


def test_interrupted_caller_takes_nothing_from_another(tmp_path: Path) -> None:
    """A request for which somebody else still waits goes on when one caller is cancelled."""
    model = Model()
    generator = ImageGenerator(model, ImageStore(tmp_path), Limits(max_concurrency=1))
    keyed = [(generator.fingerprint(request), request) for request in requests_for("wait", 3)]
    loop = event_loop().loop
    one, other = (asyncio.run_coroutine_threadsafe(generator._answer_all(part), loop) for part in (keyed, keyed[:2]))
    wait_until(lambda: model._asked)
    one.cancel()
    model._released.set()
    assert [each.status for each in other.result(10)] == ["ok", "ok"]
    assert len(model._asked) == 2


# Sharing.


def test_equal_requests_in_flight_are_one_call(endpoint: Endpoint, generator: ImageGenerator) -> None:
    """Two threads and a repeated request share one call, which is accounted for once."""
    request = ImageRequest("{{slow seconds=0.4}}", seed=1)
    with ThreadPoolExecutor(2) as threads:
        found = [each for part in threads.map(generator.generate, [[request, request], [request]]) for each in part]
    assert {each.status for each in found} == {"ok"}
    assert sum(each.attempts for each in found) == 1
    assert (len(endpoint.calls), generator.budget.images, kept_in(generator)) == (1, 1, 1)


def test_equal_requests_share_a_failure(endpoint: Endpoint, generator: ImageGenerator) -> None:
    """Whoever waits for the same request gets the same reason; afterwards it can be asked again."""
    request = ImageRequest("{{refused-hf}}")
    found = generator.generate([request, request])
    assert [(each.status, each.attempts) for each in found] == [("refused", 1), ("refused", 0)]
    assert generator.generate([request])[0].attempts == 1
    assert len(endpoint.calls) == 2


def test_inside_a_running_loop(generator: ImageGenerator) -> None:
    """Called from a coroutine, as in a notebook, it works as anywhere else."""

    async def cell() -> list[Generation]:
        return generator.generate(requests_for("a cat", 3))

    assert [each.status for each in asyncio.run(cell())] == ["ok"] * 3


def test_on_its_own_loop_it_says_so(generator: ImageGenerator) -> None:
    """A model that called the generator from the generator's loop would wait for ever; it gets an error instead."""

    async def model_code() -> None:
        generator.generate([ImageRequest("a cat")])

    with pytest.raises(RuntimeError, match="own event loop"):
        event_loop().run(model_code())


def test_one_loop_for_all_threads() -> None:
    """However many threads come first at the same time, they share one loop."""
    with ThreadPoolExecutor(16) as threads:
        assert len({id(each) for each in threads.map(lambda _: event_loop(), range(64))}) == 1


def ask_elsewhere(generator: ImageGenerator, count: int) -> list[tuple[str, str]]:
    found = generator.generate(requests_for("a cat", count))
    generator.close()
    return [(each.status, each.record.sha256 if each.record else "") for each in found]


def test_processes_share_a_store(endpoint: Endpoint, generator: ImageGenerator) -> None:
    """A generator that has been used travels to other processes, which fill one store and get the same images."""
    here = generator.generate(requests_for("a cat", 5))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        answers = [process.result() for process in [processes.submit(ask_elsewhere, generator, 30) for _ in range(2)]]
    assert answers[0] == answers[1]
    assert {status for status, _ in answers[0]} == {"ok"}
    assert [sha256 for _, sha256 in answers[0][:5]] == [each.record.sha256 for each in here if each.record]
    assert kept_in(generator) == 30
    assert all(count == 1 for call, count in Counter(call.asked.key for call in endpoint.calls[:5]).items())
    assert len(endpoint.calls) <= 5 + 2 * 25


# Budget.


@pytest.mark.parametrize("limits", [{"max_images": 40}, {"max_cost_usd": 1.6}])
def test_budget_is_kept_to_the_cent(tmp_path: Path, limits: dict[str, Any]) -> None:
    """With retries, refusals and two batches at once, exactly as many images are paid as the cap allows."""
    with Endpoint(latency_s=0.01, fail_share=0.3) as endpoint:
        model = InferenceEndpointsImageGeneration(base_url=endpoint.url, price_per_image_usd=0.04)
        generator = ImageGenerator(model, ImageStore(tmp_path), Limits(max_concurrency=16, **limits))
        refused = [ImageRequest(f"{number} {{{{refused-openai}}}}") for number in range(20)]
        parts = [[*requests_for("a cat", 40), *refused], [*refused, *requests_for("a dog", 40)]]
        with ThreadPoolExecutor(2) as threads:
            found = [each for part in threads.map(generator.generate, parts) for each in part]
        generator.close()
    statuses = Counter(each.status for each in found)
    assert statuses["ok"] == generator.budget.images == kept_in(generator) == 40
    assert generator.budget.cost_usd == 40 * type(generator.budget.cost_usd)("0.04")
    assert statuses["not_asked"] >= 40
    assert all("limits.max_" in (each.error or "") for each in found if each.status == "not_asked")


def test_unknown_price_is_refused_before_the_first_call(endpoint: Endpoint) -> None:
    """A cap in dollars over a model without a price is an error when the generator is made."""
    with pytest.raises(RecipeError, match="price_per_image_usd"):
        ImageGenerator(InferenceEndpointsImageGeneration(base_url=endpoint.url), limits=Limits(max_cost_usd=1))
    assert endpoint.calls == []


def test_straggler_delays_nothing_but_itself(endpoint: Endpoint, generator: ImageGenerator) -> None:
    """While one call takes long, a hundred others go through the remaining places."""
    generator.generate([ImageRequest("{{slow seconds=1.5}}"), *requests_for("a cat", 100)])
    assert endpoint.calls[-1].prompt == "{{slow seconds=1.5}}"
    assert len(endpoint.calls) == 101


def test_pickle_is_small_and_fresh(generator: ImageGenerator) -> None:
    """Pickled, it leaves behind its connections, what it spent, and why it stopped."""
    generator.generate([ImageRequest("a cat")])
    generator.stop("for good")
    copy = pickle.loads(pickle.dumps(generator))
    assert copy.budget.images == 0
    assert copy.generate([ImageRequest("a dog")])[0].status == "ok"
    copy.close()
