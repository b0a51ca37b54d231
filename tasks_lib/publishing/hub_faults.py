"""What each failure of the Hub means for a publication: one clear sentence, or another try."""

import json
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import httpx2
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils._http import parse_ratelimit_headers

from tasks_lib.errors import ImageloomError, PublishError, ThrottledError, TransientError
from tasks_lib.limits import RetryPolicy
from tasks_lib.models.http_answers import redact, retry_after_s

__all__ = ["HubFaults"]

Result = TypeVar("Result")

POLICY = RetryPolicy(max_attempts=6, max_wait_s=900.0)
"""The library itself tries the sending of a file some times before we hear of it."""
HINTS = {
    400: "Look at what it says",
    401: "The token was rejected: make one with the role 'write' in the settings of your account, and set HF_TOKEN",
    402: "The account has no room left: free some, or change its plan",
    403: "The token may not write there: take one with the role 'write', of an account that owns that name",
    404: "There is no such repository or revision, or the token may not see it",
    413: "A file is larger than the Hub takes, or the account has no room left",
    507: "The account has no room left: free some, or change its plan",
}
THROTTLING = frozenset({429, 503})
RETRIED = frozenset({408, 409, 412, 425})


class HubFaults:
    """Tries a call again while that is worth it, and tells what failed in one sentence, without the token.

    Args:
        what: the repository, fit for a message.
        token: what must not get into a message.
        way_on: the last sentence of every message: how to go on.
    """

    def __init__(self, what: str, token: str | None, way_on: str = "") -> None:
        self._what = what
        self._token = token
        self._way_on = way_on

    def retried(self, call: Callable[[], Result]) -> Result:
        """What the call gives, once it succeeds.

        Raises:
            PublishError: it cannot succeed, or did not within the policy's attempts.
        """
        failures = throttles = 0
        waited_s = 0.0
        while True:
            try:
                return call()
            except Exception as error:
                meaning = self.meaning_of(error)
                if meaning is None:
                    raise
            # Outside the handler: what the server said may hold the token, and must not be chained.
            if not isinstance(meaning, TransientError):
                raise meaning
            throttled = isinstance(meaning, ThrottledError)
            failures, throttles = failures + (not throttled), throttles + throttled
            delay = POLICY.delay(meaning, failures, throttles, waited_s)
            if delay is None:
                raise PublishError(f"{meaning} It was tried {failures + throttles} times. {self._way_on}".rstrip())
            time.sleep(delay)
            waited_s += delay

    def meaning_of(self, error: BaseException) -> ImageloomError | None:
        """The error of ours that a failed call stands for; ``None`` for a programming error."""
        match error:
            case ImageloomError():
                return error
            case HfHubHTTPError():
                return self._meaning_of_answer(error)
            case RuntimeError() if error.__cause__:
                # So the library tells which file it was.
                return self.meaning_of(error.__cause__)
            case FileNotFoundError() | PermissionError():
                # Of a file that went away, or of hf_xet: its token was not renewed.
                return self._failed(f"{type(error).__name__}: {error}")
            case json.JSONDecodeError() | httpx2.HTTPError() | httpx2.StreamError() | OSError() | RuntimeError():
                # A RuntimeError is how hf_xet tells of its connections.
                return TransientError(self._said(f"{type(error).__name__}: {error}"))
            case ValueError():
                # The library's word for a card, or for files, that the Hub did not take.
                return self._failed(str(error))
        return None

    def _meaning_of_answer(self, error: HfHubHTTPError) -> ImageloomError:
        answer = error.response
        status = answer.status_code
        said = error.server_message or answer.headers.get("x-error-message") or answer.text
        told = f"the Hub answered {status}: {said.strip() or 'nothing'}"
        if status in THROTTLING:
            return ThrottledError(self._said(told), _wait_s(answer.headers))
        if status in RETRIED or (status >= 500 and status not in HINTS):
            return TransientError(self._said(told), _wait_s(answer.headers))
        return self._failed(told, HINTS.get(status, HINTS[400]))

    def _failed(self, told: str, hint: str = HINTS[400]) -> PublishError:
        return PublishError(f"{self._said(told)} {hint}. {self._way_on}".rstrip())

    def _said(self, told: str) -> str:
        text = redact(" ".join(told.split()), [self._token])[:400].rstrip(".")
        return f"{self._what}: {text}."


def _wait_s(headers: Mapping[str, str]) -> float | None:
    """Seconds the Hub asks to wait: by ``Retry-After``, or by its ``RateLimit`` header (an IETF draft)."""
    wait = retry_after_s(headers)
    limit = parse_ratelimit_headers(headers)
    return float(limit.reset_in_seconds) if wait is None and limit and limit.remaining == 0 else wait
