"""The embedded model: draws the shapes a prompt names, offline and free."""

import asyncio
import zlib
from dataclasses import replace
from io import BytesIO
from typing import Annotated, Any, ClassVar, Literal

from PIL import Image
from pydantic import Field, TypeAdapter, ValidationError

from tasks_lib.errors import InvalidRequestError
from tasks_lib.image_verification import DAMAGED
from tasks_lib.models.base import ImageAnswer, ImageGenerationModel, ImageRequest
from tasks_lib.models.procedural.drawing import Drawing, draw, draw_onto

__all__ = ["ProceduralImageGeneration"]

Side = Annotated[int, Field(ge=16, le=4096, strict=True)]
"""Pixels."""
SIDE: TypeAdapter[int] = TypeAdapter(Side)


class ProceduralImageGeneration(ImageGenerationModel):
    """Draws prompts about shapes exactly, and any other prompt as an abstract composition.

    It needs no network, no key and no weights: for trying recipes out, for tests, and for diagnostic
    sets whose facts are known, in the way of CLEVR (Johnson et al., 2017) and ShapeWorld (Kuhnle and
    Copestake, 2017). Understood are colours, shapes, sizes, numbers, places ("in the top left corner"),
    relations ("above", "next to", "inside", "behind", "between") and backgrounds. Equal prompts, seeds
    and sizes give the same bytes with the same build of Pillow.
    """

    trained: ClassVar[bool] = False
    edits: ClassVar[bool] = True

    type: Literal["procedural"] = "procedural"
    """Kind of model."""
    width: Side = 512
    """Width of the images in pixels; a request's option ``width`` wins."""
    height: Side = 512
    """Height of the images in pixels; a request's option ``height`` wins."""
    price_per_image_usd: float | None = Field(default=0.0, ge=0)
    """Price of one image in US dollars; drawing is free."""

    @property
    def model_name(self) -> str:
        """It, its version, and that it is no neural network."""
        return f"imageloom/procedural-{self.schema_version}"

    async def agenerate(self, request: ImageRequest) -> ImageAnswer:
        """Draw in a thread, so that other requests go on; onto the source image, where there is one.

        Raises:
            InvalidRequestError: an option is unknown or out of bounds, or there are several source images.
        """
        width, height = self._size(request)
        if request.images:
            return await asyncio.to_thread(_edited, request)
        return await asyncio.to_thread(_drawn, request.prompt, request.seed or 0, width, height)

    def _size(self, request: ImageRequest) -> tuple[int, int]:
        if len(request.images) > 1:
            raise InvalidRequestError(f"The procedural model edits one image; found {len(request.images)}.")
        sides = {"width": self.width, "height": self.height}
        for name, value in request.options.items():
            if name not in sides:
                raise InvalidRequestError(f"Unknown option '{name}' of the procedural model. It knows: width, height.")
            sides[name] = _side(name, value)
        return sides["width"], sides["height"]


def _side(name: str, value: Any) -> int:
    try:
        return SIDE.validate_python(value)
    except ValidationError as error:
        raise InvalidRequestError(
            f"Option '{name}' of the procedural model is {value!r}. Give a whole number of pixels from 16 to 4096; "
            "the options are width and height."
        ) from error


def _drawn(prompt: str, seed: int, width: int, height: int) -> ImageAnswer:
    return _answer(draw(prompt, seed, width, height))


def _edited(request: ImageRequest) -> ImageAnswer:
    """The source with the drawing on it: of the source's size, and only where the mask is white."""
    source = _opened(request.images[0], "RGB")
    drawing = draw_onto(source, request.prompt, request.seed or 0)
    if request.mask is None:
        return _answer(drawing)
    where = _opened(request.mask, "L").resize(source.size)
    return _answer(replace(drawing, image=Image.composite(drawing.image, source, where)))


def _opened(data: bytes, mode: str) -> Image.Image:
    try:
        with Image.open(BytesIO(data)) as image:
            return image.convert(mode)
    except DAMAGED as error:
        raise InvalidRequestError(f"The image to edit, or its mask, cannot be opened: {error}.") from error


def _answer(drawing: Drawing) -> ImageAnswer:
    return ImageAnswer(data=_png(drawing), metadata=_metadata(drawing), cost_usd=0.0)


def _png(drawing: Drawing) -> bytes:
    buffer = BytesIO()
    drawing.image.save(buffer, "PNG", compress_level=4, compress_type=zlib.Z_RLE)
    return buffer.getvalue()


def _metadata(drawing: Drawing) -> dict[str, Any]:
    return {
        "understood": drawing.complete,
        "objects": list(drawing.objects),
        "relations": list(drawing.relations),
        "background": drawing.background,
    }
