"""Waiting for an image that a provider makes after it has answered, with the library's own helper."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from huggingface_hub.inference._common import RequestParameters
from huggingface_hub.inference._providers._common import TaskProviderHelper

from tasks_lib.models.hub_errors import meaning_while_queued

__all__ = ["queued_image"]


async def queued_image(
    helper: TaskProviderHelper, parameters: RequestParameters, answer: bytes, where: str, secrets: Sequence[str]
) -> bytes:
    """The image, once there is one; cancelled, nothing more is asked of the queue.

    Args:
        helper: the library's, which asks again and again, blocking, and then downloads the image.
        parameters: of the call that was made.
        answer: what the provider answered to it.
        where: the model and place, fit for a message.
        secrets: what must not get into a message.

    Raises:
        GenerationError: there is no image; the kind says whether another attempt is worth it.
        StopError: no request of this run can succeed.
    """
    watched = _WhileAwaited(parameters)
    try:
        return bytes(await asyncio.to_thread(helper.get_response, answer, cast(RequestParameters, watched)))
    except Exception as error:
        # Explained here and not in explain(): of another call, they would be programming errors.
        meaning = meaning_while_queued(error, where, secrets, answer)
        if meaning is None:
            raise
        raise meaning from error
    finally:
        watched.is_over = True


class _WhileAwaited:
    """The parameters, which the helper reads for each question, until nobody waits for its answer.

    Otherwise its thread would ask on for as long as the queue does not end, and keep the process from ending.
    """

    def __init__(self, parameters: RequestParameters) -> None:
        self._parameters = parameters
        self.is_over = False

    def __getattr__(self, name: str) -> Any:
        if self.is_over:
            raise TimeoutError("nobody waits for this image any more")
        return getattr(self._parameters, name)
