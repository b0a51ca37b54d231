"""What a recipe's ``marking`` may be, and the function that marks accordingly."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag

from tasks_lib.marking.c2pa_mark import open_c2pa_mark
from tasks_lib.marking.credential import C2paMarking
from tasks_lib.marking.iptc import mark_as_generated

__all__ = ["Marking", "open_mark"]


def _kind(marking: Any) -> str | None:
    """In brackets, to tell it from a key in the place of a fault."""
    if isinstance(marking, C2paMarking) or (isinstance(marking, dict) and marking.get("type") == "c2pa"):
        return "[c2pa]"
    return "[word]" if marking in ("iptc", "none") else None


Marking = Annotated[
    Annotated[Literal["iptc", "none"], Tag("[word]")] | Annotated[C2paMarking, Tag("[c2pa]")],
    Discriminator(
        _kind,
        custom_error_type="marking",
        custom_error_message="write 'iptc' or 'none', or, to sign images, "
        "{type: c2pa, certificate: cert.pem, private_key_env: C2PA_PRIVATE_KEY}",
    ),
]
"""What a recipe's `marking` may be."""


def open_mark(marking: Marking, trained: bool) -> Callable[[bytes, str], bytes] | None:
    """The function that marks an image, given its bytes and its model's name; ``None`` marks nothing.

    Args:
        marking: what a recipe's ``marking`` is.
        trained: whether the model learned from data, or is a program that draws.

    Raises:
        UsageError: images cannot be signed as the recipe says.
    """
    if isinstance(marking, C2paMarking):
        return open_c2pa_mark(marking, trained)
    return partial(mark_as_generated, trained=trained) if marking == "iptc" else None
