"""Schedules of cron that fire by themselves, in up to a minute each, and keys that a pool gives to its runs."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from datasets import load_dataset

from tests.command import IMAGELOOM
from tests.deployments import deployment, run_and_watch, running_deployments
from tests.endpoint import Endpoint
from tests.prefect_server import PrefectServer
from tests.processes import wait_until
from tests.recipes import drawn_by, recipe_for

EVERY_MINUTE = "* * * * *"
KEY = "hf_OFxTHExPOOL0123456789"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """With the deployments and a worker, on SQLite."""
    with running_deployments(tmp_path_factory.mktemp("prefect")) as server:
        yield server


def test_nightly_is_built_when_its_minute_comes(server: PrefectServer, tmp_path: Path) -> None:
    """The schedule of prefect.yaml, switched on with another cron, builds the recipe by the worker; nobody asks."""
    nightly = deployment(server, "build-image-dataset/nightly")
    place = f"/deployments/{nightly['id']}/schedules/{nightly['schedules'][0]['id']}"
    folders = {"output.path": str(tmp_path / "shapes"), "store": str(tmp_path / "store")}
    every_minute = {"cron": EVERY_MINUTE, "timezone": "Europe/Berlin"}
    change = {"active": True, "schedule": every_minute, "parameters": {"limit": 4, "overrides": folders}}
    server.request("PATCH", place, change)
    wait_until((tmp_path / "shapes" / "README.md").exists, timeout_s=150, what="the dataset of a minute")
    server.request("PATCH", place, {"active": False})
    assert sum(split.num_rows for split in load_dataset(str(tmp_path / "shapes")).values()) == 4


def test_a_served_recipe_is_built_when_its_minute_comes(server: PrefectServer, tmp_path: Path) -> None:
    """`imageloom serve` needs no worker: the process builds the recipe in the folder where it was started."""
    recipe = drawn_by({"type": "procedural", "width": 32, "height": 32}, ["a red circle"], name="clock")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    command = [IMAGELOOM, "serve", "recipe.yaml", "--cron", EVERY_MINUTE]
    with subprocess.Popen(
        command, cwd=tmp_path, env=server.environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as served:
        try:
            wait_until((tmp_path / "dataset" / "README.md").exists, timeout_s=150, what="the dataset of a minute")
        finally:
            os.killpg(served.pid, signal.SIGINT)
            _, told = served.communicate(timeout=60)
    assert "imageloom: stopped. The schedule is paused" in told
    assert load_dataset(str(tmp_path / "dataset"))["train"].num_rows == 1


def test_a_pool_gives_its_runs_a_key_that_is_kept_nowhere_in_clear(server: PrefectServer, tmp_path: Path) -> None:
    """A block named in the pool's environment reaches the endpoint, and neither database nor logs hold the key."""
    code = f"from prefect.blocks.system import Secret; Secret(value='{KEY}').save('hf-token')"
    subprocess.run([sys.executable, "-c", code], env=server.environment, check=True, capture_output=True)
    template = server.request("GET", "/work_pools/local")["base_job_template"]
    template["variables"]["properties"]["env"]["default"] = {"HF_TOKEN": "{{ prefect.blocks.secret.hf-token }}"}
    server.request("PATCH", "/work_pools/local", {"base_job_template": template})
    with Endpoint() as endpoint:
        places = {"store": str(tmp_path / "store"), "output": {"path": str(tmp_path / "dataset")}}
        exit_code, output = run_and_watch(server, {"recipe": recipe_for(endpoint, ["a cat"], **places)})
        assert exit_code == 0, output
        assert [call.headers["authorization"] for call in endpoint.calls] == [f"Bearer {KEY}"]
    kept = b"".join(path.read_bytes() for folder in (server.home, tmp_path) for path in folder.rglob("*.*"))
    assert b"hf-token" in kept
    assert KEY.encode() not in kept
    assert KEY not in json.dumps(server.request("POST", "/flow_runs/filter", {}))
