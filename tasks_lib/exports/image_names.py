"""What exported images are called: from the columns they stand in and what their bytes are, never from a row's text."""

import io
import re
from collections.abc import Iterable

from PIL import Image

from tasks_lib.image_verification import DAMAGED, FORMATS

__all__ = ["extension_of", "safe_names"]

EXTENSIONS = {"JPEG": "jpg", "MPO": "jpg"}
LONGEST = 40


def extension_of(data: bytes) -> str:
    """The usual extension, without a dot, for the format that the bytes are really in; ``bin`` for an unknown one."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return EXTENSIONS.get(str(image.format), str(image.format).lower())
    except DAMAGED:
        return "bin"


def safe_names(columns: Iterable[str]) -> dict[str, str]:
    """For each column a name of its own that is safe in a path and has no dot and no capitals.

    WebDataset splits a file's name at its first dot, and reads what follows in lower case.
    """
    names: dict[str, str] = {}
    for column in columns:
        plain = re.sub(r"[^a-z0-9_-]+", "_", column.lower())[:LONGEST]
        number = 2
        name = plain
        while name in names.values():
            name, number = f"{plain}-{number}", number + 1
        names[column] = name
    return names
