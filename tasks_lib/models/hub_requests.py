"""What Hugging Face's protocols for making and editing images take, and how they are asked."""

import base64
from collections.abc import Mapping
from typing import Any

from huggingface_hub.inference._common import RequestParameters
from huggingface_hub.inference._providers._common import TaskProviderHelper
from pydantic import Field

from tasks_lib.errors import InvalidRequestError
from tasks_lib.models.base import ImageRequest
from tasks_lib.models.endpoint_url import without_login
from tasks_lib.models.extra_options import ExtraOptions
from tasks_lib.settings import Settings

__all__ = ["TextToImageOptions", "direct_request", "provider_request", "task_of"]

Headers = Mapping[str, str]


class TextToImageOptions(Settings):
    """What ``InferenceClient.text_to_image`` and ``image_to_image`` take beside prompt and image."""

    negative_prompt: str | None = None
    """What the image must not show."""
    width: int | None = Field(default=None, ge=1)
    """Pixels."""
    height: int | None = Field(default=None, ge=1)
    """Pixels."""
    num_inference_steps: int | None = Field(default=None, ge=1)
    """Denoising steps: more take longer."""
    guidance_scale: float | None = None
    """How closely to follow the prompt."""
    scheduler: str | None = None
    """Name of the scheduler, where the model knows it."""
    seed: int | None = None
    """Seed of the first of equal requests; by default it derives from the recipe's."""
    extra_body: ExtraOptions | None = None
    """Options of one provider, sent as they are."""


def task_of(request: ImageRequest) -> str:
    """What the Hub calls this kind of request.

    Raises:
        InvalidRequestError: more than one source image, or a mask, which the protocol does not know.
    """
    if request.mask is not None or len(request.images) > 1:
        found = "a mask" if request.mask is not None else f"{len(request.images)} images"
        raise InvalidRequestError(f"Hugging Face's image-to-image takes one image and a prompt; found {found}.")
    return "image-to-image" if request.images else "text-to-image"


def direct_request(url: str, request: ImageRequest, headers: Headers, token: str | None) -> RequestParameters:
    """What ``InferenceClient(model=url)`` sends, without looking for the token in every call.

    Args:
        url: of the endpoint.
        request: what to ask for.
        headers: with lower-case names.
        token: sent as a bearer token, if there is one and the URL holds no login, which takes its place.
    """
    task = task_of(request)
    place, login = without_login(url)
    inputs, options = _inputs(request)
    if isinstance(inputs, bytes):
        inputs = base64.b64encode(inputs).decode()
    given = {name: value for name, value in options.items() if value is not None}
    said = login or (token and f"Bearer {token}")
    authorization = {"authorization": said} if said else {}
    return RequestParameters(
        url=place,
        task=task,
        model=place,
        json={"inputs": inputs, "parameters": given},
        data=None,
        headers={**headers, **authorization},
    )


def provider_request(
    helper: TaskProviderHelper, model_id: str | None, request: ImageRequest, headers: Headers, token: str | None
) -> RequestParameters:
    """What ``InferenceClient(provider=...)`` sends.

    Args:
        helper: the library's, for the provider and the task.
        model_id: of the Hub.
        request: what to ask for.
        headers: with lower-case names.
        token: of the Hub, or the provider's own.
    """
    inputs, options = _inputs(request)
    return helper.prepare_request(
        inputs=inputs, parameters=options, headers=dict(headers), model=model_id, api_key=token
    )


def _inputs(request: ImageRequest) -> tuple[str | bytes, dict[str, Any]]:
    options = {**request.options, "seed": request.seed}
    options |= options.pop("extra_body", None) or {}
    if not request.images:
        return request.prompt, options
    size = {side: options.pop(side) for side in ("width", "height") if options.get(side) is not None}
    edit = {"prompt": request.prompt, **({"target_size": size} if size else {})}
    return request.images[0], {**edit, **options}
