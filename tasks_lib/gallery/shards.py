"""The shards of a dataset folder, and how the gallery reads some of their rows."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks_lib.shard_names import ShardName, split_folder

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["Rows", "Shard", "evenly_spread", "find_shards", "wanted_rows"]

STATUSES = {"default": "ok", "rejected": "rejected", "failed": "failed"}
"""Config -> the status of its rows that state none."""

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


@dataclass(frozen=True)
class Rows:
    """A few rows of a shard, with their numbers in it."""

    shard: Shard
    numbers: Sequence[int]
    batch: "pa.RecordBatch"


def find_shards(folder: Path) -> list[Shard]:
    """The shards of a dataset folder: default, rejected, failed; in each the train split first."""
    import pyarrow.parquet as pq

    shards: list[Shard] = []
    for config, status in STATUSES.items():
        counted: dict[str, int] = {}
        found = (folder / split_folder(config)).glob("*.parquet")
        for path in sorted(found, key=lambda path: (_split(path) != "train", path.name)):
            split, rows = _split(path), pq.read_metadata(path).num_rows
            shards.append(Shard(path, config, split, status, counted.get(split, 0), rows))
            counted[split] = counted.get(split, 0) + rows
    return shards


def _split(path: Path) -> str:
    name = ShardName.of(path)
    return name.split if name else path.stem


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
