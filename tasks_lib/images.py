"""Image bytes as they travel: base64, data URI, path or store reference; what they are; whether they are whole."""

import binascii
import html
import io
import re
import struct
from dataclasses import dataclass
from typing import Any

import fsspec
import pybase64
from PIL import Image, ImageFile, UnidentifiedImageError

from tasks_lib.errors import BadImageError, GenerationError, ImageCellError, NoImageError

__all__ = [
    "DAMAGED",
    "REFERENCE_PREFIX",
    "Base64Image",
    "ImageFacts",
    "file_name_of",
    "image_from_str",
    "image_to_str",
    "is_image_cell",
    "is_reference",
    "read_image_cell",
    "url_of",
    "verify_image",
]

REFERENCE_PREFIX = "imageloom+"
"""A store reference is this and the fsspec URL of the image's bytes."""

LOGIN_AND_QUERY = re.compile(r"(?<=://)[^/?#@]*@|[?#].*")
"""Of a URL; they may be a secret."""

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


class Base64Image(str):
    """An image as base64 text; a plain ``str`` everywhere, and a picture in a notebook."""

    def _repr_html_(self) -> str:
        return f'<img src="data:image;base64,{html.escape(str(self))}" style="max-width: 100%">'


def image_to_str(image: Image.Image | bytes, image_format: str = "PNG") -> Base64Image:
    """Encode an image as base64.

    Args:
        image: encoded bytes, kept as they are, or a PIL image.
        image_format: what a PIL image is encoded as; bytes are never re-encoded.
    """
    if isinstance(image, Image.Image):
        buffer = io.BytesIO()
        image.save(buffer, format=image_format)
        image = buffer.getvalue()
    return Base64Image(pybase64.b64encode_as_string(image))


def image_from_str(image_str: str) -> Image.Image:
    """Open the image that a text stands for: base64, a data URI, a path, a URL or a store reference.

    Raises:
        ImageCellError: the text is none of them, or its bytes are not an image.
    """
    data = read_image_cell(image_str)
    try:
        return Image.open(io.BytesIO(data or b""))
    except DAMAGED as error:
        raise ImageCellError(f"{_short(image_str)} is not an image: {error}.") from error


def is_reference(value: Any) -> bool:
    """Whether a value is a store reference."""
    return isinstance(value, str) and value.startswith(REFERENCE_PREFIX)


def url_of(reference: str) -> str:
    """Where the image of a store reference lies: a path, or a URL that fsspec opens."""
    return reference.removeprefix(REFERENCE_PREFIX)


def file_name_of(reference: str) -> str:
    """The name of that image's file."""
    return reference.rpartition("/")[2]


def is_image_cell(value: Any) -> bool:
    """Whether a value of an output column stands for an image beyond doubt."""
    if isinstance(value, str):
        return is_reference(value) or value.startswith("data:image/") or isinstance(value, Base64Image)
    return isinstance(value, (bytes, Image.Image)) or (isinstance(value, dict) and set(value) == {"bytes", "path"})


def read_image_cell(value: Any) -> bytes | None:
    """The encoded bytes behind a cell of an image column; ``None`` stays ``None``.

    Args:
        value: bytes, a PIL image, a ``{"bytes", "path"}`` cell of a Hugging Face dataset, base64, a data
            URI, a path, a URL that fsspec can open, or a store reference.

    Raises:
        ImageCellError: the value is none of them, or cannot be read.
    """
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, Image.Image):
        return pybase64.b64decode(image_to_str(value))
    if isinstance(value, dict) and {"bytes", "path"} & set(value):
        return value["bytes"] if value.get("bytes") is not None else read_image_cell(value.get("path"))
    if isinstance(value, str):
        return _bytes_of_text(value)
    raise ImageCellError(f"a {type(value).__name__} is not an image cell; use bytes, base64, a data URI or a path.")


def _bytes_of_text(text: str) -> bytes:
    if is_reference(text):
        return _open(url_of(text))
    if text.startswith("data:"):
        return _decode(text.partition(",")[2], text)
    # A megabyte of base64 is not searched for a scheme.
    if "://" in text[:64] or (len(text) < 4096 and ("." in text or "\\" in text)):
        # Base64 has no dot, no backslash and no colon.
        return _open(text)
    return _decode(text, text)


def _decode(encoded: str, shown: str) -> bytes:
    try:
        return pybase64.b64decode("".join(encoded.split()) if encoded[-1:].isspace() else encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageCellError(f"{_short(shown)} is neither base64 nor a path: {error}.") from error


def _open(url: str) -> bytes:
    try:
        with fsspec.open(url, "rb") as file:
            return bytes(file.read())
    except (OSError, ValueError, ImportError) as error:
        if "://" not in url:
            raise ImageCellError(f"the image at {_short(url)} cannot be read: {error}.") from error
        # Not from it: a URL may hold a signature, and the reason of a row is published.
        shown = _short(LOGIN_AND_QUERY.sub("", url))
        raise ImageCellError(f"the image at {shown} cannot be read: {type(error).__name__}.") from None


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:60] + "...")


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
