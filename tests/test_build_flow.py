"""The flow, end to end: a recipe in, a dataset folder out, through a real Prefect server."""

import asyncio
import base64
import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import Image, load_dataset

from flows.build_image_dataset import build_image_dataset
from tasks_lib import Distiset
from tasks_lib.errors import OutputError, RecipeError, StopError, TooManyFailuresError
from tasks_lib.folder import StagedFolder
from tests.endpoint import Endpoint
from tests.endpoint_images import shows_prompt
from tests.recipes import drawn_by, recipe_for

Build = Callable[..., Distiset]
FLAT = {"type": "tests.custom_tasks:FlatColour"}


def shards(folder: Path = Path("dataset")) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*-of-*.parquet"))
    }


def test_two_hundred_prompts_round_trip(build_dataset: Build, endpoint: Endpoint) -> None:
    """Each of 200 prompts comes back in order with the pixels the endpoint sent for it, from load_dataset."""
    rows = [{"prompt": f"prompt number {number}", "label": number % 7} for number in range(200)]
    distiset = build_dataset(recipe_for(endpoint, rows, batch_size=32))
    assert len(endpoint.calls) == 200
    read = load_dataset("dataset")["train"]
    assert [row["prompt"] for row in read] == [row["prompt"] for row in rows]
    assert [row["label"] for row in read] == [row["label"] for row in rows]
    assert isinstance(read.features["image"], Image)
    sent = {call.prompt: call.parameters for call in endpoint.calls}
    for row in read:
        assert shows_prompt(row["image"], row["prompt"], sent[row["prompt"]])
    assert distiset["default"]["train"][5]["image"].tobytes() == read[5]["image"].tobytes()
    assert set(read["status"]) == {"ok"}


def test_the_folder_holds_what_it_promises(build_dataset: Build, endpoint: Endpoint) -> None:
    """The dataset folder has card, shards, gallery, recipe and ledger, and nothing is left beside it."""
    distiset = build_dataset(recipe_for(endpoint, ["a cat", "a dog"]))
    names = {path.name for path in Path("dataset").iterdir()}
    assert names == {"README.md", "data", "gallery.html", "ledger.parquet", "recipe.yaml", "samples"}
    assert {path.name for path in Path().iterdir()} == {"dataset", "store"}
    assert distiset.report is not None
    assert distiset.report.headline == "2 of 2 images, cost unknown"


def test_a_rerun_makes_no_call_and_the_same_shards(build_dataset: Build, endpoint: Endpoint) -> None:
    """Building again asks nothing and writes byte-identical shards."""
    recipe = recipe_for(endpoint, [f"prompt {number}" for number in range(40)], batch_size=16)
    build_dataset(recipe)
    before, calls = shards(), len(endpoint.calls)
    report = build_dataset(recipe).report
    assert len(endpoint.calls) == calls == 40
    assert shards() == before
    assert report is not None
    assert (report.asked, report.from_store) == (0, 40)


def test_editing_one_prompt_makes_one_call(build_dataset: Build, endpoint: Endpoint) -> None:
    """One edited prompt and one inserted row cost two calls; all other images stay as they were."""
    prompts = [f"prompt {number}" for number in range(20)]
    first = build_dataset(recipe_for(endpoint, prompts))["default"]["train"]
    edited = ["a new first row", *prompts[:7], "edited", *prompts[8:]]
    second = build_dataset(recipe_for(endpoint, edited))["default"]["train"]
    assert sorted(call.prompt for call in endpoint.calls[20:]) == ["a new first row", "edited"]
    images = dict(zip(first["prompt"], first["generation"], strict=True))
    for prompt, generation in zip(second["prompt"], second["generation"], strict=True):
        assert prompt not in images or generation == images[prompt]


def test_equal_prompts_get_different_images(build_dataset: Build, endpoint: Endpoint) -> None:
    """One prompt in many rows, over several batches, gives as many different images, and again the same ones."""
    recipe = recipe_for(endpoint, ["a cat"] * 30, batch_size=8, task={"num_generations": 2})
    rows = build_dataset(recipe)["default"]["train"]
    assert len({row["image_sha256"] for row in rows["generation"]}) == 60
    build_dataset({**recipe, "batch_size": 7})
    assert len(endpoint.calls) == 60


def test_every_row_is_accounted_for(build_dataset: Build, endpoint: Endpoint) -> None:
    """Refused and failed rows stand in the config ``failed`` with their reasons; configs and ledger add up."""
    prompts = ["a cat", "a dog {{refused-openai}}", "a cow {{500 times=inf}}", "", "a hen"]
    recipe = recipe_for(endpoint, prompts, limits={"max_failure_rate": 1.0, "max_attempts": 2})
    distiset = build_dataset(recipe)
    assert distiset["default"]["train"]["prompt"] == ["a cat", "a hen"]
    failed = distiset["failed"]["train"]
    assert failed["prompt"] == prompts[1:4]
    assert failed["status"] == ["refused", "failed", "failed"]
    assert all(failed["error"])
    assert failed["image"] == [None, None, None]
    ledger = pq.read_table("dataset/ledger.parquet").to_pylist()
    assert [entry["row"] for entry in ledger] == [0, 1, 2, 3, 4]
    assert [entry["status"] for entry in ledger] == ["ok", "refused", "failed", "failed", "ok"]
    assert [entry["attempts"] for entry in ledger] == [1, 1, 2, 0, 1]
    assert load_dataset("dataset", "failed")["train"]["status"] == failed["status"]


