"""Whatever ends a run, nothing more is asked, and what is in flight is kept."""

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks_lib.errors import StopError, StoreError
from tasks_lib.event_loop import event_loop
from tasks_lib.generator import ImageGenerator
from tasks_lib.limits import Limits
from tasks_lib.models import ImageRequest, InferenceEndpointsImageGeneration
from tasks_lib.store import ImageStore
from tests.endpoint import Endpoint
from tests.generating import ScriptedModel, kept_in, requests_for
from tests.processes import wait_until


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


def test_without_a_store_a_stop_gives_what_came(endpoint: Endpoint) -> None:
    """Images that nobody keeps are given back when the account runs dry; the others say why they are not there."""
    generator = ImageGenerator(InferenceEndpointsImageGeneration(base_url=endpoint.url))
    asked = [ImageRequest("{{slow seconds=1}}"), ImageRequest("{{402}}"), ImageRequest("c {{slow seconds=1}}")]
    found = generator.generate(asked)
    assert [each.status for each in found] == ["ok", "not_asked", "ok"]
    assert all(each.data for each in found if each.status == "ok")
    assert "answered 402" in (found[1].error or "")
    with pytest.raises(StopError, match="answered 402"):
        generator.generate(asked)
    generator.close()


def test_nobody_waits_to_try_again_once_the_run_has_stopped(tmp_path: Path) -> None:
    """A call that was in flight when the run stopped, and fails, is not tried again; nor is its wait waited for."""
    with Endpoint(latency_s=0.3) as endpoint:
        generator = ImageGenerator(InferenceEndpointsImageGeneration(base_url=endpoint.url), ImageStore(tmp_path))
        started = time.monotonic()
        with pytest.raises(StopError, match="answered 401"):
            generator.generate(
                [ImageRequest("{{401}}"), *(ImageRequest(f"{n} {{{{429 retry-after=60}}}}") for n in "ab")]
            )
        generator.close()
        assert time.monotonic() - started < 10
        assert len(endpoint.calls) == 3


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
    model = ScriptedModel()
    generator = ImageGenerator(model, ImageStore(tmp_path), Limits(max_concurrency=2))
    with pytest.raises(TypeError, match=message):
        generator.generate([ImageRequest("fine"), *(ImageRequest(f"{prompt} {number}") for number in range(20))])
    assert len(model._asked) <= 3
    assert kept_in(generator) == 1


def test_store_that_cannot_be_written_stops(tmp_path: Path) -> None:
    """Where images cannot be kept, none is asked after the first."""
    (tmp_path / "store").write_text("a file where the store's folder should be")
    model = ScriptedModel()
    generator = ImageGenerator(model, ImageStore(tmp_path / "store"), Limits(max_concurrency=2))
    with pytest.raises(StoreError, match="store"):
        generator.generate(requests_for("a cat", 20))
    assert len(model._asked) <= 3


def test_stop_keeps_what_arrives_in_time(endpoint: Endpoint, generator: ImageGenerator) -> None:
    """After stop() nothing is asked, what arrives in a moment is kept, and every caller is back soon."""
    prompts = [*(f"{number} {{{{slow seconds=0.7}}}}" for number in range(6)), "a {{hang}}", "b {{hang}}"]
    asked = [ImageRequest(prompt) for prompt in [*prompts, *(f"queued {number}" for number in range(50))]]
    others = [ImageRequest(f"of another caller {number}") for number in range(50)]
    with ThreadPoolExecutor(2) as threads:
        callers = [threads.submit(generator.generate, asked)]
        wait_until(lambda: endpoint.in_flight == 8)
        callers.append(threads.submit(generator.generate, others))
        stopped = time.monotonic()
        generator.stop("cancelled by somebody")
        errors = [str(caller.exception()) for caller in callers]
        seconds = time.monotonic() - stopped
    assert all("the run was stopped: cancelled by somebody" in error for error in errors)
    assert seconds < 15  # 5 s and what a busy machine adds; a hanging call takes a minute
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
    assert kept_in(generator) == 7
    thread.join()
    wait_until(lambda: endpoint.in_flight == 0)
    assert sorted(call.prompt for call in endpoint.calls) == sorted(prompts)
    assert generator.generate([ImageRequest("one more")])[0].status == "ok"


def test_interrupted_caller_takes_nothing_from_another(tmp_path: Path) -> None:
    """A request for which somebody else still waits goes on when one caller is cancelled."""
    model = ScriptedModel()
    generator = ImageGenerator(model, ImageStore(tmp_path), Limits(max_concurrency=1))
    keyed = [(generator.fingerprint(request), request) for request in requests_for("wait", 3)]
    loop = event_loop().loop
    one, other = (asyncio.run_coroutine_threadsafe(generator._answer_all(part), loop) for part in (keyed, keyed[:2]))
    wait_until(lambda: model._asked)
    one.cancel()
    model._released.set()
    assert [each.status for each in other.result(10)] == ["ok", "ok"]
    assert len(model._asked) == 2
