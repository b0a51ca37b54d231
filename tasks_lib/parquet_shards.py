"""The shards of one split as Parquet files, with the settings that suit images and the Hub."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tasks_lib.columns import image_columns
from tasks_lib.shard_names import ShardName

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features

__all__ = ["BYTES_A_GROUP", "BYTES_A_SHARD", "ROWS_A_GROUP", "ParquetShards"]

ROWS_A_GROUP = 100
"""Measured: reading one row takes 7 ms from a group of 100, 198 ms from one of 1,000."""
BYTES_A_GROUP = 64 * 1024 * 1024
"""Bounds memory where images are large; the Hub's viewer fails above 300 MB."""
BYTES_A_SHARD = 500 * 1024 * 1024


class ParquetShards:
    """Writes the shards of one split one after another; how many they are shows in their names at the end.

    Args:
        folder: where they go; it is made when the first is opened.
        split: the name of the split.
        features: the columns and their types.
    """

    def __init__(self, folder: Path, split: str, features: "Features") -> None:
        self._folder = folder
        self._split = split
        self._features = features
        self._paths: list[Path] = []
        self._file: _PatientFile | None = None
        self._writer: pq.ParquetWriter | None = None
        self._bytes_in_shard = 0

    def write(self, group: "pa.Table", size: int) -> None:
        """Append rows as one row group; with it a shard of 500 MB or more ends.

        Args:
            group: at most :data:`ROWS_A_GROUP` rows.
            size: of what they hold, in bytes.

        Raises:
            OSError: the file cannot be written, as on a full disk.
        """
        if self._writer is None or self._file is None:
            self._file, self._writer = self._next_shard()
        self._writer.write_table(group)
        self._file.check()
        self._bytes_in_shard += size
        if self._bytes_in_shard >= BYTES_A_SHARD:
            self._end_shard()

    def close(self) -> list[Path]:
        """End the last shard, and give the files their final names; those, in order.

        Raises:
            OSError: the last file cannot be written.
        """
        self._end_shard()
        names = [ShardName(self._split, number, len(self._paths)) for number in range(len(self._paths))]
        return [path.rename(path.with_name(str(name))) for path, name in zip(self._paths, names, strict=True)]

    def abandon(self) -> None:
        """Close a file that will not be finished; nothing to do after :meth:`close`."""
        with suppress(OSError):
            self._end_shard()

    def _end_shard(self) -> None:
        file, writer = self._file, self._writer
        self._file, self._writer, self._bytes_in_shard = None, None, 0
        if file is not None and writer is not None:
            writer.close()
            file.finish()

    def _next_shard(self) -> "tuple[_PatientFile, pq.ParquetWriter]":
        path = self._folder / f"{self._split}-{len(self._paths):05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _PatientFile(path)
        self._paths.append(path)
        return file, _open_writer(file, self._features)


class _PatientFile:
    """A new file for Arrow to write, which keeps a fault to itself until it is asked.

    Where a write fails, Arrow's content-defined chunking ends the process (SIGABRT), with whatever else it was doing.
    """

    closed = False

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._fault: OSError | None = None

    def write(self, data: bytes) -> int:
        if self._fault is None:
            try:
                self._file.write(data)
            except OSError as error:
                self._fault = error
        return len(data)

    def check(self) -> None:
        """Raise the first fault there was."""
        if self._fault is not None:
            raise self._fault

    def finish(self) -> None:
        """Close the file; raises the first fault there was, or that of closing it."""
        try:
            self._file.close()
        finally:
            self.check()


def _open_writer(file: _PatientFile, features: "Features") -> "pq.ParquetWriter":
    import pyarrow.parquet as pq

    schema = features.arrow_schema
    leaves = _leaf_columns(schema)
    pixels = {leaf for leaf in leaves if leaf.split(".")[0] in image_columns(features)}
    return pq.ParquetWriter(
        file,
        schema,
        # Compressed image bytes gain nothing and destroy deduplication on the Hub.
        compression={leaf: "NONE" if leaf in pixels else "ZSTD" for leaf in leaves},
        use_dictionary=[leaf for leaf in leaves if leaf not in pixels],
        use_content_defined_chunking=True,
        write_page_index=True,
    )


def _leaf_columns(schema: "pa.Schema") -> list[str]:
    """The Parquet paths of a schema's leaves, such as ``image.bytes``, as Parquet itself names them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    nothing = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), nothing)
    leaves = pq.ParquetFile(nothing.getvalue()).schema
    return [leaves.column(number).path for number in range(len(leaves))]
