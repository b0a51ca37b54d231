"""What the test endpoint answers: scenarios named in a prompt by markers such as `{{429 retry-after=1 times=2}}`.

A marker makes the first `times` calls of its request go wrong that way; later calls get the image. Several
markers in one prompt happen one after the other. Equal prompts with different parameters are different requests.

    marker                                             what is sent                            times
    408 409 425 429 500 502 503 504                    an error; see the options below         1
    reset-before  reset-middle  close-middle           connection cut without or in the body   1
    hang                                               nothing, ever                           1
    trickle ms=20                                      the image, a byte every 20 ms           1
    slow seconds=1                                     the image, a second later               1
    html  empty  half  half-jpeg  half-png             status 200, but no complete image       1
    black  bomb                                        an image nobody wants                   inf
    huge megabytes=300 length=no                       the image and 300 MB; no: chunked       inf
    wrong-type type=text/plain                         the image under another content type    inf
    400 401 402 403 404 413 422                        an error that another try cannot mend   inf
    refused-{hf,openai,together,fal,replicate,bfl}     moderation in that provider's wording   inf

Every marker takes `times=N` or `times=inf`. Errors and refusals take `retry-after=SECONDS`, `retry-date=SECONDS`
(the same as an HTTP date) and `status=CODE`.
"""

import hashlib
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from math import ceil, inf
from typing import Any, Literal, Self

from tests import endpoint_images as images

__all__ = ["Answer", "Marker", "answer_for", "json_answer", "marker_for", "mixed_fault"]

Manner = Literal[
    "whole", "chunked", "byte by byte", "never", "reset before", "reset in the middle", "close in the middle"
]

REFUSALS: Mapping[str, tuple[int, Any]] = {
    "refused-bfl": (400, {"status": "Content Moderated", "details": {"Moderation Reasons": ["Safety Filter"]}}),
    "refused-fal": (
        422,
        {"detail": [{"loc": ["body", "prompt"], "msg": "flagged", "type": "content_policy_violation"}]},
    ),
    "refused-hf": (400, {"error": "The prompt was flagged as unsafe by content moderation."}),
    "refused-openai": (
        400,
        {
            "error": {
                "message": "Your request was rejected by the safety system. safety_violations=[violence].",
                "type": "image_generation_user_error",
                "param": None,
                "code": "moderation_blocked",
            }
        },
    ),
    "refused-replicate": (400, {"status": "failed", "error": "NSFW content detected. Try a different prompt."}),
    "refused-together": (400, {"error": {"message": "Prompt contains NSFW content", "type": "invalid_request_error"}}),
}
ERRORS: Mapping[str, tuple[int, Any]] = {
    "400": (400, {"error": "Invalid parameter: num_inference_steps must be between 1 and 50"}),
    "401": (401, {"error": "Invalid credentials in Authorization header"}),
    "402": (402, {"error": "You have used up your included credits"}),
    "403": (403, {"error": "This token has no permission to call inference providers"}),
    "404": (404, {"error": "Model not found"}),
    "408": (408, {"error": "Request timeout"}),
    "409": (409, {"error": "Conflict"}),
    "413": (413, {"error": "Payload too large"}),
    "422": (422, {"error": "Unprocessable parameters: width must be a multiple of 8"}),
    "425": (425, {"error": "Too early"}),
    "429": (429, {"error": "Too many requests"}),
    "500": (500, {"error": "Internal server error"}),
    "502": (502, "<html><head><title>502 Bad Gateway</title></head></html>"),
    "503": (503, {"error": "The model is loading", "estimated_time": 20.0}),
    "504": (504, "<html><head><title>504 Gateway Time-out</title></head></html>"),
}
LASTING = frozenset({*REFUSALS, "400", "401", "402", "403", "404", "413", "422", "black", "bomb", "huge", "wrong-type"})
QUICK_FAULTS = (
    "429 retry-after=0",
    "429 retry-after=0.05",
    "429",
    "500",
    "502",
    "503 retry-after=0",
    "reset-before",
    "reset-middle",
    "half",
    "html",
)
# A whole second of Retry-After is rare, or it would decide how long every run takes.
MIXED_FAULTS = (*QUICK_FAULTS * 4, "429 retry-after=1")
LOGIN_PAGE = b"<!doctype html><html><body><h1>Sign in to continue</h1></body></html>"


