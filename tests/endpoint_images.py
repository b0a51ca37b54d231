"""The images the test endpoint sends: small ones whose pixels carry the prompt, big ones, and spoilt ones."""

import hashlib
import io
import json
import math
import random
import struct
import zlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from PIL import Image, ImageChops

__all__ = ["black_image", "bomb", "format_for", "image_for", "pixels_for", "request_key", "shows_prompt"]

GRID = 8
DEFAULT_SIDE = 64
COLOUR_TOLERANCE = 16
SAVE_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    # Without chroma subsampling, cells that fill whole 8x8 blocks keep their colours through JPEG.
    "jpeg": {"quality": 95, "subsampling": 0},
    "png": {},
    "webp": {"lossless": True, "quality": 0, "method": 0},
}
# Measured on the noise below: what one pixel of it costs in each format.
NOISE_BYTES_PER_PIXEL = {"jpeg": 0.21, "png": 1.75, "webp": 0.18}


def request_key(prompt: str, parameters: Mapping[str, Any] | None = None, source: str | None = None) -> bytes:
    """Return what stands for a request: equal prompts with equal parameters and source image have equal keys."""
    return json.dumps([prompt, parameters or {}, source], sort_keys=True).encode()


def format_for(prompt: str, default: str = "png") -> str:
    """Return the format a prompt asks for with `[png]`, `[jpeg]` or `[webp]`, else the default."""
    return next((name for name in SAVE_OPTIONS if f"[{name}]" in prompt), default)


def pixels_for(prompt: str, parameters: Mapping[str, Any] | None = None, source: str | None = None) -> Image.Image:
    """Draw the request as an 8x8 grid of colours taken from its hash.

    Args:
        prompt: the prompt.
        parameters: the parameters sent with it; `width` and `height` (pixels, 64 each by default) size the image.
        source: the base64 image to be edited, when there is one.

    Returns:
        An RGB image.
    """
    width, height = (int((parameters or {}).get(name, DEFAULT_SIDE)) for name in ("width", "height"))
    return _cells(prompt, parameters, source).resize((width, height), Image.Resampling.NEAREST)


def shows_prompt(
    image: Image.Image, prompt: str, parameters: Mapping[str, Any] | None = None, source: str | None = None
) -> bool:
    """Tell whether an image's 8x8 cells have the colours of this very request, give or take what JPEG loses."""
    found = image.convert("RGB").resize((GRID, GRID), Image.Resampling.NEAREST)
    difference = ImageChops.difference(found, _cells(prompt, parameters, source))
    return max(difference.tobytes()) <= COLOUR_TOLERANCE


def image_for(
    prompt: str,
    parameters: Mapping[str, Any] | None = None,
    source: str | None = None,
    *,
    image_format: str,
    image_bytes: int | None = None,
) -> bytes:
    """Encode the image of a request.

    Args:
        prompt: the prompt.
        parameters: the parameters sent with it.
        source: the base64 image to be edited, when there is one.
        image_format: "jpeg", "png" or "webp".
        image_bytes: about how many bytes; the pixels are then shared noise and only a comment carries the request.

    Returns:
        A valid image file.
    """
    if image_bytes is None:
        return _encode(pixels_for(prompt, parameters, source), image_format)
    comment = hashlib.sha256(request_key(prompt, parameters, source)).hexdigest().encode()
    return _with_comment(_noise(image_format, image_bytes), image_format, comment)


def black_image(image_format: str) -> bytes:
    """Encode an all-black image, as some providers send in place of a refused one."""
    return _encode(Image.new("RGB", (DEFAULT_SIDE, DEFAULT_SIDE)), image_format)


@cache
def bomb(side: int = 20_000) -> bytes:
    """Build a valid PNG of some 50 KB that unpacks to `side` x `side` black pixels, without holding them."""
    row = bytes(1 + math.ceil(side / 8))
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    return _png((side, side), bit_depth=1, colour_type=0, data=data)


def _cells(prompt: str, parameters: Mapping[str, Any] | None, source: str | None) -> Image.Image:
    colours = hashlib.shake_256(request_key(prompt, parameters, source)).digest(GRID * GRID * 3)
    return Image.frombytes("RGB", (GRID, GRID), colours)


def _encode(image: Image.Image, image_format: str) -> bytes:
    if image_format == "png":
        return _encode_png(image)
    buffer = io.BytesIO()
    image.save(buffer, image_format, **SAVE_OPTIONS[image_format])
    return buffer.getvalue()


def _encode_png(image: Image.Image) -> bytes:
    """Write an RGB image by hand: four times as fast as Pillow, which would limit what a benchmark can ask for."""
    pixels, stride = image.tobytes(), 3 * image.width
    rows = b"".join(b"\0" + pixels[start : start + stride] for start in range(0, len(pixels), stride))
    return _png(image.size, bit_depth=8, colour_type=2, data=zlib.compress(rows, 1))


@cache
def _noise(image_format: str, image_bytes: int) -> bytes:
    """Encode soft noise, big enough in pixels to decode about as slowly as a photograph of `image_bytes`."""
    side = math.ceil(math.sqrt(image_bytes / NOISE_BYTES_PER_PIXEL[image_format]))
    grain = max(1, side // 8)
    noise = Image.frombytes("RGB", (grain, grain), random.Random(image_bytes).randbytes(grain * grain * 3))
    buffer = io.BytesIO()
    noise.resize((side, side), Image.Resampling.BICUBIC).save(buffer, image_format)
    return buffer.getvalue()


def _with_comment(image: bytes, image_format: str, comment: bytes) -> bytes:
    """Add a comment where the format allows one, leaving the pixel data as it is."""
    if image_format == "jpeg":
        return image[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + image[2:]
    if image_format == "png":
        after_header = 8 + 25
        return image[:after_header] + _png_chunk(b"tEXt", b"Comment\0" + comment) + image[after_header:]
    chunk = b"NOTE" + struct.pack("<I", len(comment)) + comment
    return b"RIFF" + struct.pack("<I", len(image) + len(chunk) - 8) + image[8:] + chunk


def _png(size: tuple[int, int], bit_depth: int, colour_type: int, data: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", *size, bit_depth, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, content) for kind, content in chunks)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
