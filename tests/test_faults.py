"""What becomes of a request, for everything that can go wrong between us and an endpoint."""

import re
import threading
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tasks_lib.errors import StopError
from tasks_lib.generator import Generation, ImageGenerator
from tasks_lib.models import ImageRequest, InferenceEndpointsImageGeneration
from tasks_lib.models.http_answers import error_of_answer, redact_url, retry_after_s
from tests.endpoint import Call, Endpoint
from tests.endpoint_images import request_key
from tests.endpoint_scenarios import mixed_fault
from tests.generating import generator_with

ROUNDING_S = 0.02
"""The endpoint notes the end of a call a moment after the client has its last byte."""


def generator_for(
    url: str, folder: Path, timeout_s: float = 10.0, **limits: Any
) -> AbstractContextManager[ImageGenerator]:
    model = InferenceEndpointsImageGeneration(base_url=url, timeout_s=timeout_s)
    return generator_with(model, folder, **limits)


def waits_between(calls: list[Call]) -> list[float]:
    return [later.time_started - earlier.time_ended for earlier, later in pairwise(calls)]


def ended_calls(endpoint: Endpoint, count: int) -> list[Call]:
    """The calls in the order of their starts, once the endpoint has noticed that the client left the last of them."""
    assert any(endpoint.in_flight == 0 for _ in range(100_000))
    calls = sorted(endpoint.calls, key=lambda call: call.time_started)
    assert len(calls) == count
    return calls


@dataclass(frozen=True)
class Row:
    """A scenario, and what must become of it within three attempts."""

    scenario: str
    attempts: int
    error: str | None = None
    """A pattern of the error; without one the image arrives."""
    status: str = "failed"
    wait_s: float = 0.0
    """The least time between one call and the next."""


OK = [
    Row("nothing is wrong", 1),
    Row("{{429 retry-after=1}}", 2, wait_s=1),
    Row("{{429 retry-after=0.2 times=2}}", 3, wait_s=0.2),
    Row("{{429 retry-date=1}}", 2, wait_s=0.9),
    Row("{{429}}", 2),
    Row("{{429 retry-after=0 times=7}}", 8),  # throttled calls are no failed attempts
    Row("{{503 retry-after=0.3}}", 2, wait_s=0.3),
    Row("{{500 retry-after=0.3}}", 2, wait_s=0.3),
    *(Row(f"{{{{{status}}}}}", 2) for status in (408, 409, 425, 500, 502, 503, 504)),
    Row("{{429}} {{500}} {{half}}", 4),
    Row("{{reset-before}}", 2),
    Row("{{reset-middle}}", 2),
    Row("{{close-middle}}", 2),
    Row("{{hang}}", 2),
    Row("{{trickle ms=50}}", 2),
    Row("{{html}}", 2),
    Row("{{empty}}", 2),
    Row("{{half-jpeg}} [jpeg]", 2),
    Row("{{half-png}}", 2),
    Row("{{half}} [webp]", 2),
    Row("{{wrong-type}}", 1),
    Row("{{wrong-type type=application/json}}", 1),
    Row("{{black}}", 1),
]
NOT_OK = [
    Row("{{500 times=inf}}", 3, "answered 500: .*Internal server error"),
    Row("{{502 times=inf}}", 3, "answered 502: .*502 Bad Gateway"),
    Row("{{429 retry-after=3600}}", 1, "answered 429: .*Too many requests"),
    Row("{{reset-before times=inf}}", 3, "http://127.0.0.1:.*: (ReadError|RemoteProtocolError)"),
    Row("{{reset-middle times=inf}}", 3, "http://127.0.0.1:.*: (ReadError|RemoteProtocolError)"),
    Row("{{hang times=inf}}", 3, r"gave no answer within 1 s \(timeout_s\)"),
    Row("{{trickle ms=50 times=inf}}", 3, r"gave no answer within 1 s \(timeout_s\)"),
    Row("{{html times=inf}}", 3, "not an image; it begins with b'<!doctype html><html>"),
    Row("{{empty times=inf}}", 3, "the answer is empty where an image was expected"),
    Row("{{half-jpeg times=inf}}", 3, r"the image of [\d,]+ bytes is incomplete or damaged: .*[Tt]runcated"),
    Row("{{half-png times=inf}}", 3, r"the image of [\d,]+ bytes is incomplete or damaged: .*[Tt]runcated"),
    Row("{{bomb}}", 1, "too large to be opened: .*400000000 pixels"),
    Row("{{huge}}", 1, r"the answer has 300,\d{3},\d{3} bytes or more; at most 67,108,864"),
    Row("{{huge length=no}}", 1, r"the answer has 67,\d{3},\d{3} bytes or more; at most 67,108,864"),
    Row("{{400}}", 1, "answered 400: .*num_inference_steps must be between 1 and 50"),
    Row("{{413}}", 1, "answered 413: .*Payload too large"),
    Row("{{422}}", 1, "answered 422: .*width must be a multiple of 8"),
    Row("{{refused-bfl}}", 1, "answered 400: .*Content Moderated", "refused"),
    Row("{{refused-fal}}", 1, "answered 422: .*content_policy_violation", "refused"),
    Row("{{refused-hf}}", 1, "answered 400: .*flagged as unsafe", "refused"),
    Row("{{refused-openai}}", 1, "answered 400: .*moderation_blocked", "refused"),
    Row("{{refused-replicate}}", 1, "answered 400: .*NSFW content detected", "refused"),
    Row("{{refused-replicate status=200}}", 1, "answered 200: .*NSFW content detected", "refused"),
    Row("{{refused-together}}", 1, "answered 400: .*NSFW content", "refused"),
]


