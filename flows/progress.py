"""The progress bar of the command line, fed by the build's own log records."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tasks_lib.progress import Progress as BuildProgress
from tasks_lib.progress import progress_logger
from tasks_lib.report import dollars

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(console: Console) -> Iterator[None]:
    """Show the progress of the builds of this process while the block runs."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        handler = _BarHandler(bar)
        progress_logger.addHandler(handler)
        level, propagate = progress_logger.level, progress_logger.propagate
        # The bar says it all; nobody else need repeat it.
        progress_logger.setLevel(logging.INFO)
        progress_logger.propagate = False
        try:
            yield
        finally:
            progress_logger.setLevel(level)
            progress_logger.propagate = propagate
            progress_logger.removeHandler(handler)


class _BarHandler(logging.Handler):
    def __init__(self, bar: Progress) -> None:
        super().__init__()
        self._bar = bar
        self._line = bar.add_task("starting", total=None, told="")

    def emit(self, record: logging.LogRecord) -> None:
        progress: BuildProgress = record.progress  # type: ignore[attr-defined]  # set by every record of this logger
        missing = ", ".join(f"{count} {status}" for status, count in progress.counts.items() if status != "ok")
        told = dollars(progress.spent_usd) + (f", {missing}" if missing else "")
        self._bar.update(
            self._line, description=progress.stage, total=progress.total, completed=progress.done, told=told
        )
