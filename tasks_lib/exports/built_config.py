"""One config of a dataset folder as an export reads it: a few rows at a time, and from one build throughout."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks_lib.columns import image_columns, source_features
from tasks_lib.errors import OutputError
from tasks_lib.folder import CARD_FILE, file_stamp
from tasks_lib.shard_names import ANY_SHARD, ShardName, shards_by_split, split_folder

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Features

__all__ = ["BuiltConfig", "OnRows"]

OnRows = Callable[[int, int], None]

ROWS_AT_ONCE = 16
BYTES_AT_ONCE = 4 * 1024 * 1024
"""Of a column that are read ahead, or a whole row group of images would be."""


class BuiltConfig:
    """The rows of one config, and what an export counts while it reads them.

    Args:
        folder: a dataset folder.
        config: the name of one of its configs.
        on_rows: is told how many rows were read, and of how many.

    Raises:
        OutputError: it is no dataset folder, or has no such config, or a shard is missing or damaged.
    """

    def __init__(self, folder: Path, config: str, on_rows: OnRows) -> None:
        self.folder = folder
        self.config = config
        self._on_rows = on_rows
        self._shards = _find_shards(folder, config)
        self._stamps = self._current_stamps()
        rows = {path: _read_rows(path) for path in self.shards}
        counted = {split: sum(rows[path] for path in shards) for split, shards in self._shards.items()}
        # An empty one is left out: no format but Parquet can say which columns nothing has.
        self.rows = {split: count for split, count in counted.items() if count}
        self.features = _read_features(self.shards[0])
        self.image_columns = image_columns(self.features)
        self.images = 0
        self.image_bytes = 0
        self._rows_read = 0

    @property
    def shards(self) -> list[Path]:
        """Its files, split by split and in order."""
        return [path for shards in self._shards.values() for path in shards]

    def batches(self, split: str) -> "Iterator[pa.RecordBatch]":
        """The rows of a split in their order, a few at a time.

        Raises:
            OutputError: a shard cannot be read.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        for path in self._shards[split]:
            try:
                with pq.ParquetFile(path, buffer_size=BYTES_AT_ONCE, pre_buffer=False) as file:
                    for batch in file.iter_batches(ROWS_AT_ONCE):
                        self._rows_read += batch.num_rows
                        self._on_rows(self._rows_read, sum(self.rows.values()))
                        yield batch
            except (OSError, pa.ArrowException) as error:
                raise _unreadable(path, error) from error

    def images_of(self, batch: "pa.RecordBatch", column: str) -> list[Any]:
        """The encoded images in a column: bytes or ``None`` for each row, or a list of them.

        Raises:
            OutputError: the shards name an image without holding its bytes.
        """
        listed = self.image_columns[column]
        cells = batch.column(column).to_pylist()
        return [[self._image(each) for each in cell or []] if listed else self._image(cell) for cell in cells]

    def check_unchanged(self) -> None:
        """Whether all that was read is of one build.

        Raises:
            OutputError: a build has replaced the folder meanwhile.
        """
        if self._current_stamps() != self._stamps:
            raise OutputError(
                f"a build replaced the dataset in {self.folder} while it was exported, so nothing was kept of this "
                "export. Export again."
            )

    def _image(self, cell: Any) -> bytes | None:
        if cell is None or (cell["bytes"] is None and cell["path"] is None):
            return None
        if cell["bytes"] is None:
            raise OutputError(
                f"the shards of {self.folder} name the image {cell['path']!r} and do not hold its bytes. "
                "Export a folder that imageloom built, or that Distiset.write_dataset_folder wrote."
            )
        self.images += 1
        self.image_bytes += len(cell["bytes"])
        return bytes(cell["bytes"])

    def _current_stamps(self) -> list[tuple[int, ...]]:
        return [file_stamp(path) for path in self.shards]


def _find_shards(folder: Path, config: str) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise OutputError(f"there is no folder {folder} to export. Give the folder of a dataset.")
    found = shards_by_split(folder)
    if not found or not (folder / CARD_FILE).is_file():
        missing = CARD_FILE if found else ANY_SHARD
        raise OutputError(
            f"{folder} is not a finished dataset folder: it has no {missing}. Give the folder that a build wrote."
        )
    if config not in found:
        raise OutputError(f"{folder} has no config {config!r}; it has {', '.join(sorted(found))}.")
    for split, shards in found[config].items():
        names = [ShardName.of(path) for path in shards]
        expected = max(name.count for name in names if name)
        if names != [ShardName(split, number, expected) for number in range(expected)]:
            raise OutputError(
                f"shards of {folder / split_folder(config) / split} are missing or left over: {len(shards)} found, "
                f"{expected} expected. Build the dataset again, or copy all of it."
            )
    return found[config]


def _read_rows(path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _read_features(path: Path) -> "Features":
    import pyarrow.parquet as pq

    return source_features(pq.read_schema(path))


def _unreadable(path: Path, error: Exception) -> OutputError:
    return OutputError(f"the shard {path} cannot be read: {error}. Build the dataset again, or copy it again.")
