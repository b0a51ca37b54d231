"""The rows of a recipe, checked against its task before anything is spent."""

from typing import TYPE_CHECKING

from tasks_lib.columns import ACCOUNT_COLUMNS
from tasks_lib.errors import RecipeError, SourceError
from tasks_lib.recipe import Recipe
from tasks_lib.sources import read_rows

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["read_source"]


def read_source(recipe: Recipe, limit: int | None = None) -> "pa.Table":
    """Read the prompts of a recipe and check their columns.

    Args:
        recipe: names the source, the task and the splits.
        limit: take only the first so many rows.

    Raises:
        SourceError: the source cannot be read, is empty or lacks a column.
        RecipeError: a column of the source has a name that the dataset needs for itself.
    """
    task = recipe.task
    needed = [task.input_mappings.get(name, name) for name in task.input_names]
    table = read_rows(recipe.prompts, prompt_column=needed[0], seed=recipe.seed, limit=limit)
    if isinstance(recipe.output.splits, str):
        needed.append(recipe.output.splits)
    _check_present(needed, table.column_names)
    _check_free(recipe, table.column_names)
    return table


def _check_present(needed: list[str], found: list[str]) -> None:
    missing = [name for name in needed if name not in found]
    if missing:
        raise SourceError(
            f"the prompts lack the column {', '.join(map(repr, missing))}; found {', '.join(map(repr, found))}. "
            "Name the right one in the task's input_mappings or in output.splits."
        )


def _check_free(recipe: Recipe, found: list[str]) -> None:
    task = recipe.task
    outputs = {task.output_mappings.get(name, name) for name in task.output_names}
    # A mapped input takes its own name inside the task, so the source must not use it for something else.
    hidden = {name for name, column in task.input_mappings.items() if column != name}
    taken = [name for name in found if name in outputs | hidden | set(ACCOUNT_COLUMNS)]
    if taken:
        raise RecipeError(
            f"the prompts have the column {', '.join(map(repr, taken))}, which the dataset needs for itself. "
            "Rename it in the source, or an output of the task with output_mappings."
        )