@pytest.mark.parametrize("row", OK + NOT_OK, ids=lambda row: row.scenario)
def test_fault(endpoint: Endpoint, tmp_path: Path, row: Row) -> None:
    """Each fault is retried or not, counted, waited for and explained as the table says, and nothing else is called."""
    timeout_s = 1.0 if re.search("hang|trickle", row.scenario) else 20.0
    with generator_for(endpoint.url, tmp_path, timeout_s, max_attempts=3) as generator:
        found, calls = check_outcome(generator, endpoint, row)
        if found.status == "ok":
            check_is_kept(generator, found, calls[-1])


def check_outcome(generator: ImageGenerator, endpoint: Endpoint, row: Row) -> tuple[Generation, list[Call]]:
    """Ask for the row's scenario, and see that it becomes of it what the row says."""
    (found,) = generator.generate([ImageRequest(row.scenario, seed=1 if generator.model.takes_seed else None)])
    calls = ended_calls(endpoint, row.attempts)
    assert (found.status, found.attempts) == (row.status if row.error else "ok", row.attempts), found.error
    # Where nothing is to be waited for, the endpoint may notice late that the client has left.
    assert not row.wait_s or all(wait >= row.wait_s - ROUNDING_S for wait in waits_between(calls))
    if row.error:
        assert re.search(row.error, found.error or ""), found.error
        assert found.record is None
    else:
        assert found.error is None
        assert calls[-1].delivered
    return found, calls


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
    with generator_for(endpoint.url, tmp_path, max_attempts=12) as generator:
        threading.Timer(1, endpoint.resume).start()
        (found,) = generator.generate([ImageRequest("a cat")])
    assert (found.status, len(endpoint.calls)) == ("ok", 1)
    assert found.attempts > 1
    endpoint.pause()
    with generator_for(endpoint.url, tmp_path, max_attempts=2) as generator:
        (found,) = generator.generate([ImageRequest("a dog")])
    assert (found.status, found.attempts) == ("failed", 2)
    assert re.search("http://127.0.0.1:.*: ConnectError", found.error or "")


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
        assert all(wait >= asked_to_wait - ROUNDING_S for wait in waits_between(each))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), ("0.5", 0.5), ("", None), ("soon", None), ("-1", None), ("inf", None), ("nan", None), ("1e9", None)],
)
def test_retry_after_that_is_a_number_or_none(value: str, seconds: float | None) -> None:
    """Only plain seconds count; what would wait for ever, or make no sense, counts as not said."""
    assert retry_after_s({"retry-after": value}) == seconds


def test_retry_after_in_the_past_is_no_wait() -> None:
    """A date that is over, with or without its zone, asks for no wait."""
    assert retry_after_s({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after_s({"retry-after": "Wed, 21 Oct 2015 07:28:00 -0000"}) == 0


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
