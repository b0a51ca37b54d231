"""What a person sees on the page of a run: how far it is, counts, failures, pictures, and the way to the dataset.

Prefect's two user interfaces both show a picture that stands in Markdown as a data URI. Table artifacts hold numbers
only: the newer interface cuts long text there, the older one reads it as HTML.
"""

import asyncio
import hashlib
import re
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from prefect.artifacts import (
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.logging import get_run_logger

from tasks_lib.folder import CARD_FILE
from tasks_lib.gallery.entries import Entry, read_entries
from tasks_lib.gallery.shards import evenly_spread, find_shards, wanted_rows
from tasks_lib.publishing.report import PublishReport
from tasks_lib.report import BuildReport, count_of, dollars

__all__ = [
    "ProgressArtifact",
    "artifact_key",
    "contact_sheet",
    "escaped",
    "history_key",
    "show_publication",
    "show_report",
]

SECONDS_BETWEEN_UPDATES = 2.0
PICTURES = 24
COLUMNS = 4
PICTURE_SIDE = 128
MOST_CHARACTERS = 150_000
"""Of a contact sheet, as the server's database keeps it: 24 photographs of 128 px take about 110,000."""
CAPTION_LINES = 3
CAPTION_WIDTH = 20
"""In characters, about as wide as a picture; the older interface breaks no lines in a table."""
LONGEST_TEXT = 600


class ProgressArtifact:
    """A progress bar on the flow run's page, moved at most every two seconds.

    Args:
        name: of the recipe, or of the repository.
        what: the kind of artifact.
        description: what moves.
    """

    def __init__(
        self, name: str, what: str = "progress", description: str = "Images accounted for, in percent"
    ) -> None:
        self._key = artifact_key(name, what)
        self._description = description
        self._id: UUID | None = None
        self._updated: float | None = None
        self._percent: float | None = None

    async def show(self, share: float) -> None:
        """Move it.

        Args:
            share: from 0 to 1.
        """
        now, percent = time.monotonic(), round(100 * share, 1)
        too_soon = self._updated is not None and share < 1 and now - self._updated < SECONDS_BETWEEN_UPDATES
        if too_soon or percent == self._percent:
            return
        # Before the server is asked, so that one that fails is not asked at every batch.
        self._updated, self._percent = now, percent
        with _best_effort("the progress"):
            await self._move(percent)

    async def _move(self, percent: float) -> None:
        if self._id is None:
            created = await acreate_progress_artifact(percent, self._key, self._description)
            self._id = created if isinstance(created, UUID) else None
        else:
            await aupdate_progress_artifact(self._id, progress=percent)


async def show_report(report: BuildReport) -> None:
    """Put counts, cost, reasons, pictures and the way to the dataset on the flow run's page.

    The dataset is written by then: a server that does not take an artifact costs a warning in the log, not the run.
    """
    with _best_effort("the counts"):
        await acreate_table_artifact(
            table=_counts(report),
            key=artifact_key(report.name, "counts"),
            description=_counted(report),
        )
    if report.reasons:
        with _best_effort("the failures"):
            await acreate_markdown_artifact(
                _failures(report), artifact_key(report.name, "failures"), "Why images are missing, most frequent first"
            )
    with _best_effort("the pictures"):
        if sheet := await asyncio.to_thread(contact_sheet, Path(report.folder)):
            what = f"Some of {count_of(report.images, 'image')}, spread evenly"
            await acreate_markdown_artifact(sheet, artifact_key(report.name, "contact-sheet"), what)
    with _best_effort("the report"):
        await acreate_markdown_artifact(_report(report), artifact_key(report.name, "report"), report.headline)


async def show_publication(report: PublishReport) -> None:
    """Put what a publication did, and the link to the repository, on the flow run's page.

    The dataset is on the Hub by then: a server that does not take an artifact costs a warning in the log, not the run.
    """
    with _best_effort("the publication"):
        await acreate_markdown_artifact(
            _publication(report), artifact_key(report.repo_id, "publication"), report.headline
        )
    if report.commit:
        with _best_effort("the link to the repository"):
            key = artifact_key(report.repo_id, "repository")
            await acreate_link_artifact(report.url, report.repo_id, key, report.headline)


def artifact_key(name: str, what: str) -> str:
    """The key under which Prefect keeps the history of an artifact: one for each recipe, and for each repository.

    Args:
        name: of the recipe, or of the repository.
        what: the kind of artifact.
    """
    return f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}-{what}"


