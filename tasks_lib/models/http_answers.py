"""What an HTTP answer of an image endpoint, or the lack of one, means: refused, invalid, worth retrying, the end."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import httpx2

from tasks_lib.errors import (
    BadImageError,
    ImageloomError,
    InvalidRequestError,
    RefusedError,
    StopError,
    ThrottledError,
    TransientError,
)
from tasks_lib.models.http_post import HttpAnswer

__all__ = [
    "BEFORE_TEXT",
    "body_of",
    "error_of_answer",
    "error_of_call",
    "is_refusal",
    "passing_fault",
    "redact",
    "redact_url",
    "repeats_secret",
    "retry_after_s",
]

MODERATION = re.compile(
    r"""
    moderated | moderation[ _-]?(blocked|system|filter|polic) | (content|by|failed)[ _-]?moderation  # BFL, OpenAI, HF
    | content[ _-]?(management[ _-]?)?(policy|filter)  # fal, Azure
    | nsfw | not[ ]safe[ ]for[ ]work  # Replicate, Together
    | safety[ _-]?(system|filter|violation|polic)  # OpenAI, Google
    | flagged[ ](as|by|for)
    | (sensitive|inappropriate|prohibited|disallowed|unsafe)[ _-](content|material|words?|prompt)
    | violat\w+[ ](of[ ])?(our|the|usage|content|terms)
    | responsible[ _]?ai
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""How providers say that a prompt or its image was refused; not how they name an option such as safety_tolerance."""

MAY_REFUSE = frozenset({200, 400, 403, 422, 451})
STOPPING = {
    401: "the key was rejected; check the token in the environment",
    402: "the account has no credit left; add credit, then build again",
    403: "the account may not use this model; ask for access or name another model",
    404: "there is no such model or endpoint; check model_id, provider or base_url",
}
BEFORE_TEXT = b"\xef\xbb\xbf \t\r\n"
"""Bytes that may stand before JSON or a page: a byte order mark, white space. No image begins with them."""
LEAST_LETTERS = 8
"""Of a secret that is looked for in an image, or of a query in a text; a shorter one stands in many by chance."""
THROTTLING = frozenset({429, 503})
TRANSIENT = frozenset({408, 409, 425})
BEARER = re.compile(r"\b(bearer\s+)[\w.~+/=-]{6,}", re.IGNORECASE)
LOGIN = re.compile(r"(?<=://)[^\s/'\"<>]+@")
"""Of a URL within a text, such as that of a proxy."""
QUERY = re.compile(r"((?::/|(?<!\S)|(?<=['\"(]))/[^\s?'\"<>]*)\?[^\s'\"<>]+")
"""Of a URL or path within a text; clients and servers escape its letters each in their own way."""


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by ``Retry-After``, given as seconds or as a date (RFC 9110, section 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    # Fractions are not in the standard, but endpoints send them.
    if re.fullmatch(r"\d{1,9}(\.\d*)?", value):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def redact_url(url: str) -> str:
    """A URL without its credentials and query, fit for a message."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def redact(text: str, secrets: Iterable[str | None]) -> str:
    """A text without these secrets, what stands behind the word Bearer, and the logins and queries of URLs."""
    for secret in secrets:
        text = text.replace(secret, "[redacted]") if secret else text
    return QUERY.sub(r"\1?[redacted]", LOGIN.sub("[redacted]@", BEARER.sub(r"\1[redacted]", text)))


def repeats_secret(data: bytes, secrets: Iterable[str]) -> bool:
    """Whether an answer, or an image, holds a secret that was sent with the request."""
    return any(len(secret) >= LEAST_LETTERS and secret.encode() in data for secret in secrets)


def is_refusal(status: int, text: str) -> bool:
    """Whether an answer without an image says that moderation refused the prompt or the image."""
    return status in MAY_REFUSE and MODERATION.search(text) is not None


def error_of_answer(status: int, headers: Mapping[str, str], body: str, where: str) -> ImageloomError:
    """The error that a failed answer stands for.

    Args:
        status: the HTTP status, 400 or above.
        headers: the answer's headers, with lower-case names or case-insensitive.
        body: its text, without secrets; the first 300 characters go into the message.
        where: the model and place, fit for a message.
    """
    said = " ".join(body.split())[:300] or "nothing"
    message = f"{where} answered {status}: {said}"
    if is_refusal(status, body):
        return RefusedError(message)
    if status in STOPPING:
        return StopError(f"{message}. The run stops: {STOPPING[status]}.")
    return passing_fault(status, headers, message) or InvalidRequestError(message)


def passing_fault(status: int, headers: Mapping[str, str], message: str) -> TransientError | None:
    """The error of a failed answer that another attempt may better, or ``None``."""
    wait = retry_after_s(headers)
    if status in THROTTLING:
        return ThrottledError(message, wait)
    if status in TRANSIENT or status >= 500:
        return TransientError(message, wait)
    return None


def body_of(answer: HttpAnswer, where: str, secrets: Sequence[str], credentials: Sequence[str]) -> bytes:
    """The body of an answer with status 200 or another success.

    Args:
        answer: as it came.
        where: the model and place, fit for a message.
        secrets: what must not get into a message.
        credentials: what must not get into an image either.

    Raises:
        GenerationError: it is an error, or repeats a secret; the kind says whether another attempt is worth it.
        StopError: no request of this run can succeed.
    """
    if not 200 <= answer.status < 300:
        text = redact(answer.body.decode("utf-8", "replace"), secrets)
        raise error_of_answer(answer.status, answer.headers, text, where)
    is_text = answer.body.lstrip(BEFORE_TEXT)[:1] in b"{<["
    if repeats_secret(answer.body, secrets if is_text else credentials):
        raise BadImageError(f"{where} sent no image, but an answer that repeats the token.")
    return answer.body


def error_of_call(error: Exception, where: str, secrets: Iterable[str]) -> ImageloomError | None:
    """The error of ours that any client's failure to get an answer stands for.

    Args:
        error: what the call raised.
        where: the model and place, fit for a message.
        secrets: what must not get into a message.

    Returns:
        ``None`` for a programming error, and for what only the client's own errors tell.
    """
    said = redact(f"{type(error).__name__} {error}".rstrip(), secrets)
    match error:
        case ImageloomError():
            return error
        case UnicodeEncodeError():
            # Half a surrogate pair, as a JSON file may hold it, cannot be sent.
            return InvalidRequestError(f"{where} cannot be sent the request: {said}.")
        case aiohttp.ClientError() | httpx2.HTTPError() | httpx2.StreamError() | OSError():
            return TransientError(f"{where}: {said}")
    return None
