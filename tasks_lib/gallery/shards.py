"""The shards of a dataset folder, and how the gallery reads some of their rows."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks_lib.shard_names import shards_by_split

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["Rows", "Shard", "evenly_spread", "find_shards", "wanted_rows"]

WITHOUT_GOOD_IMAGES = ("rejected", "failed")
"""Configs of a build that are shown last; each is called by the status of its rows."""

ROWS_AT_ONCE = 32


@dataclass(frozen=True)
class Shard:
    """One Parquet file of the dataset; its first row has the number ``first_row`` in its split."""

    path: Path
    config: str
    split: str
    status: str
    first_row: int
    rows: int
    made_image: str | None
    """The column of the images that its generations made, where a shard of the folder tells."""


@dataclass(frozen=True)
class Rows:
    """A few rows of a shard, with their numbers in it."""

    shard: Shard
    numbers: Sequence[int]
    batch: "pa.RecordBatch"


def find_shards(folder: Path) -> list[Shard]:
    """The shards of a dataset folder: default first, rejected and failed last; in each the train split first."""
    import pyarrow.parquet as pq

    found = shards_by_split(folder)
    last = [config for config in WITHOUT_GOOD_IMAGES if config in found]
    shards: list[Shard] = []
    made_image: str | None = None
    for config in [*(config for config in found if config not in last), *last]:
        status = config if config in last else "ok"
        for split, paths in found[config].items():
            first_row = 0
            for path in paths:
                with pq.ParquetFile(path) as file:
                    made_image = made_image or _made_image(file)
                    shards.append(Shard(path, config, split, status, first_row, file.metadata.num_rows, made_image))
                first_row += shards[-1].rows
    return shards


def _made_image(file: "pq.ParquetFile") -> str | None:
    """The column in which the first row's image is called by the fingerprint of its generation.

    So it is in every dataset that was built here, whatever its task calls the image; sources have other names.
    """
    if not file.metadata.num_rows or "generation" not in file.schema_arrow.names:
        return None
    leaves = [file.schema.column(number) for number in range(len(file.schema))]
    paths = [leaf.path for leaf in leaves if leaf.name in {"path", "fingerprint"}]
    row = next(file.iter_batches(1, columns=paths)).to_pylist()[0] if paths else {}
    fingerprint = _first(row.pop("generation", None)).get("fingerprint")
    names = {name: _first(cell).get("path") for name, cell in row.items()}
    return next((name for name, path in names.items() if fingerprint and str(path).startswith(fingerprint)), None)


def _first(cell: Any) -> dict[str, Any]:
    """A struct, the first of a list of them, or nothing."""
    first = next(iter(cell), None) if isinstance(cell, list) else cell
    return first if isinstance(first, dict) else {}


def evenly_spread(total: int, count: int) -> list[int]:
    """``count`` positions out of ``total``, each in the middle of its share; all of them if there are fewer."""
    if count >= total:
        return list(range(total))
    return [(2 * number + 1) * total // (2 * count) for number in range(count)]


def wanted_rows(shards: Sequence[Shard], positions: Sequence[int]) -> Iterator[Rows]:
    """Rows at some positions, a few at a time; row groups without a wanted row stay unread.

    Args:
        shards: all shards of the folder.
        positions: rows counted through all shards, ascending.
    """
    import pyarrow.parquet as pq

    start = 0
    for shard in shards:
        wanted = [position - start for position in _between(positions, start, start + shard.rows)]
        start += shard.rows
        with pq.ParquetFile(shard.path) as file:
            for group, first in _row_groups(file):
                end = first + file.metadata.row_group(group).num_rows
                if not _between(wanted, first, end):
                    continue
                for batch in file.iter_batches(ROWS_AT_ONCE, row_groups=[group]):
                    numbers = _between(wanted, first, first + batch.num_rows)
                    if numbers:
                        yield Rows(shard, numbers, batch.take([number - first for number in numbers]))
                    first += batch.num_rows


def _row_groups(file: "pq.ParquetFile") -> Iterator[tuple[int, int]]:
    """The number of each row group and of its first row."""
    first = 0
    for group in range(file.num_row_groups):
        yield group, first
        first += file.metadata.row_group(group).num_rows


def _between(ascending: Sequence[int], first: int, end: int) -> Sequence[int]:
    return ascending[bisect_left(ascending, first) : bisect_left(ascending, end)]
