"""Inputs that cannot become a dataset are each one clear error, before anything is spent or written."""

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as pq
import pytest
import yaml

from tasks_lib.build import Build
from tasks_lib.errors import OutputError, RecipeError, SourceError, UsageError
from tasks_lib.recipe import load_recipe
from tests.recipes import FLAT, drawn_by


def jsonl(*lines: str) -> dict[str, str]:
    """A file of prompts in the current folder."""
    Path("prompts.jsonl").write_text("".join(line + "\n" for line in lines))
    return {"path": "prompts.jsonl"}


FILES: dict[str, tuple[list[str], str]] = {
    "lone surrogate": (
        ['{"prompt": "a"}', '{"prompt": "x \\ud800"}'],
        r"column 'prompt' of prompts\.jsonl holds 'x \\ud800' in its row 2, half of a surrogate pair",
    ),
    "lone surrogate in a name": (
        ['{"prompt": "a", "\\udc00": 1}'],
        r"has a column named '\\udc00', half of a surrogate",
    ),
    "text and numbers": (
        ['{"prompt": "a"}', '{"prompt": 7}'],
        r"column 'prompt' of prompts\.jsonl does not have values of one type: its row 2 holds 7 .* in quotes",
    ),
    "numbers": (['{"prompt": 7}'], "column 'prompt' of prompts.jsonl holds int64, not text; put its values in quotes"),
    "lists": (['{"prompt": ["a"]}'], "holds list<.*>, not text"),
    "a bottomless list": (["[" * 100_000], "line 1 is nested too deeply"),
    "an empty mapping": (
        ['{"prompt": "a", "meta": {}}'],
        "column 'meta' of type struct<>, which a dataset cannot hold: .* Leave it out",
    ),
}


@pytest.mark.parametrize("fault", FILES)
def test_a_file_that_bites_is_one_error(in_folder: Path, fault: str) -> None:
    """What no dataset can hold is told with its column and row, before the store or the output is touched."""
    lines, message = FILES[fault]
    with pytest.raises(SourceError, match=message):
        Build(load_recipe(drawn_by(FLAT, jsonl(*lines))))
    assert [path.name for path in in_folder.iterdir()] == ["prompts.jsonl"]


UNHELD: dict[str, tuple[str, pyarrow.Array, str]] = {
    "a map": (
        "m",
        pyarrow.array([[("k", 1)]], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
        "map<string, int64.*>",
    ),
    "a view": ("v", pyarrow.array(["x"], pyarrow.string_view()), "string_view"),
    "a list of views": ("v", pyarrow.array([["x"]], pyarrow.list_(pyarrow.string_view())), "list<.*string_view>"),
    "a reserved name": ("_type", pyarrow.array(["x"]), "string"),
    "a reserved name within": ("s", pyarrow.array([[{"_type": "x"}]]), "list<.*_type: string>>"),
}


@pytest.mark.parametrize("fault", UNHELD)
def test_a_column_that_no_dataset_holds_is_one_error(in_folder: Path, fault: str) -> None:
    """A column whose type or name a dataset or its card cannot have is named before anything is spent."""
    name, column, found = UNHELD[fault]
    pq.write_table(pyarrow.table({"prompt": ["a"], name: column}), "prompts.parquet")
    with pytest.raises(
        SourceError, match=f"column '{name}' of type {found}, which a dataset cannot hold: .* rename it"
    ):
        Build(load_recipe(drawn_by(FLAT, {"path": "prompts.parquet"})))
    assert [path.name for path in in_folder.iterdir()] == ["prompts.parquet"]


SPLITS = ["../x", "/absolute", "a b", "a/b", "a-b", "", None, "train\n", "x" * 101, "é" * 51, "all"]


@pytest.mark.parametrize("name", SPLITS)
def test_a_split_is_never_a_path(in_folder: Path, name: str | None) -> None:
    """A row that names a split by what is no name is told, before a file is written anywhere."""
    prompts = jsonl('{"prompt": "a", "part": "train"}', json.dumps({"prompt": "b", "part": name}))
    with pytest.raises(SourceError, match=r"column 'part'.* in row 1 \(the first is 0\)\. The name of a split is"):
        Build(load_recipe(drawn_by(FLAT, prompts, output={"path": "./dataset", "splits": "part"})))
    assert [path.name for path in in_folder.iterdir()] == ["prompts.jsonl"]


def test_a_column_of_prompts_names_no_splits(in_folder: Path) -> None:
    """A column that would make a split of nearly every row is taken for the slip that it is."""
    prompts = jsonl(*(json.dumps({"prompt": f"p{number}"}) for number in range(101)))
    with pytest.raises(SourceError, match=r"names 101 splits; at most 100 can be made\. Name another column"):
        Build(load_recipe(drawn_by(FLAT, prompts, output={"path": "./dataset", "splits": "prompt"})))


RECIPES: dict[str, tuple[dict[str, Any], str]] = {
    "a name that is a path": ({"name": "../../x"}, r"name: must begin with a letter or a digit, .*'\.\./\.\./x'"),
    "a name with a line end": ({"name": "x\n"}, "name: must begin with a letter or a digit"),
    "an output with a null byte": ({"output": {"path": "a\0b"}}, r"a\\x00b' cannot be written: embedded null byte"),
    "an output too long": ({"output": {"path": "x" * 300}}, "cannot be written: .*File name too long"),
    "a split that is a path": (
        {"output": {"path": "x", "splits": {"../x": 1.0}}},
        r"split names are up to 100 letters, digits and underscores, and not 'all'; found \['\.\./x'\]",
    ),
    "a split too long": ({"output": {"path": "x", "splits": {"x" * 101: 1.0}}}, "split names are up to 100 letters"),
    "the split that means all": (
        {"output": {"path": "x", "splits": {"all": 1.0}}},
        r"split names are .* and not 'all'; found \['all'\]",
    ),
    "a number among strings": ({"prompts": ["a", 7]}, "prompt 2 is 7, not a string"),
    "bytes": (
        {"prompts": [{"prompt": "a", "b": b"\xff"}]},
        r"prompt 1 has the bytes b'\\xff' in 'b'; write it as text",
    ),
    "a date": ({"prompts": "[{prompt: a, day: 2024-01-01}]"}, "prompt 1 has the date .* in 'day'; write it as text"),
    "no number": ({"prompts": "[{prompt: a, x: [{y: .nan}]}]"}, "prompt 1 has the float nan in 'x'"),
    "a lone surrogate": ({"prompts": '["a", "\\uD800"]'}, "column 'prompt' of the list of prompts .* its row 2"),
    **{
        f"the column {name}": (
            {"prompts": [{"prompt": "a", name: "x"}]},
            f"the prompts have the column '{name}', which the dataset needs for itself. Rename it",
        )
        for name in ("image", "model_name", "status", "error", "generation")
    },
}


@pytest.mark.parametrize("fault", RECIPES)
def test_a_recipe_that_bites_is_one_error(in_folder: Path, fault: str) -> None:
    """Names that are paths, columns that clash and values that no recipe holds are told before anything is spent."""
    settings, message = RECIPES[fault]
    with pytest.raises(UsageError, match=message) as caught:
        Build(load_recipe({**drawn_by(FLAT, ["a"]), **in_yaml(settings)}))
    assert isinstance(caught.value, OutputError | RecipeError | SourceError)
    assert list(in_folder.iterdir()) == []


def in_yaml(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of which `prompts` may be written as YAML."""
    written = settings.get("prompts")
    return {**settings, "prompts": yaml.safe_load(written)} if isinstance(written, str) else settings
