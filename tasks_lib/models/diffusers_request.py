"""What a diffusers pipeline is asked for: options checked, source image and mask opened."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from PIL import Image, ImageOps
from pydantic import Field, ValidationError

from tasks_lib.errors import InvalidRequestError
from tasks_lib.image_verification import DAMAGED, MAX_PIXELS
from tasks_lib.models.base import ImageRequest
from tasks_lib.models.extra_options import ExtraOptions
from tasks_lib.provenance import canonical_json
from tasks_lib.settings import Settings

__all__ = ["DiffusersOptions", "PreparedRequest", "prepare_request"]


class DiffusersOptions(Settings):
    """What pipelines take beside the prompt; each takes some of it."""

    negative_prompt: str | None = None
    """What the image must not show."""
    width: int | None = Field(default=None, ge=8)
    """Pixels; most pipelines take multiples of 8 or 16."""
    height: int | None = Field(default=None, ge=8)
    """Pixels; most pipelines take multiples of 8 or 16."""
    num_inference_steps: int | None = Field(default=None, ge=1)
    """Denoising steps: more take longer."""
    guidance_scale: float | None = None
    """How closely to follow the prompt."""
    strength: float | None = Field(default=None, gt=0, le=1)
    """How much of a source image to replace: 1 replaces all of it."""
    seed: int | None = None
    """Seed of the first of equal requests; by default it derives from the recipe's."""
    extra_arguments: ExtraOptions | None = None
    """Arguments of one family of pipelines, passed as they are, such as max_sequence_length or true_cfg_scale."""


@dataclass(frozen=True)
class PreparedRequest(ImageRequest):
    """A request with its options checked and its images opened."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Of the pipeline's call, equal for all requests that share it."""
    source: Image.Image | None = None
    """To be edited."""
    region: Image.Image | None = None
    """The mask, as large as the source: white where it is to be changed."""

    @property
    def kind(self) -> str:
        """``text``, ``edit`` or ``inpaint``."""
        if self.source is None:
            return "text"
        return "edit" if self.region is None else "inpaint"

    @property
    def key(self) -> Hashable:
        """What must be equal for two requests to share a call."""
        return self.kind, self.source and self.source.size, canonical_json(self.arguments)


def prepare_request(request: ImageRequest, step: int) -> PreparedRequest:
    """Check a request's options and open its images.

    Args:
        request: as it came.
        step: width and height of a source image are rounded down to multiples of this many pixels.

    Raises:
        InvalidRequestError: an option is unknown or out of bounds, or an image cannot be read.
    """
    arguments = _arguments(request.options)
    source = region = None
    if request.images:
        source = _open_image("source image", _only(request.images), "RGB")
        size = arguments.pop("width", source.width), arguments.pop("height", source.height)
        width, height = (max(side // step, 1) * step for side in size)
        source = source.resize((width, height), Image.Resampling.LANCZOS)
        if request.mask is not None:
            region = _open_image("mask", request.mask, "L").resize((width, height), Image.Resampling.NEAREST)
    elif request.mask is not None:
        raise InvalidRequestError("The request has a mask, but no source image. Send both, or a prompt only.")
    return PreparedRequest(
        **{name: getattr(request, name) for name in ImageRequest.__dataclass_fields__},
        arguments=arguments,
        source=source,
        region=region,
    )


def _arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    try:
        given = DiffusersOptions.model_validate(dict(options)).model_dump(exclude_none=True, exclude={"seed"})
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise InvalidRequestError(f"The options of the request are not valid: {faults.removeprefix(': ')}.") from error
    extra = given.pop("extra_arguments", {})
    return {**given, **extra}


def _only(images: tuple[bytes, ...]) -> bytes:
    if len(images) > 1:
        raise InvalidRequestError(f"The request has {len(images)} source images; a pipeline edits one. Send one.")
    return images[0]


def _open_image(name: str, data: bytes, mode: str) -> Image.Image:
    """Upright, as it is looked at."""
    try:
        with Image.open(BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise InvalidRequestError(
                    f"The {name} is {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}."
                )
            return ImageOps.exif_transpose(image).convert(mode)
    except DAMAGED as error:
        raise InvalidRequestError(f"The {name} of {len(data):,} bytes cannot be read: {error}.") from error
