"""What an HTTP answer of an image endpoint means: refused, invalid, worth retrying, or the end of the run."""

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit, urlunsplit

from tasks_lib.errors import (
    ImageloomError,
    InvalidRequestError,
    RefusedError,
    StopError,
    ThrottledError,
    TransientError,
)

__all__ = ["error_of_answer", "redact_url", "retry_after_s"]

MODERATION = re.compile(
    r"moderat|content.?polic|safety|nsfw|not.safe.for.work|flagged|sensitive.content|inappropriate|prohibited",
    re.IGNORECASE,
)
"""Words by which providers say that a prompt or its image was refused; each has a test."""

STOPPING = {
    401: "the key was rejected; check the token in the environment",
    402: "the account has no credit left; add credit, then build again",
    403: "the account may not use this model; ask for access or name another model",
    404: "there is no such model or endpoint; check model_id, provider or base_url",
}
TRANSIENT = frozenset({408, 409, 425})


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by ``Retry-After``, given as seconds or as a date (RFC 9110, section 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def redact_url(url: str) -> str:
    """A URL without its credentials and query, fit for a message."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def error_of_answer(status: int, headers: Mapping[str, str], body: str, where: str) -> ImageloomError:
    """The error that a failed answer stands for.

    Args:
        status: the HTTP status, 400 or above.
        headers: the answer's headers, with lower-case names or case-insensitive.
        body: its text; the first 300 characters go into the message.
        where: the model and place, fit for a message.
    """
    said = " ".join(body.split())[:300] or "nothing"
    message = f"{where} answered {status}: {said}"
    if status in {400, 403, 422, 451} and MODERATION.search(body):
        return RefusedError(message)
    if status in STOPPING:
        return StopError(f"{message}. The run stops: {STOPPING[status]}.")
    wait = retry_after_s(headers)
    if status == 429 or (status == 503 and wait is not None):
        return ThrottledError(message, wait)
    if status in TRANSIENT or status >= 500:
        return TransientError(message, wait)
    return InvalidRequestError(message)
