"""What an export wrote, and how it is read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tasks_lib.report import count_of

__all__ = ["ExportReport"]


@dataclass(frozen=True)
class ExportReport:
    """What one export wrote."""

    format: str
    folder: str
    config: str
    rows: Mapping[str, int]
    """By split; an empty split is left out."""
    images: int
    image_bytes: int
    loading: str
    """Lines of Python that read it."""

    @property
    def headline(self) -> str:
        """One line for people."""
        rows, images = count_of(sum(self.rows.values()), "row"), count_of(self.images, "image")
        return f"exported {rows} with {images}, {self.image_bytes / 1e6:,.1f} MB, to {self.folder}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)
