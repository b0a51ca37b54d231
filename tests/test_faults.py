"""What becomes of a request, for everything that can go wrong between us and an endpoint."""

import re
import threading
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tasks_lib.errors import StopError
from tasks_lib.generation import Generation
from tasks_lib.generator import ImageGenerator
from tasks_lib.models import ImageRequest, InferenceEndpointsImageGeneration
from tasks_lib.models.http_answers import error_of_answer, redact_url, retry_after_s
from tests.endpoint import Call, Endpoint
from tests.endpoint_images import request_key
from tests.endpoint_scenarios import mixed_fault
from tests.faults import NOT_OK, OK, Row, check_outcome, waits_between
from tests.generating import generator_with
from tests.loopback import LoopbackServer, Reply


def generator_for(
    url: str, folder: Path, timeout_s: float = 10.0, **limits: Any
) -> AbstractContextManager[ImageGenerator]:
    model = InferenceEndpointsImageGeneration(base_url=url, timeout_s=timeout_s)
    return generator_with(model, folder, **limits)


@pytest.mark.parametrize("row", OK + NOT_OK, ids=lambda row: row.scenario)
def test_fault(endpoint: Endpoint, tmp_path: Path, row: Row) -> None:
    """Each fault is retried or not, counted, waited for and explained as the table says, and nothing else is called."""
    timeout_s = 1.0 if re.search("hang|trickle", row.scenario) else 20.0
    with generator_for(endpoint.url, tmp_path, timeout_s, max_attempts=3) as generator:
        found, calls = check_outcome(generator, endpoint, row)
        if found.status == "ok":
            check_is_kept(generator, found, calls[-1])


def check_is_kept(generator: ImageGenerator, found: Generation, call: Call) -> None:
    assert found.record is not None
    assert generator.store is not None
    assert found.record.sha256 == call.sent_sha256
    assert generator.store.get(found.record.fingerprint) == found.record


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_fault_that_ends_the_run(endpoint: Endpoint, tmp_path: Path, status: int) -> None:
    """No key, no credit, no permission or no such model: one call in all, and an error that says what to do."""
    requests = [ImageRequest(f"{number} {{{{{status}}}}}") for number in range(5)]
    message = f"answered {status}: .*The run stops: .*(check|add|ask)"
    with generator_for(endpoint.url, tmp_path, max_concurrency=1) as generator, pytest.raises(StopError, match=message):
        generator.generate(requests)
    assert len(endpoint.calls) == 1


def test_endpoint_that_is_away_for_a_while(endpoint: Endpoint, tmp_path: Path) -> None:
    """Refused connections are tried again until the endpoint is back, or reported by name when it stays away."""
    endpoint.pause()
    with generator_for(endpoint.url, tmp_path, max_attempts=14) as generator:
        threading.Timer(3, endpoint.resume).start()
        (found,) = generator.generate([ImageRequest("a cat")])
    assert (found.status, len(endpoint.calls)) == ("ok", 1)
    assert found.attempts > 1
    endpoint.pause()
    with generator_for(endpoint.url, tmp_path, max_attempts=2) as generator:
        (found,) = generator.generate([ImageRequest("a dog")])
    assert (found.status, found.attempts) == ("failed", 2)
    assert re.search("http://127.0.0.1:.*: ClientConnectorError", found.error or "")


def test_thousand_prompts_with_a_fifth_of_first_calls_failing(tmp_path: Path) -> None:
    """All images arrive, none is delivered twice, and no call comes back before its Retry-After is over."""
    endpoint = Endpoint(latency_s=0.02, fail_share=0.2)
    with endpoint, generator_for(endpoint.url, tmp_path, max_concurrency=32) as generator:
        found = generator.generate([ImageRequest(f"a cat {number}", seed=number) for number in range(1000)])
        calls = endpoint.calls
    assert Counter(each.status for each in found) == {"ok": 1000}
    good = {each.record.sha256 for each in found if each.record}
    delivered = Counter(call.asked.key for call in calls if call.sent_sha256 in good)
    assert delivered == Counter({request_key(f"a cat {number}", {"seed": number}): 1 for number in range(1000)})
    by_request: dict[bytes, list[Call]] = {}
    for call in calls:
        by_request.setdefault(call.asked.key, []).append(call)
    assert sum(len(each) > 1 for each in by_request.values()) > 150
    for key, each in by_request.items():
        fault = mixed_fault(key, 0.2, 0)
        asked_to_wait = float(fault.options.get("retry-after", 0)) if fault else 0.0
        assert all(wait >= asked_to_wait for wait in waits_between(each))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        *((value, None) for value in ("", "soon", "-1", "inf", "nan", "1e9")),
        ("1 Jan 2024 00:00:00 +99999999999999", None),
    ],
)
def test_retry_after_that_is_a_number_or_none(value: str, seconds: float | None) -> None:
    """Only plain seconds count; what would wait for ever, or make no sense, counts as not said."""
    assert retry_after_s({"retry-after": value}) == seconds


def test_retry_after_in_the_past_is_no_wait() -> None:
    """A date that is over, with or without its zone, asks for no wait."""
    assert retry_after_s({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after_s({"retry-after": "Wed, 21 Oct 2015 07:28:00 -0000"}) == 0


@pytest.mark.parametrize("before", ["", "\ufeff\n "])
def test_refusal_with_status_200_is_paid_once(tmp_path: Path, before: str) -> None:
    """A refusal in place of an image is told as one and not asked again, whatever stands before its JSON."""
    body = f'{before}{{"error": "NSFW content detected"}}'.encode()
    with LoopbackServer(lambda asked: Reply(body)) as server, generator_for(server.url, tmp_path) as generator:
        (found,) = generator.generate([ImageRequest("a cat")])
    assert (found.status, found.attempts) == ("refused", 1)


@pytest.mark.parametrize(
    "body",
    [
        "safety_tolerance must be between 0 and 6",
        "Invalid value for 'moderation': use 'low' or 'auto'",
        "unknown option enable_safety_checker",
    ],
)
def test_option_with_a_moderate_name_is_no_refusal(body: str) -> None:
    """A wrong option whose name sounds of moderation is an invalid request, which stops the run when it repeats."""
    assert error_of_answer(422, {}, body, "model").__class__.__name__ == "InvalidRequestError"


def test_redacted_url() -> None:
    """User, password and query are not shown; host, port and path are."""
    assert redact_url("https://me:secret@host.example:8080/a/b?key=secret#x") == "https://host.example:8080/a/b"
