"""The generator asks no more than it must, whoever asks, and from wherever."""

import asyncio
import pickle
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from tasks_lib.errors import RecipeError
from tasks_lib.event_loop import event_loop
from tasks_lib.generation import Generation
from tasks_lib.generator import ImageGenerator
from tasks_lib.limits import Limits
from tasks_lib.models import ImageRequest, InferenceEndpointsImageGeneration
from tasks_lib.store import ImageStore
from tests.endpoint import Endpoint
from tests.endpoint_scenarios import mixed_fault
from tests.generating import kept_in, requests_for


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
    request = ImageRequest("{{400}}")
    found = generator.generate([request, request])
    assert [(each.status, each.attempts) for each in found] == [("failed", 1), ("failed", 0)]
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


@pytest.mark.parametrize("limits", [{"max_images": 40}, {"max_cost_usd": 1.6}])
def test_budget_is_kept_to_the_cent(tmp_path: Path, limits: dict[str, Any]) -> None:
    """With retries, refusals and two batches at once, as many images are paid as the cap allows, damaged ones too."""
    with Endpoint(latency_s=0.01, fail_share=0.3) as endpoint:
        model = InferenceEndpointsImageGeneration(base_url=endpoint.url, price_per_image_usd=0.04)
        generator = ImageGenerator(model, ImageStore(tmp_path), Limits(max_concurrency=16, **limits))
        refused = [ImageRequest(f"{number} {{{{refused-openai}}}}") for number in range(20)]
        parts = [[*requests_for("a cat", 40), *refused], [*refused, *requests_for("a dog", 40)]]
        with ThreadPoolExecutor(2) as threads:
            found = [each for part in threads.map(generator.generate, parts) for each in part]
        generator.close()
        faults = [mixed_fault(key, 0.3, 0) for key in {call.asked.key for call in endpoint.calls}]
    damaged = sum(fault is not None and fault.name == "half" for fault in faults)
    statuses = Counter(each.status for each in found)
    assert statuses["ok"] + damaged == kept_in(generator) + damaged == generator.budget.images == 40
    assert generator.budget.cost_usd == 40 * type(generator.budget.cost_usd)("0.04")
    assert statuses["not_asked"] >= 40
    assert all("limits.max_" in (each.error or "") for each in found if each.status == "not_asked")


def test_damaged_images_count_toward_a_cap(endpoint: Endpoint, tmp_path: Path) -> None:
    """An endpoint that sends half images is paid for each, and stops being asked where the cap is reached."""
    model = InferenceEndpointsImageGeneration(base_url=endpoint.url, price_per_image_usd=0.5)
    generator = ImageGenerator(model, ImageStore(tmp_path), Limits(max_cost_usd=2, max_attempts=3, max_concurrency=1))
    found = generator.generate([ImageRequest(f"{number} {{{{half times=inf}}}}") for number in range(6)])
    generator.close()
    assert (generator.budget.images, generator.budget.cost_usd, len(endpoint.calls)) == (4, 2, 4)
    assert sum(each.attempts for each in found) == 4
    assert {each.status for each in found} == {"not_asked"}


def test_a_page_in_place_of_an_image_costs_nothing(endpoint: Endpoint, tmp_path: Path) -> None:
    """Answers that are no image at all, as of a proxy that wants a login, leave the cap to real images."""
    model = InferenceEndpointsImageGeneration(base_url=endpoint.url)
    generator = ImageGenerator(model, ImageStore(tmp_path), Limits(max_images=2, max_attempts=6, max_concurrency=1))
    found = generator.generate([ImageRequest("{{html times=3}}"), ImageRequest("{{empty times=2}}")])
    generator.close()
    assert [(each.status, each.attempts) for each in found] == [("ok", 4), ("ok", 3)]
    assert generator.budget.images == 2


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
