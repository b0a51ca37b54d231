"""What the gallery shows of a dataset folder: one entry for each image, or for each row that has none."""

import base64
import json
import math
import os
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import UnidentifiedImageError

from tasks_lib.thumbnails import DAMAGED, thumbnail_or_original

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["Row", "Rows", "Shard", "evenly_spread", "find_shards", "read_entries", "read_images", "wanted_rows"]

Row = dict[str, Any]

ACCOUNT_COLUMNS = ("model_name", "status", "error", "generation")
"""Columns that tell how an image came about; all others are the source's."""

CONFIG_FOLDERS = {"data": ("default", "ok"), "rejected": ("rejected", "rejected"), "failed": ("failed", "failed")}
"""Folder of shards -> its config, and the status of rows that state none."""

ROWS_AT_ONCE = 32
SAFE_INTEGER = 2**53
"""Beyond it a browser's JSON reader rounds integers; seeds go there."""
LONGEST_TEXT = 2_000


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
    for name, (config, status) in CONFIG_FOLDERS.items():
        counted: dict[str, int] = {}
        for path in sorted((folder / name).glob("*.parquet"), key=lambda path: (_split(path) != "train", path.name)):
            split, rows = _split(path), pq.read_metadata(path).num_rows
            shards.append(Shard(path, config, split, status, counted.get(split, 0), rows))
            counted[split] = counted.get(split, 0) + rows
    return shards


def _split(path: Path) -> str:
    return re.sub(r"-\d+-of-\d+$", "", path.stem)


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


def read_entries(rows: Iterable[Rows], side: int) -> Iterator[Row]:
    """The entries of rows, in order, with pictures of at most ``side`` pixels a side."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for some in rows:
            shape = _RowShape.of(some.batch.schema)
            cells = some.batch.to_pylist()
            for entries in pool.map(shape.entries, repeat(some.shard), some.numbers, cells, repeat(side)):
                yield from entries


def read_images(rows: Iterable[Rows]) -> Iterator[bytes]:
    """The first encoded image of each row; rows without one are passed over."""
    for some in rows:
        column = _RowShape.of(some.batch.schema).image
        for cell in some.batch.column(column).to_pylist() if column else []:
            first = _as_list(cell)[0]
            if first and first["bytes"]:
                yield first["bytes"]


def _row_groups(file: "pq.ParquetFile") -> Iterator[tuple[int, int]]:
    """The number of each row group and of its first row."""
    first = 0
    for group in range(file.num_row_groups):
        yield group, first
        first += file.metadata.row_group(group).num_rows


def _between(ascending: Sequence[int], first: int, end: int) -> Sequence[int]:
    return ascending[bisect_left(ascending, first) : bisect_left(ascending, end)]


@dataclass(frozen=True)
class _RowShape:
    """Which columns hold the prompt, the image and further images."""

    prompt: str | None
    image: str | None
    further_images: tuple[str, ...]

    @classmethod
    def of(cls, schema: "pa.Schema") -> "_RowShape":
        import pyarrow.types as types

        images = [column.name for column in schema if _is_image(column.type)]
        texts = [column.name for column in schema if types.is_string(column.type) or types.is_large_string(column.type)]
        texts = [name for name in texts if name not in ACCOUNT_COLUMNS]
        # By the names of our tasks; else the last, since made images stand after those of the source.
        image = next((name for name in ("edited_image", "image") if name in images), images[-1] if images else None)
        prompt = "prompt" if "prompt" in texts else next(iter(texts), None)
        return cls(prompt, image, tuple(name for name in images if name != image))

    def entries(self, shard: Shard, number: int, row: Row, side: int) -> list[Row]:
        """One entry for each image of a row: one, or several where generations are grouped."""
        cells = _as_list(row.get(self.image) if self.image else None)
        shared = {
            "config": shard.config,
            "split": shard.split,
            "row": shard.first_row + number,
            "prompt": row[self.prompt] if self.prompt else None,
            "columns": self._columns(row),
            "further": [
                {"name": name, "picture": _picture(cell, side)}
                for name in self.further_images
                for cell in _as_list(row[name])
                if cell is not None
            ],
        }
        return [
            {
                **shared,
                "image": [index + 1, len(cells)] if len(cells) > 1 else None,
                "model": _nth(row.get("model_name"), index),
                "status": _nth(row.get("status"), index) or shard.status,
                "error": _nth(row.get("error"), index),
                "generation": _facts(_nth(row.get("generation"), index)),
                "picture": _picture(cell, side),
            }
            for index, cell in enumerate(cells)
        ]

    def _columns(self, row: Row) -> Row:
        told_elsewhere = {self.prompt, self.image, *self.further_images, *ACCOUNT_COLUMNS}
        return {name: _plain(value) for name, value in row.items() if name not in told_elsewhere}


def _is_image(kind: "pa.DataType") -> bool:
    import pyarrow.types as types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        kind = kind.value_type
    if not types.is_struct(kind) or {field.name for field in kind} != {"bytes", "path"}:
        return False
    # A source's own columns may use these names for a size and a place.
    return bool(types.is_binary(kind.field("bytes").type) or types.is_large_binary(kind.field("bytes").type))


def _as_list(cell: Any) -> list[Any]:
    return (cell or [None]) if isinstance(cell, list) else [cell]


def _nth(value: Any, index: int) -> Any:
    if isinstance(value, list):
        return value[index] if index < len(value) else None
    return value


def _facts(generation: Row | None) -> Row:
    return {name: _plain(value) for name, value in (generation or {}).items() if value is not None}


def _plain(value: Any) -> Any:
    """The value as JSON holds it and a browser reads it without loss; what is nested or long becomes text."""
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and abs(value) > SAFE_INTEGER:
        return str(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = json.dumps(value, default=str, ensure_ascii=False) if isinstance(value, (list, dict)) else str(value)
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "…"


def _picture(cell: Row | None, side: int) -> Row | None:
    """The thumbnail of an image cell as a data URI with its sides in pixels, or why there is none."""
    if cell is None:
        return None
    if cell["bytes"] is None:
        return {"trouble": "the shard does not hold this image's bytes"}
    try:
        small = thumbnail_or_original(cell["bytes"], side)
    except UnidentifiedImageError:
        return {"trouble": "these bytes are not an image of any known format"}
    except DAMAGED as error:
        return {"trouble": f"this image cannot be read: {error}"}
    uri = f"data:{small.media_type};base64,{base64.b64encode(small.data).decode('ascii')}"
    return {"uri": uri, "width": small.width, "height": small.height, "original": small.is_original}
