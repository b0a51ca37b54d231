"""Marks the images of a build's Distiset where they are written: until then they are the store's, as they came."""

from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from tasks_lib.errors import UsageError
from tasks_lib.marking import mark_as_generated
from tasks_lib.report import BuildReport

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TableMark", "mark_of"]

TableMark = Callable[["pa.Table"], "pa.Table"]
"""Gives a table with image bytes back with the bytes marked."""


def mark_of(report: BuildReport | None) -> TableMark | None:
    """How the images of a build are marked; ``None`` where they are not.

    Raises:
        UsageError: they are signed, which takes the recipe's key.
    """
    if report is None or report.marking == "none":
        return None
    if report.marking == "c2pa":
        raise UsageError(
            f"the images of '{report.name}' are signed in its folder only, and what is written from here would not be. "
            f"Take them from there: Distiset.load_from_disk({report.folder!r})."
        )
    return partial(_marked, columns=report.image_columns, trained=report.trained)


def _marked(table: "pa.Table", columns: Collection[str], trained: bool) -> "pa.Table":
    import pyarrow as pa

    named = "model_name" in table.column_names
    models = [str(name) for name in table["model_name"].to_pylist()] if named else ["imageloom"] * len(table)
    for number, field in enumerate(table.schema):
        if field.name in columns:
            cells = zip(table[field.name].to_pylist(), models, strict=True)
            marked = [_marked_cell(cell, model, trained) for cell, model in cells]
            table = table.set_column(number, field, pa.array(marked, field.type))
    return table


def _marked_cell(cell: Any, model: str, trained: bool) -> Any:
    if isinstance(cell, list):
        return [_marked_cell(each, model, trained) for each in cell]
    if not cell or cell["bytes"] is None:
        return cell
    return {**cell, "bytes": mark_as_generated(cell["bytes"], model, trained)}
