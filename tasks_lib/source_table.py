"""The rows of a recipe, checked against its task before anything is spent."""

from typing import TYPE_CHECKING

from tasks_lib.columns import ACCOUNT_COLUMNS, is_plain
from tasks_lib.errors import RecipeError, SourceError
from tasks_lib.recipe import Recipe
from tasks_lib.shard_names import is_split_name
from tasks_lib.sources import read_rows

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["read_source"]

MOST_SPLITS = 100
TYPE_OF_A_FEATURE = "_type"
"""No column and no field may have this name, in which `datasets` keeps their types."""


def read_source(recipe: Recipe, limit: int | None = None) -> "pa.Table":
    """Read the prompts of a recipe and check their columns.

    Args:
        recipe: names the source, the task and the splits.
        limit: take only the first so many rows.

    Raises:
        SourceError: the source cannot be read, is empty, lacks a column, has one that a dataset cannot keep, or names
            a split that cannot be.
        RecipeError: a column of the source has a name that the dataset needs for itself.
    """
    task = recipe.task
    needed = [task.input_mappings.get(name, name) for name in task.input_names]
    text = task.prompt_input and task.input_mappings.get(task.prompt_input, task.prompt_input)
    table = read_rows(recipe.prompts, prompt_column=text, seed=recipe.seed, limit=limit)
    splits = recipe.output.splits
    _check_present([*needed, splits] if isinstance(splits, str) else needed, table.column_names)
    _check_free(recipe, table.column_names)
    _check_types(table.schema)
    if isinstance(splits, str):
        _check_splits(table, splits)
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


def _check_types(schema: "pa.Schema") -> None:
    """Find out now, not when the images are paid for and written."""
    from pyarrow import ArrowException

    for column in schema:
        if is_plain(column.type) and column.name != TYPE_OF_A_FEATURE:
            continue
        try:
            _write_nothing(column)
        except (ArrowException, ValueError) as error:
            raise SourceError(
                f"the prompts have the column '{column.name}' of type {column.type}, which a dataset cannot hold: "
                f"{error} Leave it out of the source, rename it, or give it another type, such as string."
            ) from error


def _write_nothing(column: "pa.Field") -> None:
    """Do with no rows of a column what a build does with all of them: Parquet, the card's YAML, samples of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import DatasetInfo, Features
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    schema = pa.schema([column])
    schema.empty_table().take(pa.array([], pa.int64()))
    features = Features.from_arrow_schema(schema)
    pq.ParquetWriter(pa.BufferOutputStream(), features.arrow_schema).close()
    try:
        DatasetInfosDict(default=DatasetInfo(features=features)).to_dataset_card_data(DatasetCardData())
    except TypeError as error:
        raise ValueError(f"'{TYPE_OF_A_FEATURE}' is what `datasets` calls the type of a column.") from error


def _check_splits(table: "pa.Table", column: str) -> None:
    first_rows: dict[str, int] = {}
    for row, name in enumerate(table.column(column).to_pylist()):
        first_rows.setdefault("" if name is None else str(name), row)
    for name, row in first_rows.items():
        if not is_split_name(name):
            raise SourceError(
                f"column '{column}', which output.splits takes the splits from, holds {name[:60]!r} in row {row} "
                "(the first is 0). The name of a split is 1 to 100 letters, digits and underscores, and not 'all'."
            )
    if len(first_rows) > MOST_SPLITS:
        raise SourceError(
            f"column '{column}', which output.splits takes the splits from, names {len(first_rows):,} splits; at most "
            f"{MOST_SPLITS} can be made. Name another column."
        )
