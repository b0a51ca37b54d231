"""How far a build is, told through the log so that anybody may listen: a bar, a page, a test."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Progress", "progress_logger", "tell"]

progress_logger = logging.getLogger("imageloom.progress")
"""Its records have an attribute ``progress``, a :class:`Progress`."""


@dataclass(frozen=True)
class Progress:
    """How far a build is."""

    name: str
    stage: str
    """``generating``, ``writing`` or ``done``."""
    done: int
    """Generations that have their image, or the reason why not."""
    total: int
    counts: Mapping[str, int]
    """Generations by status, of the batches that are complete."""
    spent_usd: float | None
    """In this run; ``None`` where a price is unknown."""


def tell(progress: Progress) -> None:
    """Log it."""
    told = f"{progress.name}: {progress.stage} {progress.done} of {progress.total}"
    progress_logger.info(told, extra={"progress": progress})
