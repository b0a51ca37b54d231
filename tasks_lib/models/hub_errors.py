"""What each error of ``huggingface_hub`` and its HTTP client means for a request."""

from collections.abc import Sequence

import httpx2
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

from tasks_lib.errors import ImageloomError, StopError
from tasks_lib.models.http_answers import error_of_answer, error_of_call, redact

__all__ = ["meaning_of"]


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
