"""What runs of the deployments keep, whatever database the server has: tests for modules with a fixture ``server``.

It is a :func:`tests.deployments.running_deployments`.
"""

import os
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from datasets import load_dataset

from tasks_lib import ImageStore
from tests.deployments import deployment, end_of, last_run, run_and_watch, started
from tests.endpoint import Endpoint
from tests.prefect_server import PrefectServer
from tests.processes import wait_until
from tests.recipes import drawn_by, recipe_for

__all__ = [
    "RECIPE",
    "slow_recipe",
    "test_a_cancelled_run_ends_in_seconds_and_keeps_what_arrived",
    "test_a_failed_build_exits_1_and_says_why",
    "test_a_killed_run_is_crashed_and_the_next_goes_on",
    "test_a_recipe_by_path_becomes_a_dataset",
    "test_a_recipe_filled_in_as_a_form_is_built_in_batches",
    "test_a_schedule_fires_by_itself",
    "test_nightly_sleeps_until_it_is_switched_on",
    "test_two_runs_at_once_ask_no_image_twice",
]

RECIPE = "deployments/recipes/colour-shapes.yaml"
IMAGES = 80
IN_FLIGHT = 4


def slow_recipe(endpoint: Endpoint, folder: Path, images: int = IMAGES) -> dict[str, Any]:
    """So many prompts, a few in flight; store and dataset are in the folder."""
    return recipe_for(
        endpoint,
        [f"prompt {number}" for number in range(images)],
        limits={"max_concurrency": IN_FLIGHT},
        batch_size=16,
        store=str(folder / "store"),
        output={"path": str(folder / "dataset")},
    )


def test_a_recipe_by_path_becomes_a_dataset(server: PrefectServer, tmp_path: Path) -> None:
    """`prefect deployment run ad-hoc --watch` exits 0, says what it made, and load_dataset reads it."""
    overrides = {"output.path": str(tmp_path / "shapes"), "store": str(tmp_path / "store")}
    code, output = run_and_watch(server, {"recipe": RECIPE, "limit": 24, "overrides": overrides})
    assert code == 0, output
    run = last_run(server)
    assert run["name"].startswith("colour-shapes 20")
    assert run["state"]["message"] == "24 of 24 images, 0.00 USD"
    read = load_dataset(str(tmp_path / "shapes"))
    assert sum(split.num_rows for split in read.values()) == 24
    assert read["train"][0]["image"].size == (256, 256)


def test_a_recipe_filled_in_as_a_form_is_built_in_batches(server: PrefectServer, tmp_path: Path) -> None:
    """A whole recipe given as JSON is built, one task run for each batch, named by its rows."""
    prompts = [f"{number} red circles" for number in range(130)]
    places = {"store": str(tmp_path / "store"), "output": {"path": str(tmp_path / "form")}}
    recipe = drawn_by({"type": "procedural", "width": 32, "height": 32}, prompts, name="form", **places)
    run = end_of(server, started(server, recipe))
    assert run["state"]["message"] == "130 of 130 images, 0.00 USD"
    assert run["name"].startswith("form 20")
    asked = {"flow_runs": {"id": {"any_": [run["id"]]}}}

    def both_batches() -> bool:
        names = {task["name"] for task in server.request("POST", "/task_runs/filter", asked)}
        return {"rows 0-127", "rows 128-129"} <= names

    # Task runs are recorded from events, a moment after they happen.
    wait_until(both_batches, timeout_s=60, what="the task runs 'rows 0-127' and 'rows 128-129'")


def test_a_cancelled_run_ends_in_seconds_and_keeps_what_arrived(server: PrefectServer, tmp_path: Path) -> None:
    """Cancelled through the API, a run is over within seconds, keeps every image, and the next asks only the rest."""
    with Endpoint(latency_s=0.3) as endpoint:
        recipe = slow_recipe(endpoint, tmp_path)
        run_id = started(server, recipe)
        wait_until(lambda: len(endpoint.calls) >= 6, timeout_s=120, what="six images")
        cancelled = time.monotonic()
        server.request("POST", f"/flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLING"}})
        # Prefect says that a run is cancelled when its process is gone.
        assert end_of(server, run_id)["state_type"] == "CANCELLED"
        calls = endpoint.calls
        assert time.monotonic() - cancelled < 30
        assert not endpoint.in_flight
        assert max(call.time_started for call in calls) - cancelled < 10, "asks on although it was cancelled"
        store = ImageStore(tmp_path / "store")
        delivered = {call.prompt for call in calls if call.delivered}
        assert {record.request["prompt"] for record in store.records()} == delivered
        assert store.verify() == {}
        assert not (tmp_path / "dataset").exists()
        assert len(delivered) < IMAGES
        code, output = run_and_watch(server, {"recipe": recipe})
        assert code == 0, output
        assert len(load_dataset(str(tmp_path / "dataset"))["train"]) == IMAGES
        assert len(endpoint.calls) == len(calls) + IMAGES - len(delivered)
    assert Counter(call.prompt for call in endpoint.calls if call.delivered).most_common(1)[0][1] == 1


