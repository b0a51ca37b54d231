"""An image folder: each image a file, all other columns in ``metadata.parquet`` beside them.

Parquet, since ``load_dataset`` takes a text that looks like a date for one where it reads ``metadata.jsonl``. The
names of columns are those of https://huggingface.co/docs/datasets/image_dataset.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks_lib.errors import OutputError
from tasks_lib.exports.built_config import BuiltConfig
from tasks_lib.exports.formats import Layout
from tasks_lib.exports.image_names import extension_of, safe_names

if TYPE_CHECKING:
    from datasets import Features

__all__ = ["write_image_folder"]

METADATA = "metadata.parquet"
ROWS_A_GROUP = 1_000


def write_image_folder(config: BuiltConfig, folder: Path) -> Layout:
    """Write ``SPLIT/000000000.png`` and so on, in a folder for each column where there are several, and the metadata.

    Raises:
        OutputError: a column is called as one that names images.
    """
    _check_names(config.features, config)
    for split in config.rows:
        (folder / split).mkdir()
        _write_split(config, split, folder / split)
    return Layout(config.features, {split: f"{split}/**" for split in config.rows})


def _write_split(config: BuiltConfig, split: str, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    places = _folders(config, folder)
    schema = _metadata_features(config).arrow_schema
    row = 0
    waiting: list[pa.RecordBatch] = []
    with pq.ParquetWriter(folder / METADATA, schema, compression="ZSTD") as writer:
        for batch in config.batches(split):
            names = {
                column: _write_images(config.images_of(batch, column), folder, place, row)
                for column, place in places.items()
            }
            cells = [
                pa.array(names[name], field.type) if name in names else batch.column(name)
                for name, field in zip(config.features, schema, strict=True)
            ]
            waiting.append(pa.RecordBatch.from_arrays(cells, schema=schema))
            row += batch.num_rows
            if sum(each.num_rows for each in waiting) >= ROWS_A_GROUP:
                writer.write_table(pa.Table.from_batches(waiting))
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting))


def _folders(config: BuiltConfig, folder: Path) -> dict[str, Path]:
    if len(config.image_columns) == 1:
        return dict.fromkeys(config.image_columns, folder)
    places = {column: folder / name for column, name in safe_names(config.image_columns).items()}
    for place in places.values():
        place.mkdir()
    return places


def _write_images(cells: list[Any], folder: Path, place: Path, first_row: int) -> list[Any]:
    """Write the images of a column; gives their names as the metadata has them, in the shape of the cells."""

    def write(image: bytes | None, stem: str) -> str | None:
        if image is None:
            return None
        path = place / f"{stem}.{extension_of(image)}"
        path.write_bytes(image)
        return path.relative_to(folder).as_posix()

    return [
        [write(image, f"{row:09d}-{number}") for number, image in enumerate(cell)]
        if isinstance(cell, list)
        else write(cell, f"{row:09d}")
        for row, cell in enumerate(cells, first_row)
    ]


def _metadata_features(config: BuiltConfig) -> "Features":
    from datasets import Features, List, Value

    features = {}
    for name, feature in config.features.items():
        if name not in config.image_columns:
            features[name] = feature
        elif config.image_columns[name]:
            features[f"{name}_file_names"] = List(Value("string"))
        else:
            features[_file_name_column(config, name)] = Value("string")
    return Features(features)


def _file_name_column(config: BuiltConfig, name: str) -> str:
    # With several columns of images, datasets 5.2 gives the file_name of one to whichever stands first.
    return "file_name" if list(config.image_columns) == ["image"] and name == "image" else f"{name}_file_name"


def _check_names(features: Any, config: BuiltConfig) -> None:
    """Whether ``load_dataset`` would take another column for one of images, be it within a struct."""
    if isinstance(features, dict):
        for name, feature in features.items():
            if name in ("file_name", "file_names") or name.endswith(("_file_name", "_file_names")):
                raise OutputError(
                    f"the column {name!r} of {config.folder} would be taken for names of images in an image folder. "
                    "Rename it where the prompts come from, or export to webdataset or lance."
                )
            _check_names(feature, config)
    elif hasattr(features, "feature"):
        _check_names(features.feature, config)
