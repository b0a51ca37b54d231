"""What stands in the dataset that the flow builds: columns, configs and splits, and the bytes of its images."""

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import Image, load_dataset
from PIL import Image as PILImage

from tasks_lib.errors import StopError
from tests.endpoint import Endpoint
from tests.recipes import FLAT, Build, drawn_by, recipe_for


def pixels_of(data: bytes) -> bytes:
    return PILImage.open(io.BytesIO(data)).tobytes()


@pytest.mark.parametrize(
    ("task", "prompts", "columns"),
    [
        ("PosterTask", [{"subject": "a fox"}, {"subject": "an owl"}], ["subject", "picture", "asked", "model_name"]),
        ("DocumentedTask", ["a fox", "an owl"], ["prompt", "image", "model_name"]),
        ("CountingTask", ["a fox", "an owl"], ["prompt", "image", "model_name", "letters"]),
        ("ThumbnailTask", ["a fox", "an owl"], ["prompt", "image", "thumbnail", "model_name"]),
    ],
)
def test_own_tasks_run_in_the_flow(build_dataset: Build, task: str, prompts: Any, columns: list[str]) -> None:
    """A task of a user's own, named by import path, gives its columns typed, with provenance of every image."""
    recipe = drawn_by(FLAT, prompts, task={"type": f"tests.custom_tasks:{task}"})
    rows = build_dataset(recipe)["default"]["train"]
    assert rows.column_names == [*columns, "status", "error", "generation"]
    assert all(generation["image_sha256"] for generation in rows["generation"])
    pictures = [name for name, feature in rows.features.items() if isinstance(feature, Image)]
    assert pictures == [name for name in columns if name in {"image", "picture", "thumbnail"}]
    read = load_dataset("dataset")["train"]
    assert read.features == rows.features
    assert read[0][pictures[-1]].size == ((16, 16) if task == "ThumbnailTask" else (32, 32))


def test_grouped_generations_stay_together(build_dataset: Build) -> None:
    """With ``group_generations`` a row holds the list of its images and of their facts."""
    recipe = drawn_by(FLAT, ["a fox", "an owl"], task={"num_generations": 3, "group_generations": True})
    build_dataset(recipe)
    (row, _) = load_dataset("dataset")["train"]
    assert [image.size for image in row["image"]] == [(32, 32)] * 3
    assert len({generation["fingerprint"] for generation in row["generation"]}) == 3
    assert pq.read_table("dataset/ledger.parquet")["generation"].to_pylist() == [0, 1, 2, 0, 1, 2]


def test_a_task_that_loses_rows_is_found_out(build_dataset: Build) -> None:
    """A custom ``process`` that drops a row ends the run with the task's name and the two numbers."""
    with pytest.raises(StopError, match=r"Forgetful' gave 2 rows for 3"):
        build_dataset(drawn_by(FLAT, ["a", "b", "c"], task={"type": "tests.custom_tasks:Forgetful"}))


def test_checks_move_images_to_their_own_config(build_dataset: Build, endpoint: Endpoint) -> None:
    """What a check turns down stands in the config ``rejected`` with its reason, and its image."""
    recipe = recipe_for(endpoint, ["a cat", "night {{black}}", "a dog"], checks={"blank": True})
    distiset = build_dataset(recipe)
    assert distiset["default"]["train"]["prompt"] == ["a cat", "a dog"]
    (row,) = load_dataset("dataset", "rejected")["train"]
    assert row["prompt"] == "night {{black}}"
    assert row["error"] == "blank: every pixel is within 2 levels of (0, 0, 0)"
    assert row["image"].getextrema() == ((0, 0), (0, 0), (0, 0))


def test_a_row_keeps_its_split(build_dataset: Build) -> None:
    """Splits by share follow the recipe's shares, and a row stays in its split whatever is added."""
    prompts = [f"prompt {number}" for number in range(300)]
    splits = {"path": "./dataset", "splits": {"train": 0.8, "test": 0.2}}
    first = build_dataset(drawn_by(FLAT, prompts, output=splits))["default"]
    assert 40 <= len(first["test"]) <= 80
    second = build_dataset(drawn_by(FLAT, ["new", *prompts], output=splits))["default"]
    assert set(first["test"]["prompt"]) <= set(second["test"]["prompt"])
    assert not set(first["train"]["prompt"]) & set(second["test"]["prompt"])


def test_a_split_without_rows_is_left_out(build_dataset: Build) -> None:
    """A split that no row fell into does not keep the others from being loaded."""
    splits = {"path": "./dataset", "splits": {"train": 0.99, "test": 0.01}}
    distiset = build_dataset(drawn_by(FLAT, ["a", "b", "c", "d"], output=splits))
    assert {name: len(split) for name, split in load_dataset("dataset").items()} == {"train": 4}
    assert list(distiset["default"]) == ["train"]


def test_a_dataset_without_a_good_image_is_loadable(build_dataset: Build) -> None:
    """When a check turns every image down, `rejected` is loaded as the card says, and the Distiset holds the same."""
    distiset = build_dataset(drawn_by(FLAT, ["a", "b"], checks={"min_side": 5000}))
    example = re.search(r"```python\n(.*?)```", Path("dataset/README.md").read_text(), flags=re.DOTALL)
    assert example is not None
    subprocess.run([sys.executable, "-c", example[1]], check=True, timeout=60)
    rejected = load_dataset("dataset", "rejected")["train"]
    assert (list(distiset), rejected["prompt"]) == (["rejected"], ["a", "b"])
    for column in ("prompt", "error"):
        assert distiset["rejected"]["train"][column] == rejected[column]


def test_a_column_may_name_the_split(build_dataset: Build) -> None:
    """``splits: column`` takes each row's split from that column."""
    rows = [{"prompt": f"prompt {number}", "part": "train" if number % 3 else "validation"} for number in range(9)]
    recipe = drawn_by(FLAT, rows, output={"path": "./dataset", "splits": "part"})
    assert {name: len(split) for name, split in build_dataset(recipe)["default"].items()} == {
        "validation": 3,
        "train": 6,
    }
    assert len(load_dataset("dataset")["validation"]) == 3


def test_marking_leaves_pixels_and_store_alone(build_dataset: Build, endpoint: Endpoint) -> None:
    """Images in the dataset carry IPTC marking, the store keeps the bytes as they came, the pixels are equal."""
    build_dataset(recipe_for(endpoint, ["a cat"]))
    cell = load_dataset("dataset")["train"].cast_column("image", Image(decode=False))[0]["image"]
    assert b"trainedAlgorithmicMedia" in cell["bytes"]
    (call,) = endpoint.calls
    kept = next(Path("store").rglob("*.png")).read_bytes()
    assert kept == endpoint.image_for(call.prompt, call.parameters)
    assert pixels_of(cell["bytes"]) == pixels_of(kept)
    build_dataset(recipe_for(endpoint, ["a cat"], marking="none"))
    cell = load_dataset("dataset")["train"].cast_column("image", Image(decode=False))[0]["image"]
    assert cell["bytes"] == kept


def test_the_bytes_of_a_row_are_what_the_endpoint_sent(build_dataset: Build, endpoint: Endpoint) -> None:
    """Bytes are never re-encoded on the way: unmarked, the cell is the endpoint's answer."""
    build_dataset(recipe_for(endpoint, ["a cat [jpeg]", "a dog [webp]"], marking="none"))
    cells = load_dataset("dataset")["train"].cast_column("image", Image(decode=False))["image"]
    sent = [endpoint.image_for(call.prompt, call.parameters) for call in endpoint.calls]
    assert sorted(cell["bytes"] for cell in cells) == sorted(sent)
