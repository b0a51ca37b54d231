"""The flow, end to end: a recipe in, a dataset folder out, through a real Prefect server."""

import asyncio
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from datasets import Image, load_dataset

from flows.build_image_dataset import build_image_dataset
from tasks_lib.errors import OutputError, RecipeError, StopError, TooManyFailuresError
from tasks_lib.folder import StagedFolder
from tasks_lib.recipe import load_recipe
from tests.built_folders import shards
from tests.endpoint import Endpoint
from tests.endpoint_images import shows_prompt
from tests.recipes import FLAT, Build, drawn_by, recipe_for


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
    told = dict(report.lines())["ended early"]
    assert told == "limits.max_images (5) leaves no room for another image. Build again for the rest."
    assert len(load_dataset("dataset")["train"]) == 5
    build_dataset(recipe_for(endpoint, prompts, limits={"max_images": 50}))
    assert len(endpoint.calls) == 12


def test_a_build_that_asks_nothing_leaves_its_account(build_dataset: Build, endpoint: Endpoint) -> None:
    """With a cap that is used up, the folder holds card, gallery and ledger, and says that nothing was asked."""
    distiset = build_dataset(recipe_for(endpoint, ["a cat"], limits={"max_images": 0}))
    assert distiset == {} and distiset.report is not None and distiset.report.counts == {"not_asked": 1}
    assert pq.read_table("dataset/ledger.parquet")["status"].to_pylist() == ["not_asked"]


def test_a_second_build_of_a_folder_waits_for_nobody_and_asks_nothing(build_dataset: Build, endpoint: Endpoint) -> None:
    """While a build is at work on a folder, another one is refused in a sentence before it pays; later it is not."""
    at_work = StagedFolder("dataset")
    with pytest.raises(OutputError, match=r"another build, save or export is at work on .*dataset\. Wait for its end"):
        build_dataset(recipe_for(endpoint, ["a cat"]))
    assert not endpoint.calls and at_work.path.exists()
    at_work.abandon()
    build_dataset(recipe_for(endpoint, ["a cat"]))
    assert [path.name for path in Path().glob(".dataset*")] == []


def test_an_output_that_is_no_dataset_is_left_alone(build_dataset: Build, in_folder: Path) -> None:
    """A folder with other things in it is never replaced, and nothing is asked."""
    Path("dataset").mkdir()
    Path("dataset/thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match=r"not a dataset built by imageloom .*output\.path of a recipe"):
        build_dataset(drawn_by(FLAT, ["a cat"]))
    assert Path("dataset/thesis.txt").read_text() == "years of work"
    assert not Path("store").exists()


def test_clashing_columns_are_named_before_the_first_call(build_dataset: Build, endpoint: Endpoint) -> None:
    """A source column called like an output is one error, before anything is asked."""
    with pytest.raises(RecipeError, match=r"the column 'image'.*output_mappings"):
        build_dataset(recipe_for(endpoint, [{"prompt": "a cat", "image": "x"}]))
    assert not endpoint.calls


@pytest.mark.parametrize("name", ["colour-shapes", "shape-scenes"])
def test_the_offline_examples_build(prefect_server: None, in_folder: Path, name: str) -> None:
    """Each example that needs no key builds, complete, with the values of its template as columns."""
    recipe = Path(__file__).parent.parent / "deployments" / "recipes" / f"{name}.yaml"
    report = asyncio.run(build_image_dataset(str(recipe), limit=12)).report
    assert report is not None
    assert report.counts["ok"] >= 11
    assert "colour" in load_dataset(f"datasets/{name}")["train"].column_names


def test_a_recipe_is_built_from_its_path(prefect_server: None, in_folder: Path) -> None:
    """A pathlib.Path is as good as a text."""
    Path("recipe.yaml").write_text(load_recipe(drawn_by(FLAT, ["a cat"])).to_yaml())
    report = asyncio.run(build_image_dataset(Path("recipe.yaml"))).report
    assert report is not None and report.images == 1
