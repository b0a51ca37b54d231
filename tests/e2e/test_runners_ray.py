"""Batches on a real Ray cluster: what a build promises holds there, too."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks_lib.errors import RecipeError
from tests.built_folders import shards
from tests.endpoint import Endpoint
from tests.processes import wait_until
from tests.recipes import Build, drawn_by, recipe_for
from tests.store_locations import s3, s3_server

# Before Ray is imported, which reads them once: whoever connects needs the cluster's token.
os.environ.update({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)})
pytest.importorskip("ray", reason="the runner of type ray is not tested: install the extra ray")
pytest.register_assert_rewrite("tests.runner_promises")
from tests.runner_promises import *  # noqa: E402, F403  # the promises are tests of this module
from tests.runner_promises import WORKERS_TOKEN  # noqa: E402

__all__ = ["s3", "s3_server"]


class Cluster:
    """A head node with places for two workers, as an administrator would have started it."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        # Short: sockets lie there, whose paths may have a hundred characters.
        self._folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
        command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=2"]
        where = ["--node-ip-address=127.0.0.1", f"--port={self.address.rpartition(':')[2]}"]
        quiet = ["--include-dashboard=false", f"--temp-dir={self._folder}", "--disable-usage-stats"]
        self._log = Path(self._folder, "start.log")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *where, *quiet],
                env={**os.environ, "HF_TOKEN": WORKERS_TOKEN},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(lambda: b"Ray runtime started" in self._log.read_bytes(), 120, "the Ray cluster")

    def kill_a_worker(self) -> None:
        """End one that is at work with SIGKILL."""
        children = psutil.Process(self._process.pid).children(recursive=True)
        workers = [child for child in children if "ray::BatchWorker" in child.name() + " ".join(child.cmdline())]
        os.kill(workers[0].pid, signal.SIGKILL)

    def stop(self) -> None:
        """End every process of it."""
        children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for child in children:
            if child.is_running():
                child.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """The one of this module."""
    running = Cluster()
    yield running
    running.stop()


@pytest.fixture
def runner(cluster: Cluster) -> dict[str, Any]:
    """Both places of it."""
    return {"type": "ray", "workers": 2, "address": cluster.address}


@pytest.fixture
def kill_a_worker(cluster: Cluster) -> Callable[[], None]:
    """Ends one of its workers."""
    return cluster.kill_a_worker


def test_workers_on_this_machine(
    build_dataset: Build, monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint, s3: str
) -> None:
    """Without an address, workers start here, with this environment and a store in a bucket, and end with the build."""
    monkeypatch.setenv("HF_TOKEN", "hf_OF_HERE")
    before = _clusters()
    recipe = recipe_for(endpoint, [f"prompt {number}" for number in range(30)], batch_size=5, store=f"{s3}/store")
    build_dataset({**recipe, "runner": {"type": "ray"}})
    assert {call.headers["authorization"] for call in endpoint.calls} == {"Bearer hf_OF_HERE"}
    by_workers = shards()
    build_dataset(recipe)
    assert (shards(), len(endpoint.calls)) == (by_workers, 30)
    assert _clusters() == before


def _clusters() -> set[int]:
    """The nodes that this process has started and not ended."""
    children = psutil.Process().children(recursive=True)
    return {child.pid for child in children if child.name() == "raylet" and child.status() != psutil.STATUS_ZOMBIE}


def test_a_cluster_that_does_not_answer_is_named(build_dataset: Build) -> None:
    """An address where nothing answers is one sentence."""
    recipe = drawn_by(
        {"type": "tests.custom_tasks:FlatColour"}, ["a"], runner={"type": "ray", "address": "127.0.0.1:9"}
    )
    with pytest.raises(
        RecipeError, match=r"runner\.address: no Ray cluster answers at 127\.0\.0\.1:9 .*leave the addr"
    ):
        build_dataset(recipe)
