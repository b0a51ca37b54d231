"""A source image or a mask that cannot be decoded is its row's own fault, whatever Pillow raises for it."""

import asyncio
import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from tasks_lib.errors import InvalidRequestError
from tasks_lib.models.base import ImageRequest
from tasks_lib.models.diffusers_request import prepare_request
from tasks_lib.models.openai_client import mask_for_openai, upload
from tasks_lib.models.procedural import ProceduralImageGeneration
from tests.endpoint_images import bomb, image_for

GOOD = image_for("a cat", image_format="png")


def avif_without_its_main_item() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "AVIF")
    return buffer.getvalue().replace(b"pitm", b"free")


def png_with_a_broken_chunk() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((512, 512), 80).save(buffer, "PNG")
    beginning, _, end = buffer.getvalue().rpartition(b"IDAT")
    return beginning + bytes(4) + end


BAD: dict[str, tuple[bytes, type[Exception]]] = {
    "bomb": (bomb(), Image.DecompressionBombError),
    "avif": (avif_without_its_main_item(), RuntimeError),
    "png": (png_with_a_broken_chunk(), SyntaxError),
    "text": (b"no image", OSError),
}
"""Bytes, and what Pillow raises for them."""


def draw(*images: bytes, mask: bytes | None = None) -> Any:
    return asyncio.run(ProceduralImageGeneration().agenerate(ImageRequest("a star", images=images, mask=mask)))


def prepare(*images: bytes, mask: bytes | None = None) -> Any:
    return prepare_request(ImageRequest("a star", images=images, mask=mask), step=8)


TAKERS: dict[str, Callable[[bytes], Any]] = {
    "procedural": draw,
    "procedural-mask": lambda mask: draw(GOOD, mask=mask),
    "diffusers": prepare,
    "diffusers-mask": lambda mask: prepare(GOOD, mask=mask),
    "openai-mask": mask_for_openai,
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_decoded_is_an_invalid_request(name: str, taker: str) -> None:
    """A damaged image, a decompression bomb and a text fail their row with a sentence, and do not end the run."""
    data, reason = BAD[name]
    with pytest.raises(InvalidRequestError, match=r"be (read|opened): |pixels, more than") as caught:
        TAKERS[taker](data)
    assert isinstance(caught.value.__cause__, reason)


@pytest.mark.parametrize("name", ["bomb", "avif", "text"])
def test_what_cannot_be_opened_is_not_sent(name: str) -> None:
    """A file whose kind cannot be told, or that is a bomb, is not sent to a server."""
    with pytest.raises(InvalidRequestError, match="the source image 'image-0' cannot be read"):
        upload(BAD[name][0], "image-0")
