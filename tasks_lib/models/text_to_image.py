"""What Hugging Face's text-to-image protocol takes, and how an endpoint that speaks it is asked."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub.inference._common import RequestParameters
from pydantic import Field

from tasks_lib.models.base import ImageRequest
from tasks_lib.settings import Settings

__all__ = ["TextToImageOptions", "direct_request"]


class TextToImageOptions(Settings):
    """What ``InferenceClient.text_to_image`` takes beside the prompt."""

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
    extra_body: dict[str, Any] | None = None
    """Options of one provider, sent as they are."""


def direct_request(url: str, request: ImageRequest, headers: Mapping[str, str], token: str | None) -> RequestParameters:
    """What ``InferenceClient(model=url).text_to_image`` sends, without looking for the token in every call.

    Args:
        url: of the endpoint.
        request: what to ask for.
        headers: with lower-case names.
        token: sent as a bearer token, if there is one.
    """
    options = {**request.options, "seed": request.seed}
    options |= options.pop("extra_body", None) or {}
    given = {name: value for name, value in options.items() if value is not None}
    authorization = {"authorization": f"Bearer {token}"} if token else {}
    return RequestParameters(
        url=url,
        task="text-to-image",
        model=url,
        json={"inputs": request.prompt, "parameters": given},
        data=None,
        headers={**headers, **authorization},
    )
