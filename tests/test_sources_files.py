"""Rows come out of files as they stand there, or one error says why not."""

import csv
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.errors import SourceError
from tasks_lib.sources import FilePrompts, TemplatePrompts, read_rows

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["0042", "null", "NA", '"', '"quoted"', 'a "b"\tc', "two\nlines", "a\r\nb", "\u2028", "true", "2024-01-01"]
)
LINES = TEXTS.filter(lambda text: text.strip() and not set(text) & set("\r\n"))


def rows_of_file(name: str, content: str | bytes, **options: Any) -> list[dict[str, Any]]:
    """Write a file and read its rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        rows: list[dict[str, Any]] = read_rows(FilePrompts(path=path), **options).to_pylist()
    return rows


def delimited(prompts: list[str], delimiter: str, quoting: Any) -> str:
    """Write prompts and their numbers with Python's own csv module."""
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, quoting=quoting).writerows(
        [("prompt", "number"), *((prompt, number) for number, prompt in enumerate(prompts))]
    )
    return buffer.getvalue()


def json_lines(prompts: list[str]) -> str:
    """Write prompts and their numbers as JSON lines."""
    return "".join(json.dumps({"prompt": prompt, "number": number}) + "\n" for number, prompt in enumerate(prompts))


def parquet(prompts: list[str]) -> bytes:
    """Write prompts and their numbers as Parquet."""
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"prompt": prompts, "number": range(len(prompts))}), buffer)
    return buffer.getvalue()


WRITERS: dict[str, tuple[str, Callable[[list[str]], str | bytes]]] = {
    "csv": ("prompts.csv", lambda prompts: delimited(prompts, ",", csv.QUOTE_NONNUMERIC)),
    "tsv": ("prompts.tsv", lambda prompts: delimited(prompts, "\t", csv.QUOTE_NONNUMERIC)),
    "jsonl": ("prompts.jsonl", json_lines),
    "ndjson": ("prompts.NDJSON", json_lines),
    "parquet": ("prompts.parquet", parquet),
}


@given(st.sampled_from(sorted(WRITERS)), st.lists(TEXTS, min_size=1))
def test_any_text_survives_a_file(kind: str, prompts: list[str]) -> None:
    """Whatever the prompts hold, a file gives them back in order, with the columns beside them."""
    name, write = WRITERS[kind]
    assert rows_of_file(name, write(prompts)) == [
        {"prompt": prompt, "number": number} for number, prompt in enumerate(prompts)
    ]