def test_a_killed_run_is_crashed_and_the_next_goes_on(server: PrefectServer, tmp_path: Path) -> None:
    """With its process killed -9 a run is Crashed in seconds; the next asks nothing that the store already has."""
    with Endpoint(latency_s=0.2) as endpoint:
        recipe = slow_recipe(endpoint, tmp_path)
        run_id = started(server, recipe)
        wait_until(lambda: len(endpoint.calls) >= 12, timeout_s=120, what="twelve images")
        killed = time.monotonic()
        os.kill(int(server.request("GET", f"/flow_runs/{run_id}")["infrastructure_pid"]), signal.SIGKILL)
        assert end_of(server, run_id)["state_type"] == "CRASHED"
        assert time.monotonic() - killed < 30
        wait_until(lambda: not endpoint.in_flight, 20, "the endpoint to notice")
        kept = {record.request["prompt"] for record in ImageStore(tmp_path / "store").records()}
        earlier = endpoint.calls
        assert len(earlier) - len(kept) <= IN_FLIGHT + 2, "what was delivered before is in the store"
        assert end_of(server, started(server, recipe))["state"]["message"].startswith(f"{IMAGES} of {IMAGES} images")
        assert {call.prompt for call in endpoint.calls[len(earlier) :]}.isdisjoint(kept)
        assert len(endpoint.calls) == len(earlier) + IMAGES - len(kept)
    assert len(load_dataset(str(tmp_path / "dataset"))["train"]) == IMAGES


def test_two_runs_at_once_ask_no_image_twice(server: PrefectServer, tmp_path: Path) -> None:
    """Of two runs of one recipe one builds the dataset, the other says so in a sentence and asks nothing."""
    with Endpoint(latency_s=0.3) as endpoint:
        recipe = slow_recipe(endpoint, tmp_path)
        runs = [end_of(server, run_id) for run_id in [started(server, recipe) for _ in range(2)]]
    told = {run["state_type"]: run["state"]["message"] for run in runs}
    assert told["COMPLETED"].startswith(f"{IMAGES} of {IMAGES} images")
    assert told["FAILED"].startswith(f"another build, save or export is at work on {tmp_path / 'dataset'}.")
    assert Counter(call.prompt for call in endpoint.calls) == {f"prompt {number}": 1 for number in range(IMAGES)}
    assert len(load_dataset(str(tmp_path / "dataset"))["train"]) == IMAGES


def test_a_failed_build_exits_1_and_says_why(server: PrefectServer) -> None:
    """A run that fails exits 1, and its state is one sentence without a traceback."""
    code, output = run_and_watch(server, {"recipe": "no-such-recipe.yaml"})
    assert code == 1, output
    message = last_run(server)["state"]["message"]
    assert message.startswith("the recipe no-such-recipe.yaml cannot be read")
    assert "\n" not in message


def test_a_schedule_fires_by_itself(server: PrefectServer, tmp_path: Path) -> None:
    """What a schedule planned is begun by the worker when it is due, with the schedule's own parameters."""
    nightly = deployment(server, "build-image-dataset/nightly")
    due = datetime.now(UTC) + timedelta(seconds=5)
    places = {"output.path": str(tmp_path / "shapes"), "store": str(tmp_path / "store")}
    schedule = {
        "active": True,
        "schedule": {"interval": 86_400, "anchor_date": due.isoformat()},
        "parameters": {"recipe": RECIPE, "limit": 2, "overrides": places},
    }
    (made,) = server.request("POST", f"/deployments/{nightly['id']}/schedules", [schedule])
    wait_until((tmp_path / "shapes" / "README.md").exists, timeout_s=90, what="the scheduled dataset")
    server.request("DELETE", f"/deployments/{nightly['id']}/schedules/{made['id']}")
    asked = {
        "deployments": {"id": {"any_": [nightly["id"]]}},
        "flow_runs": {"state": {"type": {"any_": ["COMPLETED", "RUNNING"]}}},
    }
    (run,) = server.request("POST", "/flow_runs/filter", asked)
    assert run["auto_scheduled"]
    assert abs(datetime.fromisoformat(run["expected_start_time"]) - due) < timedelta(seconds=1)


def test_nightly_sleeps_until_it_is_switched_on(server: PrefectServer) -> None:
    """Nightly is shipped inactive and never runs twice at once; switched on, it is planned for 3 o'clock local time."""
    nightly = deployment(server, "build-image-dataset/nightly")
    schedule = next(each for each in nightly["schedules"] if "cron" in each["schedule"])
    assert schedule["active"] is False
    assert nightly["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert nightly["global_concurrency_limit"]["limit"] == 1
    server.request("PATCH", f"/deployments/{nightly['id']}/schedules/{schedule['id']}", {"active": True})
    asked = {
        "deployments": {"id": {"any_": [nightly["id"]]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        "sort": "EXPECTED_START_TIME_ASC",
    }
    planned = wait_until(
        lambda: server.request("POST", "/flow_runs/filter", asked), timeout_s=30, what="the scheduler to plan a run"
    )
    server.request("PATCH", f"/deployments/{nightly['id']}/schedules/{schedule['id']}", {"active": False})
    start = datetime.fromisoformat(planned[0]["expected_start_time"])
    assert start.astimezone(ZoneInfo(schedule["schedule"]["timezone"])).strftime("%H:%M") == "03:00"
