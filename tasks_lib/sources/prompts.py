"""Rows from inline lists, files, Hugging Face datasets and templates, each as one Arrow table."""

import math
from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, PositiveInt, Tag, field_validator
from pydantic_core import PydanticCustomError

from tasks_lib.errors import SourceError
from tasks_lib.settings import Settings
from tasks_lib.sources.prompt_files import SUFFIXES, read_prompt_file, table_of_rows
from tasks_lib.sources.prompt_templates import TemplatePrompts

if TYPE_CHECKING:
    import pyarrow

__all__ = ["DatasetPrompts", "FilePrompts", "Prompts", "TemplatePrompts", "read_rows"]


class FilePrompts(Settings):
    """One row for each line or record of a file; every column travels along."""

    path: Path
    """A .txt (one prompt a line), .csv, .tsv, .jsonl, .ndjson or .parquet file, UTF-8."""
    limit: PositiveInt | None = None
    """Take only the first so many rows."""

    @field_validator("path")
    @classmethod
    def _know_the_suffix(cls, path: Path) -> Path:
        if path.suffix.lower() not in SUFFIXES:
            message = "'{path}' is not a kind of file that prompts are read from; use {known}"
            raise PydanticCustomError("prompts", message, {"path": str(path), "known": ", ".join(SUFFIXES)})
        return path


class DatasetPrompts(Settings):
    """The rows of a Hugging Face dataset, from the Hub or a local folder."""

    dataset: str
    """The dataset's name on the Hub, or a folder that `load_dataset` reads."""
    config: str | None = None
    """The dataset's configuration, where it has several."""
    split: str = "train"
    """The split; slices such as `train[:100]` work."""
    columns: list[str] | None = Field(default=None, min_length=1)
    """Keep only these columns."""


def _check_inline(rows: Any) -> Any:
    if problem := _inline_problem(rows):
        raise PydanticCustomError("prompts", "{problem}", {"problem": problem})
    return rows


def _inline_problem(rows: list[Any]) -> str | None:
    if not rows:
        return "the list of prompts is empty"
    expected, name = (dict, "a mapping") if isinstance(rows[0], dict) else (str, "a string")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, expected):
            return f"prompt {number} is {row!r}, not {name}; give strings only, or mappings only"
        if isinstance(row, dict) and (strange := _strange_value(row)):
            return f"prompt {number} has {strange}; write it as text, in quotes"
    return None


def _strange_value(row: dict[str, Any]) -> str | None:
    """The first value that ``recipe.yaml`` would not bring back as it was: a date, bytes, a set, no finite number."""
    for name, value in row.items():
        for part in _parts(value):
            known = part is None or isinstance(part, str | int | float)
            if not known or (isinstance(part, float) and not math.isfinite(part)):
                return f"the {type(part).__name__} {ascii(part)[:60]} in '{name}'"
    return None


def _parts(value: Any) -> Iterator[Any]:
    """What stands in lists and mappings within a value, or the value itself."""
    if not isinstance(value, dict | list):
        yield value
        return
    for part in value.values() if isinstance(value, dict) else value:
        yield from _parts(part)


def _kind(prompts: Any) -> str | None:
    """In brackets, to tell it from a key in the place of a fault."""
    if isinstance(prompts, list):
        return "[rows]"
    keys = prompts if isinstance(prompts, dict) else getattr(type(prompts), "model_fields", {})
    return next((f"[{kind}]" for kind in ("template", "dataset", "path") if kind in keys), None)


Prompts = Annotated[
    Annotated[list[str | dict[str, Any]], BeforeValidator(_check_inline), Tag("[rows]")]
    | Annotated[FilePrompts, Tag("[path]")]
    | Annotated[DatasetPrompts, Tag("[dataset]")]
    | Annotated[TemplatePrompts, Tag("[template]")],
    Discriminator(
        _kind,
        custom_error_type="prompts",
        custom_error_message="write a list of strings or mappings, or a mapping with 'path', 'dataset' or 'template'",
    ),
]
"""What a recipe's `prompts` may be."""


