"""What a publication did, and how far it is."""

from dataclasses import asdict, dataclass
from typing import Any

from tasks_lib.report import count_of

__all__ = ["PublishProgress", "PublishReport"]


@dataclass(frozen=True)
class PublishProgress:
    """How far a publication is."""

    stage: str
    """``reading``, ``sending`` or ``committing``."""
    done_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class PublishReport:
    """What one publication did, or in a dry run would do."""

    repo_id: str
    url: str
    files: int
    """Files of the dataset."""
    bytes: int
    """Their size."""
    uploaded: int
    """Files that had to be sent."""
    skipped: int
    """Files that the Hub had already, if only from a publication that was cut off."""
    removed: int
    """Files of an earlier publication that the dataset no longer has."""
    commit: str | None
    """The commit that holds the dataset; ``None`` in a dry run."""
    changed: bool
    """Whether there was, or in a dry run would be, a new commit."""
    dry_run: bool = False

    @property
    def headline(self) -> str:
        """One line for people."""
        what = f"{count_of(self.files, 'file')}, {self.bytes / 1e6:,.1f} MB"
        if not self.changed:
            return f"nothing to publish: {self.url} holds these {what} already"
        if self.dry_run:
            gone = f", {self.removed:,} to remove" if self.removed else ""
            to_go = f"{self.uploaded:,} to send, {self.skipped:,} already there{gone}"
            return f"dry run: would publish {what} to {self.url}: {to_go}"
        gone = f", {self.removed:,} removed" if self.removed else ""
        return f"published {what} to {self.url}, {self.skipped:,} already there{gone}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)
