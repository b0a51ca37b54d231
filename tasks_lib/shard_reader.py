"""Reading shards back without their image bytes, so that a dataset of any size fits in memory."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks_lib.columns import image_columns

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, Features

__all__ = ["read_without_images"]


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
    table = pa.concat_tables([pq.ParquetFile(path).read(columns=columns) for path in paths])
    light = {name: List(Value("string")) if images.get(name) else Value("string") for name in images}
    schema = Features({**features, **light}).arrow_schema
    arrays = [
        _references(table.column(name).combine_chunks(), reference) if name in images else table.column(name)
        for name in schema.names
    ]
    return Dataset(pa.Table.from_arrays(arrays, schema=schema))


def _path_leaf(name: str, listed: bool) -> str:
    return f"{name}.list.element.path" if listed else f"{name}.path"


def _references(cells: "pa.Array", reference: Callable[[str], str]) -> "pa.Array":
    import pyarrow as pa

    if pa.types.is_list(cells.type):
        return pa.ListArray.from_arrays(cells.offsets, _references(cells.values, reference), mask=cells.is_null())
    names = [None if cell is None else cell["path"] for cell in cells.to_pylist()]
    return pa.array([name and reference(name) for name in names], pa.string())
