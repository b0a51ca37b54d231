"""What a build keeps whatever its runner: tests for modules that have a fixture ``runner``, its settings.

The fixture ``runner`` names a real cluster of two worker processes whose environment holds ``WORKERS_TOKEN``;
``kill_a_worker`` ends one of them with SIGKILL.
"""

import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks_lib.errors import RecipeError, StopError
from tests.built_folders import shards
from tests.cancelling import calls_when_cancelled
from tests.endpoint import Endpoint
from tests.processes import wait_until
from tests.recipes import Build, drawn_by, recipe_for

__all__ = [
    "WORKERS_TOKEN",
    "test_a_cancelled_flow_asks_nothing_more",
    "test_a_cap_holds_though_a_worker_is_killed",
    "test_a_killed_worker_is_survived",
    "test_a_mistake_in_a_task_tells_its_place_on_the_worker",
    "test_a_rejected_key_stops_all_workers",
    "test_a_task_that_workers_cannot_import_is_named",
    "test_caps_hold_over_all_workers",
    "test_fewer_workers_than_calls",
    "test_keys_are_those_of_the_workers",
    "test_no_image_is_asked_twice_and_the_window_holds",
    "test_own_tasks_run_on_workers",
    "test_the_shards_are_those_of_the_thread_runner",
]

Runner = dict[str, Any]
Kill = Callable[[], None]

WORKERS_TOKEN = "hf_OF_THE_WORKERS"
SLOW = "{{slow seconds=0.1}}"


def _prompts(count: int, what: str = SLOW) -> list[str]:
    return [f"prompt {number} {what}" for number in range(count)]


def test_the_shards_are_those_of_the_thread_runner(build_dataset: Build, endpoint: Endpoint, runner: Runner) -> None:
    """Over one store, workers and the thread runner write byte-identical shards; over two, the same images in order."""
    prompts = [f"prompt {number % 17}" for number in range(50)]
    recipe = recipe_for(
        endpoint,
        [*prompts, "no {{refused-hf}}", "night {{black}}"],
        batch_size=7,
        task={"num_generations": 2},
        checks={"blank": True, "near_duplicates": {"distance": 0}},
        output={"path": "./dataset", "splits": {"train": 0.7, "test": 0.3}},
    )
    build_dataset({**recipe, "runner": runner})
    by_workers, calls = shards(), len(endpoint.calls)
    report = build_dataset({**recipe, "output": {**recipe["output"], "path": "./by-threads"}}).report
    assert report is not None
    assert (report.asked, len(endpoint.calls)) == (0, calls)
    assert shards("by-threads") == by_workers
    assert by_workers
    alone = {**recipe, "store": "./another-store", "output": {**recipe["output"], "path": "./alone"}}
    build_dataset(alone)
    assert _images("alone") == _images("dataset")


def _images(folder: str) -> list[tuple[str, str, int, str | None]]:
    return [
        (path.name, row["prompt"], (row["generation"] or {}).get("seed"), (row["generation"] or {}).get("image_sha256"))
        for path in sorted(Path(folder).rglob("*-of-*.parquet"))
        for row in pq.read_table(path, columns=["prompt", "generation"]).to_pylist()
    ]


def test_no_image_is_asked_twice_and_the_window_holds(build_dataset: Build, endpoint: Endpoint, runner: Runner) -> None:
    """Calls in flight over all workers stay within max_concurrency, in equal shares; each is asked once."""
    recipe = recipe_for(endpoint, _prompts(60), batch_size=10, limits={"max_concurrency": 7}, runner=runner)
    report = build_dataset(recipe).report
    assert report is not None
    assert (report.counts, report.asked) == ({"ok": 60}, 60)
    assert Counter(Counter(call.prompt for call in endpoint.calls).values()) == {1: 60}
    assert endpoint.most_in_flight == 6


def test_fewer_workers_than_calls(build_dataset: Build, endpoint: Endpoint, runner: Runner) -> None:
    """With max_concurrency 1 there is one call in flight, however many workers there are."""
    build_dataset(recipe_for(endpoint, _prompts(8), batch_size=2, limits={"max_concurrency": 1}, runner=runner))
    assert (len(endpoint.calls), endpoint.most_in_flight) == (8, 1)


@pytest.mark.parametrize(("limits", "cap"), [({"max_images": 23}, 23), ({"max_cost_usd": 1.1}, 11)])
def test_caps_hold_over_all_workers(
    build_dataset: Build, endpoint: Endpoint, runner: Runner, limits: dict[str, Any], cap: int
) -> None:
    """A cap is used up to the last image and never passed, refunds included; the next run goes on from there."""
    prompts = [
        f"{prompt} {{{{refused-hf}}}}" if number < 6 else prompt for number, prompt in enumerate(_prompts(50, ""))
    ]
    recipe = recipe_for(endpoint, prompts, batch_size=5, runner=runner)
    recipe["task"]["image_generation_model"]["price_per_image_usd"] = 0.1
    first = build_dataset({**recipe, "limits": {**limits, "max_failure_rate": 1}}).report
    assert first is not None
    assert first.counts == {"ok": cap, "refused": 6, "not_asked": 44 - cap}
    assert first.spent_usd == pytest.approx(cap / 10)
    assert [reason for reason in first.reasons if str(next(iter(limits))) in reason]
    build_dataset({**recipe, "limits": {"max_failure_rate": 1}})
    assert len(endpoint.calls) == 50


