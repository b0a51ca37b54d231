"""The types of a task's outputs: found out from its rows, kept for the whole dataset, and never bent."""

from pathlib import Path
from typing import Any

import pytest
from datasets import Features, Image, List, Value, load_dataset

from tasks_lib import ImageStore
from tasks_lib.errors import StopError
from tasks_lib.shards import ShardWriter
from tests.built_folders import build_recipe, picture, shards, write_dataset
from tests.endpoint import Endpoint
from tests.recipes import FLAT, drawn_by, recipe_for

pytestmark = pytest.mark.usefixtures("in_folder")

REFUSED, GOOD = "night {{refused-hf}}", "a cat"
POSTER = {"type": "tests.custom_tasks:PosterTask"}


def built(endpoint: Endpoint, prompts: list[str], task: dict[str, Any]) -> Features:
    """Build, one row a batch; the types that load_dataset finds, the same in every config."""
    rows: Any = [{"prompt": prompt, "subject": prompt} for prompt in prompts]
    if task["type"] == "image_editing":
        images = [{**row, "image": {"bytes": picture("red"), "path": None}} for row in rows]
        types = {"prompt": Value("string"), "subject": Value("string"), "image": Image()}
        rows = {"dataset": str(write_dataset(Path("source"), Features(types), images))}
    build_recipe(recipe_for(endpoint, rows, task=task, batch_size=1, limits={"max_failure_rate": 1.0}))
    configs = ["failed", "default"] if GOOD in prompts else ["failed"]
    found = [load_dataset("dataset", config, split="train").features for config in configs]
    assert all(each == found[0] for each in found)
    assert not any(b"imageloom+" in (Path("dataset") / path).read_bytes() for path in shards())
    return found[0]


TASKS = [
    ({"type": "image_generation"}, "image"),
    ({"type": "image_generation", "output_mappings": {"image": "picture"}}, "picture"),
    ({"type": "image_editing"}, "edited_image"),
    (POSTER, "picture"),
]


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(("task", "column"), TASKS)
def test_images_that_come_late_are_images(endpoint: Endpoint, task: dict[str, Any], column: str, grouped: bool) -> None:
    """When no row of the first batches has an image, the column is one of images all the same, whatever its name."""
    features = built(endpoint, [REFUSED, REFUSED + "!", GOOD], {**task, "group_generations": grouped})
    assert features[column] == (List(Image()) if grouped else Image())


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(("task", "column"), TASKS[:3])
def test_images_that_never_come(endpoint: Endpoint, task: dict[str, Any], column: str, grouped: bool) -> None:
    """When every row of a built-in task failed, the column that has no image is one of images."""
    features = built(endpoint, [REFUSED, REFUSED + "!"], {**task, "group_generations": grouped})
    assert features[column] == (List(Image()) if grouped else Image())


def scored(*scores: Any, named: bool = True) -> dict[str, Any]:
    """A recipe whose task gives each row one of these scores; in batches of one row."""
    task = {"type": "tests.custom_tasks:ScoringTask", "scores": list(scores), "named": named}
    prompts: Any = [{"prompt": f"image {number}", "number": number} for number in range(len(scores))]
    return drawn_by(FLAT, prompts, task=task, batch_size=1)


@pytest.mark.parametrize(
    ("scores", "feature"),
    [
        ([None, None, 3], Value("int64")),
        ([None, 0.5, 1], Value("float64")),
        ([[], ["a"], None], List(Value("string"))),
        ([None, None, None], Value("string")),
        ([{"a": 1, "b": "x"}, {"a": None}, None], {"a": Value("int64"), "b": Value("string")}),
        ([{"a": 1, "b": None}, {"a": 2, "b": "x"}], {"a": Value("int64"), "b": Value("string")}),
        ([[{"a": None}], [{"a": 1}]], List({"a": Value("int64")})),
    ],
)
def test_the_first_value_tells_the_type(scores: list[Any], feature: Any) -> None:
    """An output has the type of its first value, however late it comes; rows before and after it hold what they had."""
    build_recipe(scored(*scores))
    rows = load_dataset("dataset", split="train")
    assert rows.features["score"] == feature
    expected = [{"b": None, **each} if isinstance(each, dict) else each for each in scores]
    assert rows["score"] == expected
    assert rows["number"] == list(range(len(scores)))


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ([1, 0.5], r"int64, and now it holds double"),
        ([[1], [0.5]], r"list<item: int64>, and now it holds list<item: double>"),
        (["a", 1], r"string: .*"),
        ([1, "a"], r"int64: .*"),
        ([True, 5], r"bool: .*"),
        ([{"a": 1}, {"a": 2, "b": 3}], r"struct<a: int64>, and now it holds struct<a: int64, b: int64>"),
        ([1, 2**80], r"int64: .*"),
    ],
)
def test_an_output_that_changes_its_type(scores: list[Any], told: str) -> None:
    """A value that does not fit the column ends the build with column, types and a way out; nothing is rounded."""
    with pytest.raises(StopError, match=rf"the output column 'score' .*{told}.*Give it one type .*is in the store"):
        build_recipe(scored(*scores))
    assert not Path("dataset").exists()
    assert ImageStore("store").stats().images == 2


def test_an_output_of_two_types_in_one_batch() -> None:
    """So does a first batch that holds values of two types."""
    with pytest.raises(StopError, match=r"the output column 'score' cannot hold its values as one type: .*Give it one"):
        build_recipe({**scored("a", 1), "batch_size": 2})


def test_an_output_that_nobody_named() -> None:
    """A column that appears after the first rows ends the build, and is not dropped; named in the outputs, it stays."""
    with pytest.raises(StopError, match="the column 'score', which its first rows did not have"):
        build_recipe(scored(None, 3, named=False))
    build_recipe(scored(None, 3, named=True))
    assert load_dataset("dataset", split="train")["score"] == [None, 3]


@pytest.mark.parametrize(
    ("feature", "cell"),
    [
        (Value("string"), "REFERENCE"),
        (List(Value("string")), ["REFERENCE"]),
        (List(List(Value("string"))), [["REFERENCE"]]),
        ({"a": Value("string")}, {"a": "REFERENCE"}),
        (Image(), "a text"),
        (Image(), ["REFERENCE"]),
        (List(Image()), "REFERENCE"),
        (List(Image()), [3]),
    ],
)
def test_images_stand_in_columns_of_images_only(tmp_path: Path, feature: Any, cell: Any) -> None:
    """No place in the store is ever written as text, and nothing else as an image: the build ends, and says why."""
    store = ImageStore(tmp_path / "store")
    reference = store.put_file(picture("red"), "png")
    writer = ShardWriter(tmp_path, Features({"picture": feature}), store, None)
    with pytest.raises(StopError, match="the output column 'picture' changed its type: its first rows made it"):
        writer.write("default", "train", [{"picture": _with(cell, reference)}])
    writer.abandon()


def _with(cell: Any, reference: str) -> Any:
    if isinstance(cell, dict):
        return {name: _with(value, reference) for name, value in cell.items()}
    if isinstance(cell, list):
        return [_with(value, reference) for value in cell]
    return reference if cell == "REFERENCE" else cell