@given(st.lists(LINES, min_size=1), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_a_text_file_has_one_prompt_a_line(prompts: list[str], newline: str, with_mark: bool) -> None:
    """Lines are prompts whatever the line end; blank lines and a byte order mark are no part of them."""
    text = ("\ufeff" if with_mark else "") + newline.join(["", *prompts, "  ", ""])
    assert [row["prompt"] for row in rows_of_file("prompts.txt", text)] == prompts


@given(st.lists(LINES.filter(lambda text: "\t" not in text), min_size=1).map(lambda texts: ['a "b" c', *texts]))
def test_a_tsv_without_quoting_keeps_its_quotes(prompts: list[str]) -> None:
    """Once a quote stands where no quoting puts one, every quote of a TSV belongs to its text."""
    content = "prompt\tnumber\n" + "".join(f"{prompt}\t{number}\n" for number, prompt in enumerate(prompts))
    assert [row["prompt"] for row in rows_of_file("prompts.tsv", content)] == prompts


@pytest.mark.parametrize("line", ['"G I G" painted\tx', 'a 5" disc\tx', '"unbalanced\tx', 'x\tLongest: "a b."'])
def test_a_tsv_with_stray_quotes_keeps_its_rows(line: str) -> None:
    """Quotes at the start, in the middle, at the end and without a partner swallow no row and no character."""
    content = f"prompt\tnote\nfirst\tx\n{line}\nlast\tx\n"
    rows = rows_of_file("prompts.tsv", content)
    assert [(row["prompt"], row["note"]) for row in rows] == [
        ("first", "x"),
        tuple(line.split("\t")),
        ("last", "x"),
    ]


@pytest.mark.parametrize("name", ["prompts.csv", "prompts.tsv"])
def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_a_table(name: str) -> None:
    """A file that Excel saved reads like any other."""
    separator = "," if name.endswith("csv") else "\t"
    content = separator.join(['\ufeff"prompt"', "note\r\n0042"]) + separator + '7\r\n"a\r\nb"' + separator + "3\r\n"
    assert rows_of_file(name, content) == [{"prompt": "0042", "note": 7}, {"prompt": "a\r\nb", "note": 3}]


def test_types_are_inferred_from_the_whole_file() -> None:
    """A word far behind many numbers makes a column text instead of an error."""
    numbers = "".join(f"prompt,{number}\n" for number in range(150_000))
    assert rows_of_file("prompts.csv", f"prompt,n\n{numbers}prompt,word\n")[-1] == {"prompt": "prompt", "n": "word"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["007", "10"], ["007", "10"]),
        (["01.50", "2"], ["01.50", "2"]),
        (["-01", ""], ["-01", None]),
        (["12345678901234567890", "1"], ["12345678901234567890", "1"]),
        (["9223372036854775808", "1"], ["9223372036854775808", "1"]),
        (["9223372036854775807", "-1"], [2**63 - 1, -1]),
        (["0", "-0.5", "1e5", "12345678901234567890.5"], [0.0, -0.5, 1e5, 12345678901234567890.5]),
        (["0", "100", ""], [0, 100, None]),
    ],
)
def test_numbers_of_a_csv_lose_nothing(written: list[str], read: list[Any]) -> None:
    """Digits that no number holds (``007``, an id of 20 digits) stay text, the whole column; others are numbers."""
    for name, separator in (("a.csv", ","), ("a.tsv", "\t")):
        content = "".join(f"p{separator}{value}{separator}1\n" for value in written)
        rows = rows_of_file(name, f"prompt{separator}id{separator}n\n{content}")
        assert [row["id"] for row in rows] == read
        assert [row["n"] for row in rows] == [1] * len(read)


def test_a_row_may_be_megabytes_long() -> None:
    """A cell of base64 longer than the reader's usual block is read like any other."""
    cell = "A" * 3_000_000
    assert rows_of_file("a.csv", f"prompt,image\na,x\nb,{cell}\n")[1] == {"prompt": "b", "image": cell}


def test_null_prompts_keep_their_rows() -> None:
    """A row without a prompt stays, for the task to decide; an empty string is not null."""
    nulls: list[Any] = [{"prompt": "a"}, {"prompt": None}, {"prompt": ""}]
    assert rows_of_file("a.csv", 'prompt,n\na,1\n,2\n"",3\n', limit=3) == [
        {**row, "n": number} for number, row in enumerate(nulls, 1)
    ]
    assert rows_of_file("a.jsonl", "\n".join(map(json.dumps, nulls))) == nulls
    assert read_rows(nulls).to_pylist() == nulls
    assert read_rows([{"prompt": None}]).schema.field("prompt").type == pyarrow.string()


def test_rows_with_other_keys_have_nulls() -> None:
    """The columns are those of all rows, wherever a key first appears."""
    rows: list[Any] = [{"prompt": "a"}, {"prompt": "b", "style": "oil"}, {"size": 1, "prompt": "c"}]
    expected = [{"prompt": "a", "style": None, "size": None}, {"prompt": "b", "style": "oil", "size": None}]
    assert read_rows(rows, limit=2).to_pylist() == expected
    many = [{"prompt": "a", "n": 1}] * 10_000 + [{"prompt": "b", "n": 1.5, "late": "x"}]
    last = rows_of_file("a.jsonl", "\n".join(map(json.dumps, many)))[-1]
    assert last == {"prompt": "b", "n": 1.5, "late": "x"}


def test_strings_make_a_column_of_the_wanted_name() -> None:
    """Strings, text files and templates name their column after the wanted one."""
    assert read_rows(["a", "b"], prompt_column="caption", limit=1).to_pylist() == [{"caption": "a"}]
    assert rows_of_file("a.txt", "a\n", prompt_column="caption") == [{"caption": "a"}]
    template = TemplatePrompts(template="{x}", values={"x": [1]})
    assert read_rows(template, prompt_column="caption").to_pylist() == [{"caption": "1", "x": 1}]


