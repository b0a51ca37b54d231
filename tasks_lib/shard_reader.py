"""Reading shards back without their image bytes, so that a dataset of any size fits in memory."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks_lib.columns import image_columns
from tasks_lib.provenance import sha256

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, Features

__all__ = ["read_without_images"]

ROWS_AT_ONCE = 4096
"""Of which Python objects are made at the same time."""


def read_without_images(paths: Sequence[Path], features: "Features", reference: Callable[[str], str]) -> "Dataset":
    """The rows of shards, with a store reference in place of each image.

    Args:
        paths: the shards of one split, in order.
        features: the columns that the shards have.
        reference: from an image's file name to its store reference.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Dataset, Features, List, Value

    images = image_columns(features)
    columns = [_path_leaf(name, images[name]) if name in images else name for name in features]
    light = {name: List(Value("string")) if listed else Value("string") for name, listed in images.items()}
    schema = Features({**features, **light}).arrow_schema
    batches = (batch for path in paths for batch in pq.ParquetFile(path).iter_batches(ROWS_AT_ONCE, columns=columns))
    tables = [_with_references(batch, schema, images, reference) for batch in batches]
    table = pa.concat_tables(tables) if tables else schema.empty_table()
    # Given, or `datasets` pickles and hashes every row to find one.
    files = "".join(f"{path}{path.stat().st_size}{path.stat().st_mtime_ns}" for path in paths)
    return Dataset(table, fingerprint=sha256(files)[:16])


def _path_leaf(name: str, listed: bool) -> str:
    return f"{name}.list.element.path" if listed else f"{name}.path"


def _with_references(
    batch: "pa.RecordBatch", schema: "pa.Schema", images: Mapping[str, bool], reference: Callable[[str], str]
) -> "pa.Table":
    import pyarrow as pa

    columns = [
        _references(batch.column(name), reference) if name in images else batch.column(name) for name in schema.names
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _references(cells: "pa.Array", reference: Callable[[str], str]) -> "pa.Array":
    import pyarrow as pa

    if pa.types.is_list(cells.type):
        return pa.ListArray.from_arrays(cells.offsets, _references(cells.values, reference), mask=cells.is_null())
    names = [None if cell is None else cell["path"] for cell in cells.to_pylist()]
    return pa.array([name and reference(name) for name in names], pa.string())