def read_rows(
    prompts: Prompts, *, prompt_column: str | None = "prompt", seed: int = 0, limit: int | None = None
) -> "pyarrow.Table":
    """The rows that prompts stand for.

    Image columns of datasets stay undecoded, with the bytes or the path that the dataset has.

    Args:
        prompts: what a recipe's ``prompts`` is.
        prompt_column: the column that prompts are read from; strings, text files and templates make one of
            that name. ``None`` where the task reads no text: then they make the column ``prompt``.
        seed: decides the sample of a template with a limit.
        limit: give only the first so many rows.

    Returns:
        A table with at least one row, whose prompt column is text. A prompt may be null.

    Raises:
        SourceError: the source is missing, malformed or empty, or its prompt column is missing or not text.
    """
    made = prompt_column or "prompt"
    if isinstance(prompts, list):
        source, table = "the list of prompts", _inline_rows(prompts, made)
    elif isinstance(prompts, FilePrompts):
        source = str(prompts.path)
        table = read_prompt_file(prompts.path, made, _smaller(prompts.limit, limit))
    elif isinstance(prompts, DatasetPrompts):
        source, table = f"dataset '{prompts.dataset}'", _dataset_rows(prompts)
    else:
        source, table = "the template", _template_rows(prompts, made, seed, limit)
    _check_columns(table, prompt_column, source)
    return (_with_text_prompts(table, prompt_column, source) if prompt_column else table).slice(0, limit)


def _inline_rows(rows: list[str | dict[str, Any]], prompt_column: str) -> "pyarrow.Table":
    if problem := _inline_problem(rows):
        raise SourceError(f"{problem}.")
    mappings = [row if isinstance(row, dict) else {prompt_column: row} for row in rows]
    return table_of_rows(mappings, "the list of prompts")


def _dataset_rows(prompts: DatasetPrompts) -> "pyarrow.Table":
    import datasets

    try:
        rows = datasets.load_dataset(prompts.dataset, prompts.config, split=prompts.split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise SourceError(f"dataset '{prompts.dataset}' cannot be loaded: {error}") from error
    wanted = prompts.columns or rows.column_names
    if missing := sorted(set(wanted) - set(rows.column_names)):
        advice = "Mend the 'columns' of the recipe's prompts."
        raise _no_column(missing[0], rows.column_names, f"dataset '{prompts.dataset}'", advice)
    # In Arrow format nothing is decoded; a cast to Image(decode=False) would stay in the schema for good.
    return rows.select_columns(wanted).with_format("arrow")[:]


def _template_rows(prompts: TemplatePrompts, prompt_column: str, seed: int, limit: int | None) -> "pyarrow.Table":
    if prompt_column in prompts.values:
        raise SourceError(f"the template has values for '{prompt_column}', which is the prompt's column; rename them.")
    rows = prompts.combinations(seed, limit)
    return table_of_rows([{prompt_column: prompts.prompt(row), **row} for row in rows], "the template")


def _smaller(one: int | None, other: int | None) -> int | None:
    return min((limit for limit in (one, other) if limit is not None), default=None)


def _check_columns(table: "pyarrow.Table", prompt_column: str | None, source: str) -> None:
    if repeated := [name for name, count in Counter(table.column_names).items() if count > 1]:
        raise SourceError(f"{source} has more than one column '{repeated[0]}'; rename all but one.")
    if not table.num_rows:
        raise SourceError(f"{source} has no rows.")
    if prompt_column and prompt_column not in table.column_names:
        advice = "The task's input_mappings can name the column with the prompts, as in {prompt: caption}."
        raise _no_column(prompt_column, table.column_names, source, advice)


def _no_column(name: str, found: list[str], source: str, advice: str) -> SourceError:
    by_lower_case = {column.lower(): column for column in found}
    near = get_close_matches(name.lower(), by_lower_case, n=1)
    hint = f" Did you mean '{by_lower_case[near[0]]}'?" if near else ""
    return SourceError(f"{source} has no column '{name}'; it has: {', '.join(found)}.{hint} {advice}")


def _with_text_prompts(table: "pyarrow.Table", prompt_column: str, source: str) -> "pyarrow.Table":
    from pyarrow import string, types

    at = table.column_names.index(prompt_column)
    kind = table.schema.field(at).type
    if types.is_string(kind) or types.is_large_string(kind):
        return table
    values = kind.value_type if types.is_dictionary(kind) else kind
    if not (types.is_string(values) or types.is_large_string(values) or types.is_null(values)):
        raise SourceError(f"column '{prompt_column}' of {source} holds {kind}, not text; put its values in quotes.")
    return table.set_column(at, prompt_column, table.column(at).cast(string()))