@dataclass(frozen=True)
class Answer:
    """What is sent for one call, and how: `pace_s` is the wait between bytes, `padding` the zeros that follow."""

    status: int = 200
    content_type: str = "application/json"
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    manner: Manner = "whole"
    delay_s: float = 0.0
    pace_s: float = 0.0
    padding: int = 0


@dataclass(frozen=True)
class Marker:
    """One scenario named in a prompt, with its options as they are written."""

    name: str
    options: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what stands between the braces: a name, then `key=value` pairs."""
        name, *pairs = text.split()
        return cls(name, dict(pair.split("=", 1) for pair in pairs))

    @property
    def times(self) -> float:
        """How many calls of a request go this way."""
        return float(self.options.get("times", inf if self.name in LASTING else 1))


def marker_for(prompt: str, attempt: int) -> Marker | None:
    """Return the scenario of a request's call number `attempt` (from 0), or None when it gets its image."""
    for text in re.findall(r"\{\{\s*(\S.*?)\s*\}\}", prompt):
        marker = Marker.parse(text)
        if attempt < marker.times:
            return marker
        attempt -= int(marker.times)
    return None


def mixed_fault(key: bytes, share: float, seed: int) -> Marker | None:
    """Return the fault that the first call of this request meets, or None: always the same for the same seed."""
    digest = hashlib.sha256(b"%d:" % seed + key).digest()
    if int.from_bytes(digest[:8]) >= share * 2**64:
        return None
    return Marker.parse(MIXED_FAULTS[int.from_bytes(digest[8:16]) % len(MIXED_FAULTS)])


def json_answer(status: int, content: Any) -> Answer:
    """Build an answer that holds JSON, or HTML when the content is text."""
    if isinstance(content, str):
        return Answer(status, "text/html; charset=utf-8", content.encode())
    return Answer(status, "application/json", json.dumps(content).encode())


def answer_for(marker: Marker, image: Answer) -> Answer:
    """Turn a scenario and the image that would be sent into what is sent instead."""
    options = marker.options
    half = image.body[: len(image.body) // 2]
    match marker.name:
        case name if name in ERRORS or name in REFUSALS:
            return _error(*(ERRORS.get(name) or REFUSALS[name]), options)
        case "reset-before":
            return replace(image, manner="reset before")
        case "reset-middle":
            return replace(image, manner="reset in the middle")
        case "close-middle":
            return replace(image, manner="close in the middle")
        case "hang":
            return replace(image, manner="never")
        case "trickle":
            return replace(image, manner="byte by byte", pace_s=float(options.get("ms", 20)) / 1000)
        case "slow":
            return replace(image, delay_s=float(options.get("seconds", 1)))
        case "html":
            return replace(image, content_type="text/html; charset=utf-8", body=LOGIN_PAGE)
        case "empty":
            return replace(image, body=b"")
        case "half":
            return replace(image, body=half)
        case "half-jpeg" | "half-png":
            return _half(marker.name.removeprefix("half-"))
        case "black":
            return replace(image, body=images.black_image(image.content_type.removeprefix("image/")))
        case "bomb":
            return replace(image, content_type="image/png", body=images.bomb())
        case "huge":
            manner: Manner = "chunked" if options.get("length") == "no" else "whole"
            return replace(image, manner=manner, padding=int(options.get("megabytes", 300)) * 1_000_000)
        case "wrong-type":
            return replace(image, content_type=options.get("type", "text/plain"))
        case unknown:
            return json_answer(400, {"error": f"The test endpoint has no scenario {unknown!r}"})


def _error(status: int, content: Any, options: Mapping[str, str]) -> Answer:
    answer = json_answer(int(options.get("status", status)), content)
    if "retry-after" in options:
        return replace(answer, headers=(("Retry-After", options["retry-after"]),))
    if "retry-date" in options:
        # An HTTP date has whole seconds: rounded up, so that it never names a moment already past.
        moment = ceil(time.time() + float(options["retry-date"]))
        return replace(answer, headers=(("Retry-After", formatdate(moment, usegmt=True)),))
    return answer


def _half(image_format: str) -> Answer:
    whole = images.image_for("half an image", image_format=image_format)
    return Answer(200, f"image/{image_format}", whole[: len(whole) // 2])
