"""The shards of a dataset: rows and their images into Parquet, in one pass and with flat memory."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks_lib.columns import ACCOUNT_COLUMNS, check_row, image_columns, output_array
from tasks_lib.errors import StoreError
from tasks_lib.images import file_name_of
from tasks_lib.parquet_shards import BYTES_A_GROUP, ROWS_A_GROUP, ParquetShards
from tasks_lib.shard_names import split_folder
from tasks_lib.store import ImageStore
from tasks_lib.tasks import Row

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Features

__all__ = ["Mark", "ShardWriter", "SplitSize"]

Mark = Callable[[bytes, str], bytes]


@dataclass
class SplitSize:
    """How much a split holds; sizes in bytes."""

    rows: int = 0
    image_bytes: int = 0
    file_bytes: int = 0


@dataclass
class _OpenSplit:
    """The shards of one split of one config, and what is not yet written of it."""

    shards: ParquetShards
    size: SplitSize = field(default_factory=SplitSize)
    rows: list[Row] = field(default_factory=list)
    bytes_in_group: int = 0


class ShardWriter:
    """Writes rows whose image cells are store references as Parquet that ``load_dataset`` reads with images.

    The same rows over the same store give byte-identical shards. A group of rows is written by a thread while the
    images of the next are read and marked.

    Args:
        folder: where the folders of the configs go.
        features: the columns and their types.
        store: where the images are.
        mark: puts a mark into an image's bytes, given the name of its model; ``None`` leaves them alone.
        sources: columns that came with the prompts; the bytes of their images are left alone in any case.
    """

    def __init__(
        self,
        folder: Path,
        features: "Features",
        store: ImageStore,
        mark: Mark | None,
        sources: Collection[str] = (),
    ) -> None:
        self._folder = folder
        self._features = features
        self._store = store
        self._mark = mark
        self._sources = sources
        self._images = image_columns(features)
        self._schema = features.arrow_schema
        self._outputs = features.keys() - {*sources, *self._images, *ACCOUNT_COLUMNS}
        self._splits: dict[tuple[str, str], _OpenSplit] = {}
        self._thread = ThreadPoolExecutor(1, "shards")
        self._writing: Future[None] | None = None

    def open_split(self, config: str, split: str) -> None:
        """Give a split its place among the others; it is left out if it stays empty, which `datasets` cannot load."""
        shards = ParquetShards(self._folder / split_folder(config), split, self._features)
        self._splits.setdefault((config, split), _OpenSplit(shards))

    def write(self, config: str, split: str, rows: Sequence[Row]) -> None:
        """Append rows to a split; image bytes are read from the store now.

        Raises:
            StoreError: an image that the store had is gone.
            StopError: an output column changes its type, or there is one too many.
        """
        self.open_split(config, split)
        for row in rows:
            check_row(row, self._features, self._images, self._sources)
        for start in range(0, len(rows), 32):
            part = rows[start : start + 32]
            images = self._read_images(part)
            for row in part:
                self._append((config, split), self._with_images(row, images))

    def close(self) -> dict[str, dict[str, SplitSize]]:
        """Write what is left and give the shards their final names; sizes by config and split, the default first."""
        for key in self._splits:
            self._flush(key)
        self._settled()
        self._thread.shutdown()
        sizes: dict[str, dict[str, SplitSize]] = {}
        for (config, split), state in sorted(self._splits.items(), key=lambda item: item[0][0] != "default"):
            if not state.size.rows:
                continue
            state.size.file_bytes = sum(path.stat().st_size for path in state.shards.close())
            sizes.setdefault(config, {})[split] = state.size
        return sizes

    def abandon(self) -> None:
        """Close files that will not be finished."""
        self._thread.shutdown()
        for state in self._splits.values():
            state.shards.abandon()

    def _read_images(self, rows: Sequence[Row]) -> dict[str, bytes | None]:
        cells = [row.get(name) for row in rows for name in self._images]
        flat = [item for cell in cells for item in (cell if isinstance(cell, list) else [cell])]
        names = [file_name_of(reference) for reference in flat if reference is not None]
        return dict(zip(names, self._store.read(names), strict=True))

    def _with_images(self, row: Row, images: dict[str, bytes | None]) -> Row:
        def cell(reference: str | None, mark: Mark | None) -> Row | None:
            if reference is None:
                return None
            name = file_name_of(reference)
            data = images[name]
            if data is None:
                raise _gone(name, self._store)
            return {"bytes": mark(data, str(row.get("model_name"))) if mark else data, "path": name}

        cells: Row = {}
        for name, listed in self._images.items():
            mark = None if name in self._sources else self._mark
            value = row.get(name)
            cells[name] = [cell(each, mark) for each in value or []] if listed else cell(value, mark)
        return {**row, **cells}

    def _append(self, key: tuple[str, str], row: Row) -> None:
        state = self._splits[key]
        size = sum(_size(row[name]) for name in self._images)
        state.rows.append(row)
        state.size.rows += 1
        state.size.image_bytes += size
        state.bytes_in_group += size
        if len(state.rows) == ROWS_A_GROUP or state.bytes_in_group >= BYTES_A_GROUP:
            self._flush(key)

    def _flush(self, key: tuple[str, str]) -> None:
        state = self._splits[key]
        if not state.rows:
            return
        table = self._table(state.rows)
        # One group at a time waits to be written, so that memory stays flat.
        self._settled()
        self._writing = self._thread.submit(state.shards.write, table, state.bytes_in_group)
        state.rows, state.bytes_in_group = [], 0

    def _table(self, rows: list[Row]) -> "pa.Table":
        import pyarrow as pa

        return pa.Table.from_arrays([self._array(column, rows) for column in self._schema], schema=self._schema)

    def _array(self, column: "pa.Field", rows: list[Row]) -> "pa.Array":
        import pyarrow as pa

        values = [row.get(column.name) for row in rows]
        # Told the type, pyarrow makes 0 of 0.5; and only outputs may surprise.
        if column.name in self._outputs:
            return output_array(column.name, values, column.type)
        return pa.array(values, column.type)

    def _settled(self) -> None:
        """Wait until what was handed over is written; raises what went wrong there."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()


def _size(cell: Any) -> int:
    if isinstance(cell, list):
        return sum(_size(each) for each in cell)
    return len(cell["bytes"]) if cell else 0


def _gone(name: str, store: ImageStore) -> Exception:
    return StoreError(
        f"the image {name} is gone from the store at {store.location} since it was found there. "
        "Something removed it while the dataset was written; build again, and it is asked again."
    )