@pytest.mark.parametrize("kind", [*sorted(WRITERS), "txt"])
def test_limits_take_the_first_rows(kind: str, tmp_path: Path) -> None:
    """The smaller of the recipe's limit and the caller's counts."""
    name, write = WRITERS.get(kind, ("prompts.txt", "\n".join))
    content = write(["a", "b", "c", "d"])
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for own, given_limit, expected in [(2, None, "ab"), (2, 3, "ab"), (3, 1, "a"), (None, 3, "abc"), (9, 9, "abcd")]:
        table = read_rows(FilePrompts(path=path, limit=own), limit=given_limit)
        assert "".join(table["prompt"].to_pylist()) == expected


def test_dictionary_encoded_prompts_are_text(tmp_path: Path) -> None:
    """A categorical column of a Parquet file becomes plain text."""
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"prompt": pyarrow.array(["a", "a", None]).dictionary_encode()}), path)
    assert read_rows(FilePrompts(path=path))["prompt"].to_pylist() == ["a", "a", None]


FAULTS: dict[str, tuple[str, str | bytes, str]] = {
    "missing column": ("a.csv", "Prompt,note\na,b\n", r"a\.csv has no column 'prompt'; it has: Prompt, note\. Did you "
                       r"mean 'Prompt'\? .*input_mappings"),
    "not text": ("a.jsonl", '{"prompt": 1}\n', "column 'prompt' .* holds int64, not text"),
    "no lines": ("a.txt", "\n \n", r"a\.txt has no rows"),
    "header only": ("a.csv", "prompt,note\n", "has no rows"),
    "empty csv": ("a.csv", "", "Empty CSV file"),
    "empty jsonl": ("a.jsonl", "", "has no rows"),
    "bad json": ("a.jsonl", '{"prompt": "a"}\n\n{"prompt"\n', r"a\.jsonl, line 3 is not JSON"),
    "json list": ("a.jsonl", '["a"]\n', "line 1 is '\\[\"a\"\\]', not a JSON object"),
    "lone surrogate": ("a.jsonl", '{"prompt": "\\ud800"}\n', "column 'prompt'"),
    "mixed types": ("a.jsonl", '{"prompt": "a", "n": 1}\n{"prompt": "a", "n": "x"}\n', "column 'n' .* one type"),
    "huge number": ("a.jsonl", '{"prompt": "a", "n": 1' + "0" * 30 + "}\n", "column 'n'"),
    "mixed far apart": ("a.jsonl", '{"n": 1}\n' * 10_000 + '{"n": "x"}\n', "cannot be read"),
    "ragged csv": ("a.csv", "prompt,n\na,1\nb,2,3\n", r"a\.csv .* Row #3: Expected 2 columns, got 3"),
    "open quote": ("a.csv", 'prompt,n\n"a,1\nb,2\n', "Row #2"),
    "repeated column": ("a.csv", "prompt,n,n\na,1,2\n", "more than one column 'n'"),
    "latin-1 txt": ("a.txt", "caf\xe9\n".encode("latin-1"), "not UTF-8"),
    "latin-1 jsonl": ("a.jsonl", '{"prompt": "caf\xe9"}\n'.encode("latin-1"), "not UTF-8"),
    "latin-1 csv": ("a.csv", "prompt\ncaf\xe9\n".encode("latin-1"), "not UTF-8"),
    "latin-1 column": ("a.csv", "prompt,label\na,gr\xfcn\nb,rot\n".encode("latin-1"), "not UTF-8.* Save it as UTF-8"),
    "latin-1 header": ("a.tsv", "prompt\tgr\xf6\xdfe\na\t1\n".encode("latin-1"), "not UTF-8"),
    "utf-16 csv": ("a.csv", "prompt,n\na,1\n".encode("utf-16"), "not UTF-8"),
    "not parquet": ("a.parquet", "prompt\n", r"a\.parquet cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_faulty_file_is_one_clear_error(fault: str) -> None:
    """Each fault names the file and what was found there."""
    name, content, message = FAULTS[fault]
    with pytest.raises(SourceError, match=message):
        rows_of_file(name, content)


def test_a_missing_file_is_one_clear_error() -> None:
    """A missing file is named, with the folder that relative paths start in."""
    with pytest.raises(SourceError, match=r"nowhere\.txt does not exist; relative paths start in"):
        read_rows(FilePrompts(path=Path("nowhere.txt")))
