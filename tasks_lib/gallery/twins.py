"""The twin of a near duplicate: the image that the check named, found by its fingerprint in ledger and shards."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tasks_lib.folder import LEDGER_FILE
from tasks_lib.gallery.entries import Entry, read_entries
from tasks_lib.gallery.shards import Shard, wanted_rows

__all__ = ["read_twins", "with_twins"]

REASON = re.compile(r"near_duplicates: it looks like (row (\d+), generation (\d+))\.")

_Generation = tuple[int, int]
"""Number of the source's row, and of the generation in it."""


def with_twins(entries: Sequence[Entry], folder: Path) -> list[Entry]:
    """The entries; each has as ``twin`` the name and fingerprint of the image that it looks like, or ``None``.

    Args:
        entries: of the folder's rows.
        folder: a dataset folder; without a ledger in it no twin is found.
    """
    reasons = [_reason(entry) for entry in entries]
    fingerprints = _fingerprints(folder / LEDGER_FILE, {_generation(reason) for reason in reasons if reason})
    return [
        {**entry, "twin": {"name": reason[1], "fingerprint": fingerprints[_generation(reason)]}}
        if reason and _generation(reason) in fingerprints
        else {**entry, "twin": None}
        for entry, reason in zip(entries, reasons, strict=True)
    ]


def read_twins(entries: Sequence[Entry], shards: Sequence[Shard], side: int | None) -> dict[str, Entry]:
    """The entries of all twins of entries by fingerprint; those that are not among the entries are read now."""
    wanted = {entry["twin"]["fingerprint"] for entry in entries if entry["twin"]}
    found = {_fingerprint(entry): entry for entry in entries if entry["config"] == "default"}
    missing = wanted - found.keys()
    if missing:
        rows = wanted_rows(shards, list(_positions(shards, missing)))
        found |= {_fingerprint(entry): entry for entry in read_entries(rows, side)}
    return {fingerprint: found[fingerprint] for fingerprint in sorted(wanted & found.keys())}


def _reason(entry: Entry) -> re.Match[str] | None:
    # Of a row with several images, the check compares the first.
    if entry["status"] != "rejected" or (entry["image"] and entry["image"][0] != 1):
        return None
    return REASON.fullmatch(entry["error"] or "")


def _generation(reason: re.Match[str]) -> _Generation:
    return int(reason[2]), int(reason[3])


def _fingerprint(entry: Entry) -> Any:
    return entry["generation"].get("fingerprint")


def _fingerprints(ledger: Path, generations: set[_Generation]) -> dict[_Generation, str]:
    import pyarrow.parquet as pq

    if not generations or not ledger.exists():
        return {}
    columns, rows = ["row", "generation", "fingerprint"], {row for row, _ in generations}
    told = pq.read_table(ledger, columns=columns, filters=[("row", "in", rows)]).to_pylist()
    found = {(each["row"], each["generation"]): each["fingerprint"] for each in told if each["fingerprint"]}
    return {generation: found[generation] for generation in generations & found.keys()}


def _positions(shards: Sequence[Shard], fingerprints: set[str]) -> Iterator[int]:
    """Rows of the default config that hold one of these generations, counted through all shards."""
    start = 0
    for shard in shards:
        if shard.config == "default":
            for number, held in enumerate(_fingerprints_by_row(shard)):
                if not fingerprints.isdisjoint(held):
                    yield start + number
        start += shard.rows


def _fingerprints_by_row(shard: Shard) -> Iterator[list[Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(shard.path) as file:
        paths = [file.schema.column(index).path for index in range(len(file.schema))]
        named = [path for path in paths if path.startswith("generation.") and path.endswith(".fingerprint")]
        for batch in file.iter_batches(columns=named):
            for cell in batch.column(0).to_pylist():
                yield [each["fingerprint"] for each in (cell if isinstance(cell, list) else [cell]) if each]