def test_too_many_failures_fail_the_run_after_writing(build_dataset: Build, endpoint: Endpoint) -> None:
    """Above ``max_failure_rate`` the run fails, and what there is stands in the folder all the same."""
    prompts = ["a cat", "a dog {{500 times=inf}}"]
    with pytest.raises(TooManyFailuresError, match=r"1 of 2 generations failed.*0\.2.*500"):
        build_dataset(recipe_for(endpoint, prompts, limits={"max_attempts": 1}))
    assert load_dataset("dataset")["train"]["prompt"] == ["a cat"]


def test_a_rejected_key_stops_the_run_and_keeps_what_was_paid(build_dataset: Build, endpoint: Endpoint) -> None:
    """A 401 ends the run with one error; the earlier dataset stays, and paid images are not asked again."""
    build_dataset(recipe_for(endpoint, ["a cat"]))
    prompts = ["a cat", *(f"prompt {number}" for number in range(9)), "a dog {{401}}"]
    with pytest.raises(StopError, match=r"answered 401.*the key was rejected"):
        build_dataset(recipe_for(endpoint, prompts, limits={"max_concurrency": 1}))
    assert load_dataset("dataset")["train"]["prompt"] == ["a cat"]
    build_dataset(recipe_for(endpoint, prompts[:-1]))
    assert len(endpoint.calls_for("prompt 0")) == 1


def test_a_cap_ends_the_run_in_order(build_dataset: Build, endpoint: Endpoint) -> None:
    """``max_images`` leaves a valid dataset of that many, the rest in the ledger as not asked; the next run goes on."""
    prompts = [f"prompt {number}" for number in range(12)]
    report = build_dataset(recipe_for(endpoint, prompts, limits={"max_images": 5})).report
    assert report is not None
    assert (report.counts, len(endpoint.calls)) == ({"ok": 5, "not_asked": 7}, 5)
    assert len(load_dataset("dataset")["train"]) == 5
    build_dataset(recipe_for(endpoint, prompts, limits={"max_images": 50}))
    assert len(endpoint.calls) == 12


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
    """With ``group_generations`` a row holds the list of its images and of their facts, and splits do not part them."""
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
    assert "blank" in row["error"]
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
    assert list(distiset) == ["rejected"] and len(load_dataset("dataset", "rejected")["train"]) == 2


def test_a_build_that_asks_nothing_leaves_its_account(build_dataset: Build, endpoint: Endpoint) -> None:
    """With a cap that is used up, the folder holds card, gallery and ledger, and says that nothing was asked."""
    distiset = build_dataset(recipe_for(endpoint, ["a cat"], limits={"max_images": 0}))
    assert distiset == {} and distiset.report is not None and distiset.report.counts == {"not_asked": 1}
    assert pq.read_table("dataset/ledger.parquet")["status"].to_pylist() == ["not_asked"]


def test_a_second_build_of_a_folder_waits_for_nobody_and_asks_nothing(build_dataset: Build, endpoint: Endpoint) -> None:
    """While a build is at work on a folder, another one is refused in a sentence before it pays; later it is not."""
    at_work = StagedFolder("dataset")
    with pytest.raises(OutputError, match=r"another build is at work on .*dataset\. Wait for its end"):
        build_dataset(recipe_for(endpoint, ["a cat"]))
    assert not endpoint.calls and at_work.path.exists()
    at_work.abandon()
    build_dataset(recipe_for(endpoint, ["a cat"]))
    assert [path.name for path in Path().glob(".dataset*")] == []


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
    build_dataset(recipe_for(endpoint, ["a cat"], marking="none"))
    cell = load_dataset("dataset")["train"].cast_column("image", Image(decode=False))[0]["image"]
    assert cell["bytes"] == kept


def test_an_output_that_is_no_dataset_is_left_alone(build_dataset: Build, in_folder: Path) -> None:
    """A folder with other things in it is never replaced, and nothing is asked."""
    Path("dataset").mkdir()
    Path("dataset/thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match=r"not a dataset built by imageloom"):
        build_dataset(drawn_by(FLAT, ["a cat"]))
    assert Path("dataset/thesis.txt").read_text() == "years of work"
    assert not Path("store").exists()


def test_clashing_columns_are_named_before_the_first_call(build_dataset: Build, endpoint: Endpoint) -> None:
    """A source column called like an output is one error, before anything is asked."""
    with pytest.raises(RecipeError, match=r"the column 'image'.*output_mappings"):
        build_dataset(recipe_for(endpoint, [{"prompt": "a cat", "image": "x"}]))
    assert not endpoint.calls


def test_base64_of_a_row_is_what_the_dataset_holds(build_dataset: Build, endpoint: Endpoint) -> None:
    """Bytes are never re-encoded on the way: unmarked, the cell is the endpoint's answer."""
    build_dataset(recipe_for(endpoint, ["a cat [jpeg]", "a dog [webp]"], marking="none"))
    cells = load_dataset("dataset")["train"].cast_column("image", Image(decode=False))["image"]
    sent = [base64.b64encode(endpoint.image_for(call.prompt, call.parameters)) for call in endpoint.calls]
    assert sorted(base64.b64encode(cell["bytes"]) for cell in cells) == sorted(sent)


@pytest.mark.parametrize("name", ["colour-shapes", "shape-scenes"])
def test_the_offline_examples_build(prefect_server: None, in_folder: Path, name: str) -> None:
    """Each example that needs no key builds, complete, with the values of its template as columns."""
    recipe = Path(__file__).parent.parent / "deployments" / "recipes" / f"{name}.yaml"
    report = asyncio.run(build_image_dataset(str(recipe), limit=12)).report
    assert report is not None
    assert report.counts["ok"] >= 11
    assert "colour" in load_dataset(f"datasets/{name}")["train"].column_names
