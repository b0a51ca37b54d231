"""One export, from a dataset folder to a new folder in another format."""

import os
from pathlib import Path

from tasks_lib.errors import OutputError, UsageError
from tasks_lib.exports.built_config import BuiltConfig, OnRows
from tasks_lib.exports.card import write_export_card
from tasks_lib.exports.formats import ExportFormat, WriteFormat, export_loading
from tasks_lib.exports.report import ExportReport
from tasks_lib.folder import StagedFolder, loadable_place

__all__ = ["export_dataset"]


def export_dataset(
    folder: str | os.PathLike[str],
    to: ExportFormat | str,
    output: str | os.PathLike[str] | None = None,
    *,
    config: str = "default",
    on_rows: OnRows = lambda done, total: None,
) -> ExportReport:
    """Write a dataset in another format, with flat memory and each image byte for byte as it is in the shards.

    The new folder appears when it is complete, with a card from which ``load_dataset(output)`` knows splits and types.

    Args:
        folder: a dataset folder; it is only read.
        to: ``webdataset``, ``imagefolder`` or ``lance``.
        output: where the export goes, new or empty; by default beside the dataset, ``FOLDER-webdataset``, or
            ``FOLDER-CONFIG-webdataset`` for another config than the default one.
        config: which config of the dataset.
        on_rows: is told how many rows were read, and of how many.

    Raises:
        UsageError: there is no such format, or an extra is missing.
        OutputError: there is no such dataset or config, it holds no image, the format cannot hold a column's name,
            something is in ``output``, or it cannot be written.
    """
    format_ = _format(to)
    read = BuiltConfig(Path(folder), config, on_rows)
    place = loadable_place(_place_beside(read, format_) if output is None else output)
    _check_place(place, read.folder)
    staged = StagedFolder(place)
    try:
        layout = _writer(format_)(read, staged.path)
        _check_images(read)
        write_export_card(staged.path, staged.place.name, format_, read, layout)
        read.check_unchanged()
        # It may have been filled since; putting in place would replace that.
        _check_place(place, read.folder)
        staged.put_in_place()
    except OSError as error:
        raise OutputError(
            f"the export cannot be written to {place}: {error}. Nothing is left of it; choose another output folder."
        ) from error
    finally:
        staged.abandon()
    lines = export_loading(format_, str(place), next(iter(read.rows)))
    return ExportReport(format_.value, str(place), config, read.rows, read.images, read.image_bytes, lines)


def _format(name: ExportFormat | str) -> ExportFormat:
    try:
        return ExportFormat(name)
    except ValueError:
        raise UsageError(f"there is no export to {name!r}. Choose one of {', '.join(ExportFormat)}.") from None


def _writer(format_: ExportFormat) -> WriteFormat:
    match format_:
        case ExportFormat.WEBDATASET:
            from tasks_lib.exports.webdataset_tars import write_webdataset

            return write_webdataset
        case ExportFormat.IMAGEFOLDER:
            from tasks_lib.exports.image_folder import write_image_folder

            return write_image_folder
        case ExportFormat.LANCE:
            from tasks_lib.exports.lance_tables import write_lance

            return write_lance


def _place_beside(read: BuiltConfig, format_: ExportFormat) -> Path:
    folder = read.folder.resolve()
    which = "" if read.config == "default" else f"{read.config}-"
    return folder.with_name(f"{folder.name}-{which}{format_}")


def _check_place(place: Path, dataset: Path) -> None:
    if place.resolve().is_relative_to(dataset.resolve()):
        raise OutputError(f"{place} lies in the dataset that is exported, {dataset}. Choose another output folder.")
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise OutputError(f"there is something in {place}, and an export replaces nothing. Choose another folder.")


def _check_images(read: BuiltConfig) -> None:
    if not read.images:
        raise OutputError(
            f"the config {read.config!r} of {read.folder} holds no image, so there is nothing to export. "
            "Its rows can be read from the Parquet files as they are."
        )
