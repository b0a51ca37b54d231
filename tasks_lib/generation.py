"""What becomes of one image that is asked for a row."""

from dataclasses import dataclass

from tasks_lib.models import ImageRequest
from tasks_lib.provenance import Record

__all__ = ["Generation"]


@dataclass(frozen=True)
class Generation:
    """How one generation ended."""

    status: str
    """``ok``, ``refused``, ``failed`` or ``not_asked``."""
    fingerprint: str
    request: ImageRequest
    error: str | None = None
    """Why there is no image."""
    attempts: int = 0
    """Calls made for it; 0 for an image that was in the store, or that an equal request is asked for."""
    seconds: float = 0.0
    """Spent on those calls, waiting included."""
    record: Record | None = None
    data: bytes | None = None
    """The image, where no store keeps it."""
