"""WebDataset: tar files in which the files of one row follow each other under one key.

The convention is at https://github.com/webdataset/webdataset: a file's name up to its first dot is the row's key, the
rest says what the file is.
"""

import base64
import io
import json
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks_lib.exports.built_config import BuiltConfig
from tasks_lib.exports.formats import Layout
from tasks_lib.exports.image_names import extension_of, safe_names

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Features

__all__ = ["write_webdataset"]

ROWS_A_TAR = 10_000
BYTES_A_TAR = 500 * 1024 * 1024
CAPTION = "prompt"
"""The column that trainers find as ``txt``."""

Files = dict[str, bytes]


def write_webdataset(config: BuiltConfig, folder: Path) -> Layout:
    """Write ``SPLIT-000000.tar`` and so on; the same rows give the same bytes.

    A row is an image (``png``, or ``NAME.png`` where there are several columns of images, ``NAME.0.png`` where they
    hold lists), ``json`` with all columns, in which the name of its file stands for an image, and ``txt``, its prompt.
    """
    names = _image_prefixes(config)
    kinds: set[str] = set()
    for split in config.rows:
        tars = _Tars(folder, split)
        try:
            for batch in config.batches(split):
                for files in _rows_as_files(config, batch, names):
                    kinds.update(files)
                    tars.add(files)
        finally:
            tars.close()
    return Layout(_features(config, kinds), {split: f"{split}-*.tar" for split in config.rows})


class _Tars:
    """The tars of one split, one after the other."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder = folder
        self._split = split
        self._rows = self._count = 0
        self._tar: tarfile.TarFile | None = None

    def add(self, files: Files) -> None:
        if self._tar is None:
            path = self._folder / f"{self._split}-{self._count:06d}.tar"
            self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115  # closed by close()
            self._count += 1
        for kind, data in files.items():
            # A new one says nothing of time or owner, so that the same rows give the same bytes.
            entry = tarfile.TarInfo(f"{self._rows:09d}.{kind}")
            entry.size = len(data)
            self._tar.addfile(entry, io.BytesIO(data))
        self._rows += 1
        if self._rows % ROWS_A_TAR == 0 or self._tar.offset >= BYTES_A_TAR:
            self.close()

    def close(self) -> None:
        tar, self._tar = self._tar, None
        if tar is not None:
            tar.close()


def _image_prefixes(config: BuiltConfig) -> dict[str, str]:
    if list(config.image_columns.values()) == [False]:
        return dict.fromkeys(config.image_columns, "")
    return {column: f"{name}." for column, name in safe_names(config.image_columns).items()}


def _rows_as_files(config: BuiltConfig, batch: "pa.RecordBatch", names: dict[str, str]) -> list[Files]:
    others = [name for name in batch.schema.names if name not in names]
    rows = batch.select(others).to_pylist()
    files: list[Files] = [{} for _ in rows]
    for column, prefix in names.items():
        for row, found, images in zip(rows, files, config.images_of(batch, column), strict=True):
            row[column] = _add_images(found, prefix, images)
    for row, found in zip(rows, files, strict=True):
        ordered = {name: row[name] for name in batch.schema.names}
        found["json"] = json.dumps(ordered, ensure_ascii=False, default=_as_text).encode()
        if _has_caption(batch.schema):
            found["txt"] = (row[CAPTION] or "").encode()
    return files


def _add_images(files: Files, prefix: str, images: Any) -> Any:
    """Put the images of a cell among a row's files; gives their names there."""
    if images is None:
        return None
    if isinstance(images, list):
        return [_add_images(files, f"{prefix}{number}.", image) for number, image in enumerate(images)]
    kind = f"{prefix}{extension_of(images)}"
    files[kind] = images
    return kind


def _has_caption(schema: "pa.Schema") -> bool:
    import pyarrow.types as types

    kind = schema.field(CAPTION).type if CAPTION in schema.names else None
    return kind is not None and bool(types.is_string(kind) or types.is_large_string(kind))


def _as_text(value: Any) -> str:
    """What JSON has no type for: bytes as base64, times as ISO 8601, all else as it prints."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _features(config: BuiltConfig, kinds: set[str]) -> "Features":
    """The columns that ``load_dataset`` makes of it, said beforehand: it guesses types from five rows."""
    import pyarrow as pa
    from datasets import Features, Image, Value

    schema = config.features.arrow_schema
    types = {field.name: _json_type(field.type) for field in schema}
    for column, listed in config.image_columns.items():
        types[column] = pa.list_(pa.string()) if listed else pa.string()
    texts = {"json", "txt"} & kinds
    features: dict[str, Any] = {kind: Image() for kind in sorted(kinds - texts)}
    features["json"] = dict(Features.from_arrow_schema(pa.schema(types)))
    features |= {
        name: Value("string") for name in ("txt", "__key__", "__url__") if name in texts | {"__key__", "__url__"}
    }
    return Features(features)


def _json_type(kind: "pa.DataType") -> "pa.DataType":
    """The type in which a value comes back from JSON."""
    import pyarrow as pa
    import pyarrow.types as types

    if isinstance(kind, pa.BaseExtensionType):
        return _json_type(kind.storage_type)
    if types.is_struct(kind):
        return pa.struct([(field.name, _json_type(field.type)) for field in kind])
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(_json_type(kind.value_type))
    is_plain = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_null(kind)
    return kind if is_plain else pa.string()
