"""What each error of the ``openai`` package means for a request; imports it, so import this late."""

from collections.abc import Sequence

import openai

from tasks_lib.errors import ImageloomError, RefusedError, StopError, TransientError
from tasks_lib.models.http_answers import error_of_answer, error_of_call, redact

__all__ = ["meaning_of"]

NO_CREDIT = frozenset({"billing_hard_limit_reached", "insufficient_quota"})
"""Codes of the API that come with the status of a throttled or invalid request, and do not pass."""


def meaning_of(error: Exception, where: str, secrets: Sequence[str]) -> ImageloomError | None:
    """The error of ours that an error of the SDK or its HTTP client stands for.

    Args:
        error: what a call raised.
        where: the model, fit for a message.
        secrets: what must not get into a message.

    Returns:
        ``None`` for a programming error.
    """
    match error:
        case openai.APIStatusError():
            return _meaning_of_answer(error, where, secrets)
        case openai.ContentFilterFinishReasonError():
            return RefusedError(f"{where}: {redact(str(error), secrets)}")
        case openai.APIError():
            return TransientError(f"{where}: {redact(_chain(error), secrets)}")
        case openai.OpenAIError():
            # All others are about how the client was set up, as the next request would find it too.
            return StopError(f"{where}: {redact(_chain(error), secrets)} The run stops: check the settings and keys.")
    return error_of_call(error, where, secrets)


def _meaning_of_answer(error: openai.APIStatusError, where: str, secrets: Sequence[str]) -> ImageloomError:
    text = redact(error.response.text, secrets)
    if NO_CREDIT & {error.code, error.type}:
        said = " ".join(text.split())[:300]
        return StopError(
            f"{where} answered {error.status_code}: {said}. The run stops: the account has no credit left; "
            "add credit or raise its limit, then build again."
        )
    return error_of_answer(error.status_code, error.response.headers, text, where)


def _chain(error: BaseException) -> str:
    """The error and what caused it: of a lost connection the SDK's own error says nothing."""
    said = f"{type(error).__name__} {error}".rstrip()
    cause = error.__cause__
    return f"{said} ({type(cause).__name__} {cause})" if cause else said
