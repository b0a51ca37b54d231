"""Everything that can go wrong between us and an endpoint, and what must become of the request."""

import re
from dataclasses import dataclass
from itertools import pairwise

from tasks_lib.generation import Generation
from tasks_lib.generator import ImageGenerator
from tasks_lib.models import ImageRequest
from tests.endpoint import Call, Endpoint
from tests.processes import wait_until

__all__ = ["NOT_OK", "OK", "TOLD", "Row", "check_outcome", "ended_calls", "waits_between"]


def waits_between(calls: list[Call]) -> list[float]:
    """Seconds from the moment at which the answer to a call began to be sent to the next call, between all of these."""
    return [later.time_started - earlier.time_answered for earlier, later in pairwise(calls)]


def ended_calls(endpoint: Endpoint, count: int) -> list[Call]:
    """The calls in the order of their starts, once the endpoint has noticed that the client left the last of them."""
    wait_until(lambda: endpoint.in_flight == 0)
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
    Row("{{429 retry-after=0.05 times=7}}", 8, wait_s=0.05),  # throttled calls are no failed attempts
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
TOLD = [
    Row("{{400}}", 1, "answered 400: .*num_inference_steps must be between 1 and 50"),
    Row("{{413}}", 1, "answered 413: .*Payload too large"),
    Row("{{422}}", 1, "answered 422: .*width must be a multiple of 8"),
    Row("{{refused-fal}}", 1, "answered 422: .*content_policy_violation", "refused"),
    Row("{{refused-openai}}", 1, "answered 400: .*moderation_blocked", "refused"),
]
"""What endpoints of every protocol may answer, and no retry mends."""
LOST = "http://127.0.0.1:.*: (ClientOSError|ServerDisconnectedError|ClientPayloadError)"
NOT_OK = [
    *TOLD,
    Row("{{500 times=inf}}", 3, "answered 500: .*Internal server error"),
    Row("{{502 times=inf}}", 3, "answered 502: .*502 Bad Gateway"),
    Row("{{429 retry-after=3600}}", 1, "answered 429: .*Too many requests"),
    Row("{{reset-before times=inf}}", 3, LOST),
    Row("{{reset-middle times=inf}}", 3, LOST),
    Row("{{hang times=inf}}", 3, r"gave no answer within 1 s \(timeout_s\)"),
    Row("{{trickle ms=50 times=inf}}", 3, r"gave no answer within 1 s \(timeout_s\)"),
    Row("{{html times=inf}}", 3, "not an image; it begins with b'<!doctype html><html>"),
    Row("{{empty times=inf}}", 3, "the answer is empty where an image was expected"),
    Row("{{half-jpeg times=inf}}", 3, r"the image of [\d,]+ bytes is incomplete or damaged: .*[Tt]runcated"),
    Row("{{half-png times=inf}}", 3, r"the image of [\d,]+ bytes is incomplete or damaged: .*[Tt]runcated"),
    Row("{{bomb}}", 1, "too large to be opened: .*400000000 pixels"),
    Row("{{huge}}", 1, r"the answer has 300,\d{3},\d{3} bytes or more; at most 67,108,864"),
    Row("{{huge length=no}}", 1, r"the answer has 67,\d{3},\d{3} bytes or more; at most 67,108,864"),
    Row("{{refused-bfl}}", 1, "answered 400: .*Content Moderated", "refused"),
    Row("{{refused-hf}}", 1, "answered 400: .*flagged as unsafe", "refused"),
    Row("{{refused-replicate}}", 1, "answered 400: .*NSFW content detected", "refused"),
    Row("{{refused-replicate status=200}}", 1, "answered 200: .*NSFW content detected", "refused"),
    Row("{{refused-together}}", 1, "answered 400: .*NSFW content", "refused"),
]


def check_outcome(generator: ImageGenerator, endpoint: Endpoint, row: Row) -> tuple[Generation, list[Call]]:
    """Ask for the row's scenario, and see that it becomes of it what the row says."""
    (found,) = generator.generate([ImageRequest(row.scenario, seed=1 if generator.model.takes_seed else None)])
    calls = ended_calls(endpoint, row.attempts)
    assert (found.status, found.attempts) == (row.status if row.error else "ok", row.attempts), found.error
    # Where nothing is to be waited for, the endpoint may notice late that the client has left.
    assert not row.wait_s or all(wait >= row.wait_s for wait in waits_between(calls))
    if row.error:
        assert re.search(row.error, found.error or ""), found.error
        assert found.record is None
    else:
        assert found.error is None
        assert calls[-1].delivered
    return found, calls
