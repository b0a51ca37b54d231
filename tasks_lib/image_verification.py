"""Whether bytes are one complete image within bounds, and what it is."""

import io
import struct
from dataclasses import dataclass

from PIL import Image, ImageFile, UnidentifiedImageError

from tasks_lib.errors import BadImageError, GenerationError, NoImageError

__all__ = ["DAMAGED", "FORMATS", "MAX_BYTES", "MAX_PIXELS", "ImageFacts", "verify_image"]

MAX_BYTES = 64 * 1024 * 1024
MAX_PIXELS = 64_000_000
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
DAMAGED = (
    ArithmeticError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow raises for bytes that it cannot or will not decode, found by spoiling files of every format."""
JPEG_END = b"\xff\xd9"
"""The marker EOI (ITU-T T.81, B.1.1.3); pixel data never holds these two bytes."""
PNG_END = b"IEND\xaeB`\x82"
"""The last chunk's type and checksum (PNG specification, 11.2.5)."""
BEGINNING = 2048
"""Bytes of pixel data that are decoded to find out whether the tables before them are sound."""


@dataclass(frozen=True)
class ImageFacts:
    """What the header of an image says; sides in pixels."""

    format: str
    width: int
    height: int


def verify_image(data: bytes, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> ImageFacts:
    """Check that bytes are one complete image within bounds, without decoding more than that takes.

    Args:
        data: what an endpoint sent.
        max_pixels: width x height beyond which it counts as a decompression bomb.
        max_bytes: encoded size beyond which it is refused.

    Raises:
        NoImageError: nothing, or a text.
        BadImageError: an image that is cut short or damaged; another attempt may bring a whole one.
        GenerationError: out of bounds, as another one would be.
    """
    if not data:
        raise NoImageError("the answer is empty where an image was expected.")
    if len(data) > max_bytes:
        raise GenerationError(f"the image has {len(data):,} bytes; at most {max_bytes:,} are taken.")
    try:
        # Only these: Pillow hands some of its other formats to programs outside.
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            facts = ImageFacts(_format(image), image.width, image.height)
            if facts.width * facts.height > max_pixels:
                raise GenerationError(
                    f"the image is {facts.width} x {facts.height} pixels; at most {max_pixels:,} in all are taken."
                )
            _check_complete(image, data)
    except UnidentifiedImageError as error:
        # Of no format that we know, it may be an image all the same.
        kind = NoImageError if _is_text(data) else BadImageError
        raise kind(f"the answer is not an image; it begins with {data[:60]!r}.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise GenerationError(f"the image is too large to be opened: {error}") from error
    except DAMAGED as error:
        raise BadImageError(f"the image of {len(data):,} bytes is incomplete or damaged: {error}") from error
    return facts


def _is_text(data: bytes) -> bool:
    return data[:1].isascii() and b"\0" not in data[:60]


def _format(image: Image.Image) -> str:
    # Several JPEGs in one file, as cameras write them: whoever reads it takes the first.
    return "JPEG" if image.format == "MPO" else str(image.format)


def _check_complete(image: ImageFile.ImageFile, data: bytes) -> None:
    if image.format == "PNG":
        image.verify()
        if PNG_END not in data:
            raise BadImageError(f"the image of {len(data):,} bytes is incomplete or damaged: it has no end.")
    elif image.format in {"JPEG", "MPO"} and data.endswith(JPEG_END) and not image.info.get("progressive"):
        _check_beginning(image, data)
    else:
        _decode_pixels(image)


def _check_beginning(image: ImageFile.ImageFile, data: bytes) -> None:
    """Whether a JPEG can be decoded: what its tables spoil shows at once, and of the rest only the end is checked.

    Decoding it all takes fifteen times as long and finds next to nothing more: libjpeg fills holes with grey.
    """
    assert image.fp is not None
    beginning = data[: image.fp.tell() + BEGINNING]
    with Image.open(io.BytesIO(beginning), formats=FORMATS) as cut_short:
        try:
            _decode_pixels(cut_short)
        except OSError as error:
            if "truncated" not in str(error):
                raise


def _decode_pixels(image: Image.Image) -> None:
    # An eighth of the size, where that exists, reads all of the data with a fraction of the arithmetic.
    image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
    image.load()
