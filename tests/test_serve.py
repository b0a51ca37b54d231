"""``imageloom serve``: a recipe built by the clock, without a worker."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from datasets import load_dataset
from prefect.client.orchestration import get_client

from tasks_lib import ImageStore
from tests.command import IMAGELOOM
from tests.endpoint import Endpoint
from tests.processes import wait_until
from tests.recipes import drawn_by, recipe_for

SERVE = [IMAGELOOM, "serve"]
NIGHTLY = ["--cron", "0 3 * * *", "--timezone", "Europe/Berlin"]


@contextmanager
def serving(*arguments: str, recipe: str = "recipe.yaml") -> Iterator[subprocess.Popen[str]]:
    """The command at work, in a process group as a terminal makes one."""
    environment = {**os.environ, "PREFECT_RUNNER_POLL_FREQUENCY": "1", "PREFECT_LOGGING_LEVEL": "WARNING"}
    with subprocess.Popen(
        [*SERVE, recipe, *arguments], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as served:
        try:
            yield served
        finally:
            if served.poll() is None:
                os.killpg(served.pid, signal.SIGKILL)


def ask(path: str) -> Any:
    """What the session's server has there; ``None`` where it has no such thing."""
    with httpx2.Client(trust_env=False, timeout=60) as client:
        answer = client.get(f"{os.environ['PREFECT_API_URL']}{path}")
    return None if answer.status_code == 404 else answer.raise_for_status().json()


def start_a_run(deployment: dict[str, Any]) -> None:
    """Have it run at once; Prefect's client asks again while the server's database is busy."""
    with get_client(sync_client=True) as client:
        client.create_flow_run_from_deployment(deployment["id"])


def served_deployment(name: str) -> dict[str, Any]:
    """The deployment, once it is made and takes runs."""
    place = f"/deployments/name/build-image-dataset/{name}"
    found: dict[str, Any] = wait_until(
        lambda: (found := ask(place)) and not found["paused"] and found, 60, "the deployment"
    )
    return found


def test_a_served_recipe_is_built_when_its_run_is_due(prefect_server: None, in_folder: Path) -> None:
    """The deployment tells path, clock and purpose; a run builds the dataset here; Ctrl-C pauses the schedule.

    The recipe's model lies in this folder and is installed nowhere.
    """
    Path("my_models.py").write_text("from tests.custom_tasks import FlatColour\n\n\nclass Mine(FlatColour): ...\n")
    recipe = drawn_by(
        {"type": "my_models:Mine"}, ["a red circle", "a blue star"], name="served", card={"description": "Two shapes."}
    )
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
    with serving(*NIGHTLY) as served:
        deployment = served_deployment("served")
        assert deployment["parameters"] == {"recipe": str(Path("recipe.yaml").absolute()), "limit": None}
        assert deployment["description"].startswith("Two shapes.")
        assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
        (schedule,) = deployment["schedules"]
        assert schedule["active"]
        assert schedule["schedule"] == {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "day_or": True}
        start_a_run(deployment)
        wait_until(lambda: Path("dataset/README.md").exists(), 60, "the dataset")
        os.killpg(served.pid, signal.SIGINT)
        _, told = served.communicate(timeout=60)
    assert served.returncode == 130
    assert "imageloom: building served at '0 3 * * *' (Europe/Berlin); Ctrl-C stops it." in told
    assert "imageloom: stopped. The schedule is paused; run the same command to go on." in told
    assert "Traceback" not in told
    assert load_dataset("dataset")["train"].num_rows == 2
    assert ask(f"/deployments/{deployment['id']}")["paused"]


