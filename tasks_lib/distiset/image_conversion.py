"""A column becomes one of images: its cells are put into Arrow as ``datasets`` keeps them, undecoded."""

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tasks_lib.images import is_reference, read_image_cell, url_of

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

__all__ = ["converted_fingerprint", "with_image_column"]

BYTES_AT_ONCE = 2 * 1024 * 1024


def with_image_column(dataset: "Dataset", name: str) -> "Dataset":
    """The dataset with one column as ``Image``, or as a list of images where it holds lists.

    Cells may be base64, data URIs, bytes, paths, URLs or store references, and ``None``. Pixels are neither
    decoded nor re-encoded; paths and references stay where they are.

    Raises:
        ImageCellError: a cell is none of them.
    """
    import pyarrow as pa
    from datasets import Dataset, Features, Image, List

    feature = dataset.features[name]
    listed = isinstance(feature, List)
    image = List(Image()) if listed else Image()
    if feature == image:
        return dataset
    dataset = dataset.flatten_indices() if dataset._indices is not None else dataset
    features = Features({**dataset.features, name: image})
    position = dataset.column_names.index(name)
    chunks = [part for chunk in dataset.data.column(name).chunks for part in _image_arrays(chunk)]
    column = pa.chunked_array(chunks, features.arrow_schema.field(name).type)
    table = dataset.data.table.set_column(position, features.arrow_schema.field(name), column)
    # Without one, Dataset would hash every byte.
    fingerprint = converted_fingerprint(dataset._fingerprint, name)
    info = dataset.info.copy()
    info.features = features
    table = table.replace_schema_metadata(features.arrow_schema.metadata)
    return Dataset(table, info=info, split=dataset.split, fingerprint=fingerprint)


def converted_fingerprint(fingerprint: str, name: str) -> str:
    """The fingerprint that a dataset has once a column was converted."""
    from datasets.fingerprint import update_fingerprint

    return str(update_fingerprint(fingerprint, "transform_columns_to_image", {"column": name}))


def _image_arrays(cells: "pa.Array") -> Iterator["pa.Array"]:
    import pyarrow as pa

    if pa.types.is_list(cells.type) or pa.types.is_large_list(cells.type):
        images = pa.concat_arrays([*_image_arrays(cells.values), _image_array([])])
        offsets = pa.array(cells.offsets.to_numpy())  # those of a slice would not do
        yield pa.ListArray.from_arrays(offsets, images, mask=cells.is_null())
        return
    # In parts that use the same memory again: fresh memory takes longer than decoding into it.
    at_once = max(1, len(cells) * BYTES_AT_ONCE // max(1, cells.nbytes))
    for start in range(0, len(cells), at_once):
        yield _image_array([cell.as_py() for cell in cells.slice(start, at_once)])


def _image_array(values: Sequence[Any]) -> "pa.Array":
    import pyarrow as pa

    structs = [_cell(value) for value in values]
    nothing = pa.array([value is None for value in values], pa.bool_())
    data = pa.array([each[0] for each in structs], pa.binary())
    paths = pa.array([each[1] for each in structs], pa.string())
    return pa.StructArray.from_arrays([data, paths], ["bytes", "path"], mask=nothing)


def _cell(value: Any) -> tuple[bytes | None, str | None]:
    """Bytes or where they are; a path is opened by ``datasets`` when the image is looked at."""
    if is_reference(value):
        return None, url_of(value)
    if isinstance(value, dict) and value.get("bytes") is None:
        return None, value.get("path")
    if isinstance(value, str) and _is_place(value):
        # `datasets` does not open file URLs.
        local = value.startswith("file://")
        return None, url2pathname(urlsplit(value).path) if local else value
    return read_image_cell(value), None


def _is_place(text: str) -> bool:
    """Whether a text is a URL or a path, told cheaply from a megabyte of base64."""
    short = len(text) < 4096 and not text.startswith("data:")
    # Path.is_file() raises for a name that is too long, as base64 is.
    return short and ("://" in text or os.path.isfile(text))  # noqa: PTH113
