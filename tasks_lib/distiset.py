"""The Distiset: config name to ``DatasetDict``, with image columns and the report of the build."""

import base64
import html
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tasks_lib.errors import ImageCellError
from tasks_lib.images import REFERENCE_PREFIX, read_image_cell
from tasks_lib.report import BuildReport

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, DatasetDict

__all__ = ["Distiset"]

STRIP_IMAGES = 8
BYTES_AT_ONCE = 2 * 1024 * 1024


class Distiset(dict[str, Any]):
    """A dataset as it was built: ``distiset["default"]["train"][0]["image"]`` is a PIL image.

    Values are ``datasets.DatasetDict`` or, as in distilabel, plain ``datasets.Dataset``.

    Attributes:
        report: what the build did, or ``None``.
    """

    report: BuildReport | None = None

    def transform_columns_to_image(self, columns: str | list[str]) -> Self:
        """Turn columns into ``Image`` columns, in place.

        Cells may be base64, data URIs, bytes, paths, URLs or store references, and ``None``. Pixels are
        neither decoded nor re-encoded; paths and references stay where they are.

        Args:
            columns: one column or several; lists of images become lists of ``Image``.

        Raises:
            ImageCellError: no config has such a column, or a cell is not an image.
        """
        names = [columns] if isinstance(columns, str) else list(columns)
        seen: set[str] = set()

        def converted(dataset: "Dataset") -> "Dataset":
            found = [name for name in names if name in dataset.column_names]
            seen.update(found)
            for name in found:
                dataset = _with_image_column(dataset, name)
            return dataset

        changed = {config: _map_splits(value, converted) for config, value in self.items()}
        missing = [name for name in names if name not in seen]
        if missing:
            raise ImageCellError(
                f"no config has the column {', '.join(map(repr, missing))}; "
                f"found {', '.join(map(repr, self._column_names()))}."
            )
        self.update(changed)
        return self

    def __repr__(self) -> str:
        configs = "\n".join(f"    {config}: {value!r}".replace("\n", "\n    ") for config, value in self.items())
        return f"Distiset({{\n{configs}\n}})"

    def _column_names(self) -> list[str]:
        tables = [table for value in self.values() for table in _datasets(value)]
        return list(dict.fromkeys(name for table in tables for name in table.column_names))

    def _repr_html_(self) -> str:
        rows = [
            f"<tr><td>{html.escape(config)}</td><td>{html.escape(split)}</td><td>{len(dataset):,}</td></tr>"
            for config, value in self.items()
            for split, dataset in _named(value)
        ]
        head = "<tr><th>config</th><th>split</th><th>rows</th></tr>"
        return f"<table>{head}{''.join(rows)}</table>{_strip(self)}"


def _map_splits(value: Any, change: Callable[["Dataset"], "Dataset"]) -> Any:
    from datasets import DatasetDict

    if isinstance(value, dict):
        return DatasetDict({split: change(dataset) for split, dataset in value.items()})
    return change(value)


def _named(value: "DatasetDict | Dataset") -> list[tuple[str, "Dataset"]]:
    return list(value.items()) if isinstance(value, dict) else [("train", value)]


def _datasets(value: "DatasetDict | Dataset") -> list["Dataset"]:
    return [dataset for _, dataset in _named(value)]


def _with_image_column(dataset: "Dataset", name: str) -> "Dataset":
    import pyarrow as pa
    from datasets import Dataset, Features, Image, List
    from datasets.fingerprint import update_fingerprint

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
    fingerprint = update_fingerprint(dataset._fingerprint, "transform_columns_to_image", {"column": name})
    metadata = features.arrow_schema.metadata
    return Dataset(table.replace_schema_metadata(metadata), split=dataset.split, fingerprint=fingerprint)


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
    if isinstance(value, str) and value.startswith(REFERENCE_PREFIX):
        return None, value.removeprefix(REFERENCE_PREFIX)
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


def _strip(distiset: Distiset) -> str:
    """The first images as HTML, their own bytes, undecoded."""
    from datasets import Image

    for dataset in (each for value in distiset.values() for each in _datasets(value)):
        columns = [name for name, feature in dataset.features.items() if isinstance(feature, Image)]
        if columns and len(dataset):
            shown = dataset.select(range(min(STRIP_IMAGES, len(dataset)))).cast_column(columns[0], Image(decode=False))
            return "".join(_picture(cell) for cell in shown[columns[0]] if cell)
    return ""


def _picture(cell: dict[str, Any]) -> str:
    encoded = base64.b64encode(read_image_cell(cell) or b"").decode("ascii")
    return f'<img src="data:image;base64,{encoded}" style="height: 96px; margin: 2px" loading="lazy">'