def test_a_recipe_is_served_from_its_url(prefect_server: None, in_folder: Path) -> None:
    """The URL of a recipe is what the deployment holds, as it is, and what its runs build from."""
    url = Path("recipe.yaml").absolute().as_uri()
    recipe = drawn_by({"type": "procedural", "width": 32, "height": 32}, ["a red circle"], name="served-from-a-url")
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
    with serving(*NIGHTLY, recipe=url) as served:
        deployment = served_deployment("served-from-a-url")
        assert deployment["parameters"] == {"recipe": url, "limit": None}
        start_a_run(deployment)
        wait_until(lambda: Path("dataset/README.md").exists(), 60, "the dataset")
        os.killpg(served.pid, signal.SIGINT)
        served.communicate(timeout=60)
    assert load_dataset("dataset")["train"].num_rows == 1


def interrupt_all(served: subprocess.Popen[str]) -> None:
    """As Ctrl-C in a terminal does."""
    os.killpg(served.pid, signal.SIGINT)


def terminate(served: subprocess.Popen[str]) -> None:
    """As a service manager or ``docker stop`` does."""
    served.terminate()


@pytest.mark.parametrize("stop", [interrupt_all, terminate])
def test_stopped_in_the_middle_of_a_build_it_keeps_what_arrived(
    prefect_server: None, in_folder: Path, stop: Callable[[subprocess.Popen[str]], None]
) -> None:
    """Nothing more is asked, every image delivered is in the store, no dataset is half there, the schedule sleeps."""
    with Endpoint(latency_s=0.3) as endpoint:
        name = f"stopped-{stop.__name__}"
        recipe = recipe_for(endpoint, [f"prompt {number}" for number in range(400)], name=name)
        Path("recipe.yaml").write_text(yaml.safe_dump({**recipe, "limits": {"max_concurrency": 4}}))
        with serving(*NIGHTLY) as served:
            deployment = served_deployment(name)
            start_a_run(deployment)
            wait_until(lambda: len(endpoint.calls) >= 6, 60, "six images")
            stop(served)
            _, told = served.communicate(timeout=60)
        assert served.returncode == 130
        assert told.endswith("imageloom: stopped. The schedule is paused; run the same command to go on.\n")
        assert ask(f"/deployments/{deployment['id']}")["paused"]
        wait_until(lambda: not endpoint.in_flight, 20, "the last call to end")
        delivered = {call.prompt for call in endpoint.calls if call.delivered}
    assert 6 <= len(delivered) < 400
    assert {record.request["prompt"] for record in ImageStore("store").records()} == delivered
    assert not Path("dataset").exists()


@pytest.mark.parametrize(
    ("arguments", "server", "code", "sentence"),
    [
        (["--cron", "0 3 * *"], "", 2, "--cron '0 3 * *' is no schedule: write minute, hour,"),
        (["--cron", "0 3 * * *", "--timezone", "Berlin"], "", 2, "--timezone 'Berlin' is not known: write it as"),
        (NIGHTLY, "", 2, "a Prefect server keeps the schedule, and none is named. Start one with"),
        (NIGHTLY, "http://127.0.0.1:9/api", 1, "the Prefect server at http://127.0.0.1:9/api does not answer"),
    ],
)
def test_what_is_wrong_is_one_sentence_before_anything_starts(
    in_folder: Path, arguments: list[str], server: str, code: int, sentence: str
) -> None:
    """A bad clock, no server, or one that does not answer ends at once, with one sentence and its exit code."""
    Path("recipe.yaml").write_text(yaml.safe_dump(drawn_by({"type": "procedural"}, ["a red circle"])))
    environment = {**os.environ, "PREFECT_API_URL": server, "PREFECT_HOME": str(in_folder / "home")}
    done = subprocess.run(
        [*SERVE, "recipe.yaml", *arguments], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"imageloom: {sentence}")
    assert done.stdout == ""


def test_a_bad_recipe_is_told_before_a_server_is_looked_for(in_folder: Path) -> None:
    """A mistake in the recipe is the first thing said."""
    Path("recipe.yaml").write_text("name: x\npromts: [a]\n")
    done = subprocess.run([*SERVE, "recipe.yaml", *NIGHTLY], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "unknown key 'promts'; did you mean 'prompts'?" in done.stderr
