"""A dataset's rows with the bytes of their images inside, in portions, so that memory stays flat."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tasks_lib.distiset.marks import TableMark
from tasks_lib.errors import ImageCellError
from tasks_lib.parquet_shards import BYTES_A_GROUP, ROWS_A_GROUP

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

__all__ = ["embedded_groups"]

READERS = 8
ROWS_A_READER = 2
"""An image of a store far away takes tens of milliseconds to come."""


def embedded_groups(dataset: "Dataset", mark: TableMark | None = None) -> "Iterator[pa.Table]":
    """Tables of at most 100 rows and little more than 64 MB, in order, whose image cells hold bytes and a file name.

    Args:
        dataset: its images may be bytes, paths, or URLs that fsspec opens.
        mark: of the images, if there is one.

    Raises:
        ImageCellError: an image is not where its row says.
    """
    held: list[pa.Table] = []
    rows = size = 0
    with ThreadPoolExecutor(READERS) as readers:
        for table in _embedded(dataset, readers):
            if held and (rows + len(table) > ROWS_A_GROUP or size >= BYTES_A_GROUP):
                group, held, rows, size = _joined(held), [], 0, 0
                yield mark(group) if mark else group
                del group  # before the next one grows
            held.append(table)
            rows += len(table)
            size += table.nbytes
    if held:
        group = _joined(held)
        yield mark(group) if mark else group


def _embedded(dataset: "Dataset", readers: ThreadPoolExecutor) -> "Iterator[pa.Table]":
    from datasets.table import embed_table_storage, table_cast

    schema = dataset.features.arrow_schema
    at_once = READERS * ROWS_A_READER
    for batch in dataset.with_format("arrow").iter(at_once):
        table = table_cast(batch, schema)
        parts = [table.slice(start, ROWS_A_READER) for start in range(0, len(table), ROWS_A_READER)]
        try:
            yield from readers.map(embed_table_storage, parts)
        except OSError as error:
            raise ImageCellError(
                f"an image of the dataset cannot be read: {error}. "
                "Its row says where it was; put it back (of a build: build again), or leave the row out."
            ) from error


def _joined(tables: "list[pa.Table]") -> "pa.Table":
    import pyarrow as pa

    return pa.concat_tables(tables).combine_chunks()
