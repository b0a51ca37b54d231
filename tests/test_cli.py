"""The command line as a shell sees it: output, errors and exit codes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import load_dataset

from tasks_lib.estimate import estimate
from tasks_lib.recipe import load_recipe
from tests.command import IMAGELOOM, imageloom
from tests.endpoint import Endpoint
from tests.loopback import LoopbackServer, Reply
from tests.processes import wait_until
from tests.recipes import Build, drawn_by, recipe_for

DRAWN = drawn_by({"type": "procedural", "width": 32, "height": 32}, [f"a red circle {n}" for n in range(12)])


@pytest.fixture
def recipe_file(in_folder: Path) -> Path:
    path = in_folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(DRAWN))
    return path


def test_build_says_what_it_did(recipe_file: Path, prefect_server: None) -> None:
    """``build`` ends with counts, cost, folder, gallery and lines of Python that load the dataset, and exits 0."""
    done = imageloom("build", "recipe.yaml", "--limit", "5", "--set", "output.splits={train: 1.0}", "--output", 'o"t')
    assert done.returncode == 0, done.stderr
    for part in ("5 of 5", "0.00 USD", str(Path('o"t').absolute()), "gallery.html"):
        assert part in done.stdout
    _, start, rest = done.stdout.partition("from datasets import load_dataset\n")
    look = 'print(len(dataset["train"]))\n'
    loaded = subprocess.run([sys.executable, "-c", start + rest + look], capture_output=True, text=True, timeout=120)
    assert loaded.stdout == "5\n", loaded.stderr


def test_json_is_alone_on_standard_output(recipe_file: Path, prefect_server: None) -> None:
    """With ``--json`` standard output is one JSON object, the report."""
    done = imageloom("build", "recipe.yaml", "--json")
    report = json.loads(done.stdout)
    assert (report["images"], report["counts"], report["asked"]) == (12, {"ok": 12}, 12)


def test_it_runs_without_a_server(recipe_file: Path, tmp_path: Path) -> None:
    """Without a configured API the command starts a server of its own, from a fresh home, whatever is around."""
    environment = {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"}
    environment |= {"PREFECT_SERVER_API_AUTH_STRING": "of:another-server", "HTTP_PROXY": "http://127.0.0.1:9"}
    Path("flows.py").write_text("raise ImportError('of another project')")
    command = [IMAGELOOM, "build", "recipe.yaml"]
    home = {"PREFECT_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment | home)
    assert done.returncode == 0, done.stderr
    assert "12 of 12 images" in done.stdout


def test_preview_has_a_hard_cap(build_dataset: Build, endpoint: Endpoint) -> None:
    """``preview`` asks for its rows and no more, beside the real dataset, and the build does not pay them again."""
    recipe = recipe_for(endpoint, [f"prompt {n}" for n in range(20)])
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
    done = imageloom("preview", "recipe.yaml", "-n", "3")
    assert done.returncode == 0, done.stderr
    assert len(endpoint.calls) == 3
    assert Path("dataset-preview/gallery.html").exists()
    assert not Path("dataset").exists()
    build_dataset(recipe)
    assert len(endpoint.calls) == 20


def test_estimate_agrees_with_the_build(build_dataset: Build, endpoint: Endpoint) -> None:
    """``estimate`` makes no call, and what it says is what the build then asks and spends."""
    recipe = recipe_for(endpoint, [f"prompt {n}" for n in range(6)], task={"num_generations": 2})
    recipe["task"]["image_generation_model"]["price_per_image_usd"] = 0.25
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
    build_dataset(recipe, limit=2)
    told = json.loads(imageloom("estimate", "recipe.yaml", "--json").stdout)
    assert (told["generations"], told["in_store"], told["to_ask"], told["cost_usd"]) == (12, 4, 8, 2.0)
    assert len(endpoint.calls) == 4
    for cap, expected in {"max_cost_usd=0.6": (2, 6, 0.5), "max_images=3": (3, 5, 0.75)}.items():
        capped = json.loads(imageloom("estimate", "recipe.yaml", "--set", f"limits.{cap}", "--json").stdout)
        assert (capped["to_ask"], capped["not_asked"], capped["cost_usd"]) == expected
    report = build_dataset(recipe).report
    assert report is not None
    assert (report.asked, report.spent_usd, report.total_usd) == (8, 2.0, 3.0)


def test_nothing_to_ask_costs_nothing(in_folder: Path) -> None:
    """Where a build would ask nothing, the estimate is 0 dollars, also for a model of unknown price."""
    recipe = drawn_by({"type": "inference_endpoints", "model_id": "a/b"}, ["a cat"], limits={"max_images": 0})
    counted = estimate(load_recipe(recipe))
    assert (counted.to_ask, counted.cost_usd) == (0, 0.0)
    assert estimate(load_recipe(recipe, {"limits.max_images": 1})).cost_usd is None


@pytest.mark.parametrize(
    ("change", "code", "sentence"),
    [
        ({"promts": ["x"]}, 2, "unknown key 'promts'; did you mean 'prompts'?"),
        ({"prompts": {"path": "nowhere.jsonl"}}, 2, "nowhere.jsonl"),
        ({"prompts": [{"text": "a cat"}]}, 2, "no column 'prompt'"),
        ({"output": {"path": "/proc/dataset"}}, 2, "'/proc/dataset' cannot be written"),
        ({"output": {"path": "."}}, 2, "not a dataset built by imageloom"),
        ({"task": {"image_generation_model": {"type": "inference_endpoints", "model_id": "a/b"}}}, 2, "HF_TOKEN"),
        ({"limits": {"max_failure_rate": 0.0}, "prompts": ["a cat", ""]}, 1, "1 of 2 generations failed"),
    ],
)
def test_a_mistake_is_one_sentence_without_a_traceback(
    recipe_file: Path, prefect_server: None, change: dict[str, Any], code: int, sentence: str
) -> None:
    """Each mistake ends with its exit code and one sentence on standard error, and no traceback."""
    recipe = {**DRAWN, **change}
    if "task" in change:
        recipe["task"] = {**DRAWN["task"], **change["task"]}
    recipe_file.write_text(yaml.safe_dump(recipe))
    done = imageloom("build", "recipe.yaml")
    assert done.returncode == code, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("imageloom: ")]
    assert sentence in line
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_debug_shows_the_traceback(in_folder: Path) -> None:
    """``--debug`` shows where an error came from."""
    done = imageloom("estimate", "nowhere.yaml", "--debug")
    assert "Traceback" in done.stderr
    assert "Traceback" not in imageloom("estimate", "nowhere.yaml").stderr


def test_the_store_can_be_looked_after(build_dataset: Build) -> None:
    """``stats`` counts, ``verify`` finds damage with exit code 1, ``prune`` keeps what datasets use."""
    build_dataset(DRAWN, limit=4)
    build_dataset({**DRAWN, "seed": 9, "output": {"path": "./another"}}, limit=2)
    stats = json.loads(imageloom("store", "stats", "--store", "store", "--json").stdout)
    assert stats["images"] == 6
    assert imageloom("store", "verify", "--store", "store").returncode == 0
    told = json.loads(imageloom("store", "prune", "--store", "store", "--keep", "dataset", "--json").stdout)
    assert len(told["would_remove"]) == 4
    imageloom("store", "prune", "--store", "store", "--keep", "dataset", "--yes")
    assert json.loads(imageloom("store", "stats", "--store", "store", "--json").stdout)["images"] == 4
    next(Path("store").rglob("*.png")).write_bytes(b"not what it was")
    assert imageloom("store", "verify", "--store", "store").returncode == 1


@pytest.mark.parametrize("command", [["stats"], ["verify"], ["prune", "--keep", "."]])
@pytest.mark.parametrize("place", ["nowhere", "memory://nowhere"])
def test_a_store_that_is_not_there_is_no_sound_store(in_folder: Path, command: list[str], place: str) -> None:
    """A mistyped location is told with exit code 2, instead of a store without faults and images."""
    done = imageloom("store", *command, "--store", place)
    assert done.returncode == 2
    assert done.stderr.startswith("imageloom: there is no store at ") and "nowhere: nothing lies there" in done.stderr
    assert done.stdout == ""


def test_a_folder_without_shards_gets_no_gallery(in_folder: Path) -> None:
    """``gallery`` leaves a folder that is no dataset as it is, and says what it lacks."""
    done = imageloom("gallery", ".")
    assert done.returncode == 2
    assert ". is not a dataset folder: it has no */*-of-*.parquet" in done.stderr
    assert list(in_folder.iterdir()) == []


def test_a_gallery_can_be_made_again(build_dataset: Build) -> None:
    """``gallery DIR`` writes the page of a dataset folder and prints its path."""
    build_dataset(DRAWN)
    Path("dataset/gallery.html").unlink()
    done = imageloom("gallery", "dataset")
    assert done.stdout.strip().endswith("dataset/gallery.html")
    assert Path("dataset/gallery.html").exists()


def test_the_gallery_opens_in_the_browser(build_dataset: Build, tmp_path: Path) -> None:
    """``gallery --open`` gives the page to the desktop's browser."""
    build_dataset(DRAWN, limit=1)
    opened = tmp_path / "opened.txt"
    for command in ("xdg-open", "open"):
        browser = tmp_path / command
        browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.part && mv {opened}.part {opened}\n')
        browser.chmod(0o755)
    done = imageloom("gallery", "dataset", "--open", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    given = wait_until(lambda: opened.exists() and opened.read_text().strip(), 30, "the browser")
    assert given == str(Path("dataset/gallery.html").absolute())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_build_that_is_stopped_keeps_what_arrived(
    build_dataset: Build, endpoint: Endpoint, number: signal.Signals
) -> None:
    """Ctrl-C and SIGTERM end a build with one sentence; every image delivered is kept, and the next build goes on."""
    recipe = recipe_for(endpoint, [f"prompt {n} {{{{slow seconds=0.3}}}}" for n in range(60)])
    recipe["limits"] = {"max_concurrency": 4}
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
    command = [IMAGELOOM, "build", "recipe.yaml"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as build:
        wait_until(lambda: sum(call.delivered for call in endpoint.calls) >= 6, 60, "six images")
        build.send_signal(number)
        output, errors = build.communicate(timeout=30)
    assert build.returncode == 130
    assert "imageloom: stopped. Every image that arrived is kept; run the same command to go on." in errors
    assert "Traceback" not in errors
    assert output == ""
    delivered = sum(call.delivered for call in endpoint.calls)
    assert delivered < 60
    report = build_dataset(recipe).report
    assert report is not None
    assert report.from_store == delivered
    assert len(load_dataset("dataset")["train"]) == 60


def test_names_in_brackets_are_printed_as_they_are(recipe_file: Path, prefect_server: None) -> None:
    """A folder whose name looks like markup of the terminal is refused, and named as it is."""
    done = imageloom("build", "recipe.yaml", "--limit", "2", "--output", "d[/x]")
    assert done.returncode == 2
    assert f"imageloom: the folder {Path('d[/x]').absolute()} has '[' in its name" in done.stderr.replace("\n", "")


def test_a_password_is_no_parameter(recipe_file: Path) -> None:
    """A URL with a password in --set is refused before Prefect could keep it, without repeating it."""
    done = imageloom("build", "recipe.yaml", "--set", "task.image_generation_model.base_url=http://me:hidden@host/x")
    assert done.returncode == 2
    assert "task.image_generation_model.base_url holds a user or password" in done.stderr
    assert "hidden" not in done.stderr


def test_a_set_value_that_is_no_yaml_is_one_sentence(recipe_file: Path) -> None:
    """A value that YAML misreads is told to be put in quotes, and not repeated, since it may hold a key."""
    done = imageloom("estimate", "recipe.yaml", "--set", "task.instruction={shape} x")
    assert done.returncode == 2
    sentence = (
        "--set task.instruction: its value is not valid YAML. Put it in quotes: --set 'task.instruction=\"...\"'."
    )
    assert done.stderr == f"imageloom: {sentence}\n"


def test_refusals_are_asked_again_on_demand(build_dataset: Build, endpoint: Endpoint) -> None:
    """``--retry-refused`` asks again what moderation refused; without it, a rerun does not."""
    recipe = recipe_for(endpoint, ["a cat", "a dog {{refused-hf times=1}}"])
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
    build_dataset(recipe)
    runs = [imageloom("build", "recipe.yaml", "--json", *flag) for flag in ([], ["--retry-refused"])]
    assert [json.loads(run.stdout)["counts"] for run in runs] == [{"ok": 1, "refused": 1}, {"ok": 2}]
    assert [json.loads(run.stdout)["asked"] for run in runs] == [0, 1]


def test_a_dataset_is_exported(build_dataset: Build) -> None:
    """`imageloom export` writes what it says, and says how to load it."""
    build_dataset(DRAWN, limit=3)
    done = imageloom("export", "dataset", "--to", "imagefolder", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["rows"] == {"train": 3}
    assert load_dataset(report["folder"])["train"].num_rows == 3
    refused = imageloom("export", "dataset", "--to", "tfrecord")
    assert refused.returncode == 2 and "webdataset" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.parametrize("command", [["build"], ["preview"], ["serve", "--cron", "0 3 * * *"]])
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Reply(b"<html>", 404), "does not answer as one"),
        (Reply(b'"a page"'), "does not answer as one"),
        (Reply(b"{}", 401), "answered 401. Give the key it wants in PREFECT_API_AUTH_STRING"),
    ],
)
def test_a_server_that_lets_nobody_in_is_one_sentence(
    recipe_file: Path, command: list[str], answer: Reply, sentence: str
) -> None:
    """What is at PREFECT_API_URL and is no Prefect server, or wants a key, is told before anything is asked."""
    with LoopbackServer(lambda asked: answer) as server:
        done = imageloom(*command, "recipe.yaml", PREFECT_API_URL=f"{server.url}/api")
    assert done.returncode == 1, done.stderr
    assert f"imageloom: the Prefect server at {server.url}/api {sentence}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("dataset").exists()