def history_key(name: str, what: str) -> str:
    """The same for a history that is read back: names that differ in case or punctuation alone do not share one.

    Args:
        name: of the recipe.
        what: the kind of artifact.
    """
    return artifact_key(name, f"{what}-{hashlib.sha256(name.encode()).hexdigest()[:8]}")


def contact_sheet(folder: Path, most_characters: int = MOST_CHARACTERS) -> str | None:
    """Images of the default config with their prompts, as Markdown with the pictures in it.

    Args:
        folder: a dataset folder.
        most_characters: the text has at most so many; pictures that do not fit are left out.

    Returns:
        The text, or ``None`` where no picture can be shown.
    """
    shards = [shard for shard in find_shards(folder) if shard.config == "default"]
    positions = evenly_spread(sum(shard.rows for shard in shards), PICTURES)
    lines = ["|" + " |" * COLUMNS, "|" + "---|" * COLUMNS]
    room = most_characters - sum(map(len, lines)) - PICTURES
    cells: list[str] = []
    for entry in read_entries(wanted_rows(shards, positions), PICTURE_SIDE):
        cell = _cell(entry)
        if cell and len(cell) <= room and len(cells) < PICTURES:
            room -= len(cell)
            cells.append(cell)
    lines += ["| " + "".join(cells[start : start + COLUMNS]) for start in range(0, len(cells), COLUMNS)]
    return "\n".join(lines) if cells else None


def escaped(text: str) -> str:
    """Text on one line that Markdown and HTML show as it is, whatever a prompt or an endpoint's error holds.

    Args:
        text: anything; what is too long is cut.
    """
    line = _one_line(text)
    line = line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…"
    # Any ASCII punctuation may be escaped (CommonMark 0.31, section 2.4); the older interface shows entities as text.
    return re.sub(r"[!-/:-@\[-`{-~]", r"\\\g<0>", line)


def _one_line(text: str) -> str:
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _cell(entry: Entry) -> str | None:
    uri = (entry["picture"] or {}).get("uri")
    prompt = _one_line(entry["prompt"] or "")
    lines = textwrap.wrap(prompt, CAPTION_WIDTH, max_lines=CAPTION_LINES, placeholder=" …")
    # No alternative text: the caption says it.
    return "<br>".join([f"![]({uri})", *map(escaped, lines)]) + " |" if uri else None


def _counted(report: BuildReport) -> str:
    if report.total_usd in (None, report.spent_usd):
        return report.headline
    return f"{report.headline}; all images of the dataset: {dollars(report.total_usd)}"


def _counts(report: BuildReport) -> list[dict[str, str | int]]:
    others = [(status.replace("_", " "), count) for status, count in report.counts.items() if status != "ok"]
    return [
        {"status": status, "images": count, "share": f"{count / report.generations:.1%}"}
        for status, count in [("ok", report.images), *others, ("all", report.generations)]
    ]


def _failures(report: BuildReport) -> str:
    # A list, not a table: the older interface breaks no lines in a table.
    return "\n".join(f"- **{count_of(count, 'image')}:** {escaped(reason)}" for reason, count in report.reasons.items())


def _report(report: BuildReport) -> str:
    folder = Path(report.folder).absolute()
    files = {"card": folder / CARD_FILE, "gallery": folder / "gallery.html"}
    # No links: a browser opens no file from a page of the web.
    places = [("dataset", folder), *((name, path) for name, path in files.items() if path.exists())]
    lines = [*report.lines()[:-1], *((name, str(path)) for name, path in places)]
    table = [f"| {escaped(name)} | {escaped(value)} |" for name, value in lines]
    load = f"load_dataset({str(folder)!r})".replace("`", "'")
    return "\n".join([f"# {escaped(report.name)}", "", "| | |", "|---|---|", *table, "", "```python", load, "```", ""])


def _publication(report: PublishReport) -> str:
    facts = {name.replace("_", " "): escaped(str(value)) for name, value in report.to_dict().items()}
    table = [f"| {name} | {value} |" for name, value in (facts | {"url": f"<{report.url}>"}).items()]
    return "\n".join([f"# {escaped(report.repo_id)}", "", "| | |", "|---|---|", *table, ""])


@contextmanager
def _best_effort(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001  # whatever the server answers, images are worth more than their page
        get_run_logger().warning("This run's page lacks %s: %s", what, f"{type(error).__name__}: {error}"[:500])
