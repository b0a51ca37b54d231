"""Reads files of prompts, of whatever kind, into Arrow tables."""

import codecs
import json
import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks_lib.errors import SourceError

if TYPE_CHECKING:
    import pyarrow

__all__ = ["SUFFIXES", "read_prompt_file", "table_of_rows"]

SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")

_JSON_ROWS_AT_ONCE = 10_000
_LARGEST_CSV_BLOCK = 2**31 - 1
_NO_INTEGER = r"^\s*[+-]?0\d"
_NO_FLOAT = rf"{_NO_INTEGER}|^\s*[+-]?\d{{19,}}\s*$"
"""What a number would not give back; a long integer is read as a float only where it does not fit 64 bits."""
_NOT_TEXT = "half of a surrogate pair and so no text that a file can hold"
_QUOTED_TSV_FIELD = re.compile(rb'(?:(?<=[\t\r\n])|\A)"[^"]*(?:""[^"]*)*"(?=[\t\r\n]|\Z)')


def read_prompt_file(path: Path, prompt_column: str, limit: int | None = None) -> "pyarrow.Table":
    """Read a file of prompts, UTF-8 with or without a byte order mark, lines ending in LF, CRLF or CR.

    Text has one prompt a line, and blank lines are skipped. In CSV the prompt column is text whatever it looks
    like, the types of other columns are inferred, an empty cell is null and ``""`` is an empty string. A column stays
    text where numbers would lose something: a leading zero (``007``), or the last digits of 20.
    A TSV is read with CSV's quotes when all its quotes are CSV's, as spreadsheets and CSV libraries write them.
    One quote elsewhere means that no field is quoted (as in IANA's text/tab-separated-values) and that every
    quote of the file belongs to its text.

    Args:
        path: a file with one of ``SUFFIXES``.
        prompt_column: the column that is read as text; the name of a text file's only column.
        limit: read only the first so many rows.

    Raises:
        SourceError: the file is missing or malformed.
    """
    import pyarrow

    if not path.is_file():
        raise SourceError(f"{path} does not exist; relative paths start in the current folder, {Path.cwd()}.")
    try:
        match path.suffix.lower():
            case ".txt":
                return _read_text(path, prompt_column, limit)
            case ".csv" | ".tsv":
                return _read_csv(path, prompt_column).slice(0, limit)
            case ".parquet":
                return _read_parquet(path, limit)
            case _:
                return _read_json_lines(path, limit)
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8: {error}. Save it as UTF-8.") from error
    except (OSError, pyarrow.ArrowException) as error:
        raise SourceError(f"{path} cannot be read: {str(error).strip()}") from error


def table_of_rows(rows: list[dict[str, Any]], source: str) -> "pyarrow.Table":
    """A table with every column that any row has; a row without a column has null there.

    Args:
        rows: at least one mapping of column values.
        source: what the rows come from, for the error message.

    Raises:
        SourceError: a column's values are not of one type, or a text holds half of a surrogate pair.
    """
    import pyarrow

    names = list(dict.fromkeys(name for row in rows for name in row))
    if broken := [name for name in names if _array_problem([name])]:
        raise SourceError(f"{source} has a column named {broken[0]!r}, {_NOT_TEXT}. Rename it.")
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        if _array_problem(values):
            raise _column_problem(f"column '{name}' of {source}", values)
        columns[name] = pyarrow.array(values)
    # A table of no columns has no rows, whatever it was made from.
    return pyarrow.table(columns)


def _array_problem(values: Sequence[Any]) -> Exception | None:
    """Why values do not make a column."""
    import pyarrow

    try:
        pyarrow.array(values)
    except (pyarrow.ArrowException, OverflowError, UnicodeEncodeError) as error:
        return error
    return None


def _column_problem(column: str, values: Sequence[Any]) -> SourceError:
    """An error that names the first value that does not fit those before it."""
    at = bisect_left(range(1, len(values) + 1), True, key=lambda count: _array_problem(values[:count]) is not None)
    problem, found = _array_problem(values[: at + 1]), _short(values[at])
    if isinstance(problem, UnicodeEncodeError):
        return SourceError(f"{column} holds {found} in its row {at + 1}, {_NOT_TEXT}. Mend that text.")
    return SourceError(
        f"{column} does not have values of one type: its row {at + 1} holds {found} ({str(problem).rstrip('.')}). "
        "Put all of its values in quotes, or none."
    )


def _short(value: Any) -> str:
    shown = ascii(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _read_text(path: Path, prompt_column: str, limit: int | None) -> "pyarrow.Table":
    import pyarrow

    with path.open(encoding="utf-8-sig") as file:
        prompts = list(islice((line.removesuffix("\n") for line in file if line.strip()), limit))
    return pyarrow.table({prompt_column: pyarrow.array(prompts, pyarrow.string())})


def _read_csv(path: Path, prompt_column: str) -> "pyarrow.Table":
    from pyarrow import compute, types

    data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    # The reader takes a column that is not UTF-8 for binary, and says nothing.
    data.decode()
    is_tsv = path.suffix.lower() == ".tsv"
    table = _parse_csv(data, is_tsv, [prompt_column])
    patterns = {
        at: _NO_INTEGER if types.is_integer(column.type) else _NO_FLOAT
        for at, column in enumerate(table.schema)
        if types.is_integer(column.type) or types.is_floating(column.type)
    }
    texts = _parse_csv(data, is_tsv, table.column_names) if patterns else table
    for at, pattern in patterns.items():
        if compute.any(compute.match_substring_regex(texts[at], pattern)).as_py():
            table = table.set_column(at, table.column_names[at], texts[at])
    return table


def _parse_csv(data: bytes, is_tsv: bool, text_columns: Sequence[str]) -> "pyarrow.Table":
    import pyarrow
    from pyarrow import csv

    quoted = not is_tsv or b'"' not in _QUOTED_TSV_FIELD.sub(b"", data)
    return csv.read_csv(
        pyarrow.BufferReader(data),
        # In one block, since a row (of base64, say) must fit into one; in one thread, since only then an error
        # names the row.
        read_options=csv.ReadOptions(use_threads=False, block_size=min(max(len(data), 1), _LARGEST_CSV_BLOCK)),
        parse_options=csv.ParseOptions(
            delimiter="\t" if is_tsv else ",", quote_char='"' if quoted else False, newlines_in_values=quoted
        ),
        # A prompt may be the word "null" or "NA".
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(text_columns, pyarrow.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _read_json_lines(path: Path, limit: int | None) -> "pyarrow.Table":
    import pyarrow

    tables = []
    with path.open(encoding="utf-8-sig") as file:
        rows = islice((_json_row(path, number, line) for number, line in enumerate(file, 1) if line.strip()), limit)
        while some := list(islice(rows, _JSON_ROWS_AT_ONCE)):
            tables.append(table_of_rows(some, str(path)))
    return pyarrow.concat_tables(tables, promote_options="permissive") if tables else pyarrow.table({})


def _json_row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise SourceError(f"{path}, line {number} is not JSON: {error}.") from error
    except RecursionError as error:
        raise SourceError(f"{path}, line {number} is nested too deeply to be read; make it flatter.") from error
    if not isinstance(row, dict):
        raise SourceError(f"{path}, line {number} is {line.strip()[:60]!r}, not a JSON object such as {{...}}.")
    return row


def _read_parquet(path: Path, limit: int | None) -> "pyarrow.Table":
    from pyarrow import dataset

    rows = dataset.dataset(path, format="parquet")
    return rows.to_table() if limit is None else rows.head(limit)
