"""Images as they stand in JSON: base64, or a data URI of it."""

import binascii

import pybase64

from tasks_lib.errors import BadImageError

__all__ = ["decoded_image"]


def decoded_image(text: str) -> bytes:
    """The bytes of an image.

    Args:
        text: base64, or a data URI (RFC 2397) whose data is base64.

    Raises:
        BadImageError: it is damaged.
    """
    encoded = text.partition(",")[2] if text.startswith("data:") else text
    if "\n" in encoded:
        # Some encoders write lines, as MIME has them (RFC 2045, section 6.8).
        encoded = "".join(encoded.split())
    try:
        return pybase64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadImageError(f"the base64 of the image is damaged: {error}.") from error
