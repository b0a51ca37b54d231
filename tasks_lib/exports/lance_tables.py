"""Lance: a table for each split, with the encoded images as binary columns."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tasks_lib.errors import MissingExtraError, OutputError
from tasks_lib.exports.built_config import BuiltConfig
from tasks_lib.exports.formats import Layout

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["write_lance"]


def write_lance(config: BuiltConfig, folder: Path) -> Layout:
    """Write ``SPLIT.lance``, in which an image is ``large_binary``.

    Raises:
        MissingExtraError: ``pylance`` is not installed.
        OutputError: Lance takes no column of that name.
    """
    try:
        import lance
    except ImportError as error:
        raise MissingExtraError("an export to Lance", "lance") from error
    import pyarrow as pa

    _check_names(config)
    schema = _schema(config)
    for split in config.rows:
        faults: list[BaseException] = []
        batches = _noting_faults(_binary_batches(config, split, schema), faults)
        try:
            lance.write_dataset(pa.RecordBatchReader.from_batches(schema, batches), str(folder / f"{split}.lance"))
        except OSError:
            if faults:
                # Lance reports what went wrong while it read, a Ctrl-C too, as a fault of its own.
                raise faults[0] from None
            raise
    return Layout(config.features, {split: f"{split}.lance/**" for split in config.rows})


def _schema(config: BuiltConfig) -> "pa.Schema":
    import pyarrow as pa

    images = {
        name: pa.list_(pa.large_binary()) if listed else pa.large_binary()
        for name, listed in config.image_columns.items()
    }
    return pa.schema([(field.name, images.get(field.name, field.type)) for field in config.features.arrow_schema])


def _binary_batches(config: BuiltConfig, split: str, schema: "pa.Schema") -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    for batch in config.batches(split):
        columns = [
            pa.array(config.images_of(batch, field.name), field.type)
            if field.name in config.image_columns
            else batch.column(field.name)
            for field in schema
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _noting_faults(batches: "Iterator[pa.RecordBatch]", faults: list[BaseException]) -> "Iterator[pa.RecordBatch]":
    try:
        yield from batches
    except BaseException as fault:
        faults.append(fault)
        raise


def _check_names(config: BuiltConfig) -> None:
    dotted = [name for name in config.features if "." in name]
    if dotted:
        raise OutputError(
            f"Lance takes no dot in the name of a column, and {config.folder} has {dotted[0]!r}. "
            "Rename it where the prompts come from, or export to webdataset or imagefolder."
        )
