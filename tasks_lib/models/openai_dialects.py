"""What each dialect of the OpenAI images protocol takes beside the prompt."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from tasks_lib.models.base import ImageRequest
from tasks_lib.models.extra_options import ExtraOptions
from tasks_lib.settings import Settings

__all__ = [
    "CompatibleOptions",
    "Dialect",
    "DialectName",
    "OpenAIOptions",
    "TogetherOptions",
    "XaiOptions",
    "dialect_of",
]

DialectName = Literal["openai", "compatible", "together", "xai"]


class OpenAIOptions(Settings):
    """What OpenAI's image models take; each is named and explained in the API reference of the images endpoint."""

    size: str | None = Field(default=None, pattern=r"^(auto|\d+x\d+)$")
    """Pixels as WIDTHxHEIGHT, or auto."""
    quality: Literal["auto", "low", "medium", "high", "xhigh", "max"] | None = None
    """How much work goes into the image, and what it costs."""
    background: Literal["auto", "opaque", "transparent"] | None = None
    """Whether the background is see-through; needs png or webp."""
    output_format: Literal["png", "webp", "jpeg"] | None = None
    """What the image is encoded as."""
    output_compression: int | None = Field(default=None, ge=0, le=100)
    """Quality in per cent, for jpeg and webp."""
    moderation: Literal["auto", "low"] | None = None
    """How strictly prompts and images are refused."""
    input_fidelity: Literal["high", "low"] | None = None
    """How closely an edited image follows its source, where the model takes it."""
    extra_body: ExtraOptions | None = None
    """Further fields, sent as they are."""


class CompatibleOptions(Settings):
    """What servers of open models have in common (vLLM-Omni, SGLang, LocalAI, and what is proxied to them)."""

    size: str | None = Field(default=None, pattern=r"^(auto|\d+x\d+)$")
    """Pixels as WIDTHxHEIGHT."""
    quality: str | None = None
    """Where the server knows it."""
    negative_prompt: str | None = None
    """What the image must not show."""
    num_inference_steps: int | None = Field(default=None, ge=1)
    """Denoising steps: more take longer."""
    guidance_scale: float | None = None
    """How closely to follow the prompt."""
    output_format: Literal["png", "webp", "jpeg"] | None = None
    """What the image is encoded as, where the server can choose."""
    seed: int | None = None
    """Seed of the first of equal requests; by default it derives from the recipe's."""
    extra_body: ExtraOptions | None = None
    """Further fields, sent as they are; one named like another field wins."""


class TogetherOptions(Settings):
    """What Together takes."""

    width: int | None = Field(default=None, ge=1)
    """Pixels."""
    height: int | None = Field(default=None, ge=1)
    """Pixels."""
    steps: int | None = Field(default=None, ge=1)
    """Denoising steps: more take longer."""
    guidance_scale: float | None = None
    """How closely to follow the prompt."""
    negative_prompt: str | None = None
    """What the image must not show."""
    output_format: Literal["png", "jpeg"] | None = None
    """What the image is encoded as."""
    seed: int | None = None
    """Seed of the first of equal requests; by default it derives from the recipe's."""
    extra_body: ExtraOptions | None = None
    """Further fields, sent as they are."""


class XaiOptions(Settings):
    """What xAI takes; it rejects a size."""

    aspect_ratio: str | None = Field(default=None, pattern=r"^(auto|[\d.]+:[\d.]+)$")
    """Width to height, such as 16:9."""
    resolution: str | None = None
    """How big, by the name that the model knows, such as 1k."""
    extra_body: ExtraOptions | None = None
    """Further fields, sent as they are."""


@dataclass(frozen=True)
class Dialect:
    """How one kind of server differs from the others."""

    options: type[Settings]
    takes_seed: bool
    edits: Literal["form", "json"] | None
    """How it takes source images: as the SDK sends them, as data URIs in JSON, or not at all. Together takes links to
    them, in fields that differ from model to model."""
    response_format: str | None
    """What the server calls an answer that holds the image itself; ``None`` where that is the only one."""

    def check(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options that were given, each of the right kind.

        Raises:
            ValueError: one is unknown or out of its range.
        """
        return self.options.model_validate(options).model_dump(exclude_unset=True)

    def fields(self, request: ImageRequest) -> dict[str, Any]:
        """What is sent beside prompt, model and number of images."""
        fields = {"response_format": self.response_format, **request.options}
        if self.takes_seed:
            fields["seed"] = request.seed
        fields |= fields.pop("extra_body", None) or {}
        return {name: value for name, value in fields.items() if value is not None}


def dialect_of(name: DialectName) -> Dialect:
    """What a dialect's name stands for."""
    match name:
        case "openai":
            return Dialect(OpenAIOptions, takes_seed=False, edits="form", response_format=None)
        case "compatible":
            return Dialect(CompatibleOptions, takes_seed=True, edits="form", response_format="b64_json")
        case "together":
            return Dialect(TogetherOptions, takes_seed=True, edits=None, response_format="base64")
        case "xai":
            return Dialect(XaiOptions, takes_seed=False, edits="json", response_format="b64_json")