def test_a_killed_worker_is_survived(
    build_dataset: Build, endpoint: Endpoint, runner: Runner, kill_a_worker: Kill
) -> None:
    """Killed -9, a worker costs what was in flight there: the dataset is complete, and nothing kept is asked again."""
    recipe = recipe_for(endpoint, _prompts(80), batch_size=20, limits={"max_concurrency": 4}, runner=runner)
    with _after(endpoint, 20, kill_a_worker):
        report = build_dataset(recipe).report
    assert report is not None
    assert report.counts == {"ok": 80}
    # Two in flight there, and an answer or two on their way to the store.
    assert 80 < len(endpoint.calls) <= 84


def test_a_cap_holds_though_a_worker_is_killed(
    build_dataset: Build, endpoint: Endpoint, runner: Runner, kill_a_worker: Kill
) -> None:
    """What a lost worker may have spent counts as spent: even then no cap is passed."""
    limits = {"max_concurrency": 4, "max_images": 60}
    recipe = recipe_for(endpoint, _prompts(80), batch_size=20, limits=limits, runner=runner)
    with _after(endpoint, 20, kill_a_worker):
        report = build_dataset(recipe).report
    assert report is not None
    assert 40 <= len(endpoint.calls) <= 60
    assert report.counts["ok"] + report.counts["not_asked"] == 80


class _after:  # noqa: N801  # reads as a word
    """While the block runs, something happens once there are so many calls."""

    def __init__(self, endpoint: Endpoint, calls: int, happens: Callable[[], None]) -> None:
        def wait_and_do() -> None:
            wait_until(lambda: len(endpoint.calls) >= calls, 60, f"{calls} calls")
            happens()

        self._thread = threading.Thread(target=wait_and_do)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def test_a_rejected_key_stops_all_workers(build_dataset: Build, runner: Runner) -> None:
    """A 401 at one worker ends the run with its one sentence at once, though batches before it are still at work."""
    with Endpoint(latency_s=0.3) as endpoint:
        prompts = [*_prompts(40, ""), "{{401}}", *_prompts(100, "")]
        with pytest.raises(StopError) as stopped:
            build_dataset(recipe_for(endpoint, prompts, batch_size=40, limits={"max_concurrency": 4}, runner=runner))
        asked = [call.prompt for call in endpoint.calls]
    # Those in flight then, and as many that had begun before the other worker was told.
    assert len(asked) - asked.index("{{401}}") <= 8
    assert str(stopped.value).startswith(f"{endpoint.url} answered 401")
    assert "\n" not in str(stopped.value)


def test_a_mistake_in_a_task_tells_its_place_on_the_worker(
    build_dataset: Build, endpoint: Endpoint, runner: Runner
) -> None:
    """A programming error comes back as it is, with the worker's traceback beside it."""
    recipe = recipe_for(endpoint, ["a", "b"], task={"type": "tests.custom_tasks:BrokenTask"}, runner=runner)
    with pytest.raises(KeyError, match="no such column") as broken:
        build_dataset(recipe)
    assert "custom_tasks.py" in "".join(broken.value.__notes__)


@pytest.mark.parametrize("task", ["PosterTask", "CountingTask", "ThumbnailTask", "LoudGeneration"])
def test_own_tasks_run_on_workers(build_dataset: Build, runner: Runner, task: str) -> None:
    """A task and a model of a user's own, named by import path, give on workers what they give in the flow."""
    rows = [{"subject" if task == "PosterTask" else "prompt": f"a fox {number}"} for number in range(9)]
    model = {"type": "tests.custom_tasks:FlatColour", "side": 24}
    recipe = drawn_by(model, rows, task={"type": f"tests.custom_tasks:{task}"}, batch_size=2)
    build_dataset({**recipe, "runner": runner})
    by_workers = shards()
    build_dataset(recipe)
    assert shards() == by_workers


def test_a_task_that_workers_cannot_import_is_named(
    build_dataset: Build, runner: Runner, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task class that only the flow's machine has is one sentence with its name, before anything is asked."""
    Path("only_here").mkdir()
    source = "from tests.custom_tasks import DocumentedTask\n\n\nclass Mine(DocumentedTask):\n    pass\n"
    Path("only_here/mine_alone.py").write_text(source)
    monkeypatch.syspath_prepend(str(in_folder / "only_here"))
    recipe = drawn_by({"type": "tests.custom_tasks:FlatColour"}, ["a"], task={"type": "mine_alone:Mine"}, runner=runner)
    with pytest.raises(RecipeError, match=r"type 'mine_alone:Mine' cannot be imported"):
        build_dataset(recipe)
    sys.modules.pop("mine_alone", None)


def test_keys_are_those_of_the_workers(
    build_dataset: Build, endpoint: Endpoint, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token is read where the work is done; the flow's own stays where it is."""
    monkeypatch.setenv("HF_TOKEN", "hf_OF_THE_FLOW")
    build_dataset(recipe_for(endpoint, ["a", "b"], runner=runner))
    assert {call.headers["authorization"] for call in endpoint.calls} == {f"Bearer {WORKERS_TOKEN}"}


def test_a_cancelled_flow_asks_nothing_more(prefect_server: None, in_folder: Path, runner: Runner) -> None:
    """After a cancellation at most the calls of one window still come, and every one of them is kept."""
    with Endpoint(latency_s=0.2) as endpoint:
        recipe = recipe_for(endpoint, _prompts(400, ""), batch_size=50, limits={"max_concurrency": 8}, runner=runner)
        before = calls_when_cancelled(recipe, endpoint)
        assert len(endpoint.calls) <= before + 16 < 400
        assert len(list(Path("store").rglob("*.json"))) == len(endpoint.calls)
