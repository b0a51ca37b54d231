"""What each error of ``huggingface_hub`` and its HTTP client means for a request."""

from collections.abc import Sequence

import httpx2
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

from tasks_lib.errors import BadImageError, ImageloomError, RefusedError, StopError, TransientError
from tasks_lib.models.http_answers import error_of_answer, error_of_call, is_refusal, redact

__all__ = ["meaning_of", "meaning_while_queued"]


def meaning_of(error: Exception, where: str, secrets: Sequence[str]) -> ImageloomError | None:
    """The error of ours that an error of the library or its HTTP client stands for.

    Args:
        error: what a call for an image, or for what the Hub says of a model, raised.
        where: the model and place, fit for a message.
        secrets: what must not get into a message.

    Returns:
        ``None`` for a programming error.
    """
    match error:
        case HfHubHTTPError() | httpx2.HTTPStatusError():
            answer = error.response
            return error_of_answer(answer.status_code, answer.headers, redact(answer.text, secrets), where)
        case OfflineModeIsEnabled() | LocalTokenNotFoundError():
            said = redact(f"{type(error).__name__} {error}", secrets)
            return StopError(f"{where}: {said} The run stops: set the environment, then build again.")
    return error_of_call(error, where, secrets)


def meaning_while_queued(
    error: Exception, where: str, secrets: Sequence[str], first_answer: bytes = b""
) -> ImageloomError | None:
    """The same for an error of a provider's helper, which waits for an image and then downloads it.

    Args:
        error: what the helper raised.
        where: the model and place, fit for a message.
        secrets: what must not get into a message.
        first_answer: what the helper was given.

    Returns:
        ``None`` for a programming error.
    """
    match error:
        case HfHubHTTPError() | httpx2.HTTPStatusError() if "authorization" not in error.response.request.headers:
            # A link, which is fetched without the token: its 404 says nothing about the model.
            return TransientError(f"{where}: the link to the image answered {error.response.status_code}.")
        case HfHubHTTPError():
            # Before the next: an answer with status 400 is a ValueError too.
            return meaning_of(error, where, secrets)
        case ValueError() | LookupError() | TypeError() | AttributeError() | httpx2.InvalidURL():
            if is_refusal(200, str(error)):
                return RefusedError(f"{where} gave no image: {_said(error, secrets)[:300]}")
            first = redact(first_answer[:300].decode("utf-8", "replace"), secrets)
            return BadImageError(f"{where} gave no image: {_said(error, secrets)[:300]}; at first it answered {first}")
    return meaning_of(error, where, secrets)


def _said(error: Exception, secrets: Sequence[str]) -> str:
    return redact(f"{type(error).__name__} {error}".rstrip(), secrets)
