"""Image bytes as they travel: base64, data URI, path or store reference."""

import binascii
import html
import io
import re
from typing import Any

import fsspec
import pybase64
from PIL import Image

from tasks_lib.errors import ImageCellError
from tasks_lib.image_verification import DAMAGED

__all__ = [
    "REFERENCE_PREFIX",
    "Base64Image",
    "file_name_of",
    "image_from_str",
    "image_to_str",
    "is_image_cell",
    "is_reference",
    "read_image_cell",
    "url_of",
]

REFERENCE_PREFIX = "imageloom+"
"""A store reference is this and the fsspec URL of the image's bytes."""

LOGIN_AND_QUERY = re.compile(r"(?<=://)[^/?#@]*@|[?#].*")
"""Of a URL; they may be a secret."""


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
