"""Batches on a real Dask cluster: what a build promises holds there, too."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from distributed import Client, LocalCluster
from prefect.blocks.system import Secret

from tasks_lib import ImageStore
from tasks_lib.errors import RecipeError
from tests.built_folders import shards
from tests.command import IMAGELOOM
from tests.endpoint import Endpoint
from tests.processes import wait_until
from tests.recipes import Build, recipe_for
from tests.store_locations import s3, s3_server

pytest.register_assert_rewrite("tests.runner_promises")
from tests.runner_promises import *  # noqa: E402, F403  # the promises are tests of this module
from tests.runner_promises import WORKERS_TOKEN  # noqa: E402

__all__ = ["s3", "s3_server"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A scheduler with two worker processes, as an administrator would have started them."""
    environment = {"HF_TOKEN": WORKERS_TOKEN}
    running = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", env=environment)
    with running:
        yield running


@pytest.fixture
def runner(cluster: LocalCluster) -> dict[str, Any]:
    """Both workers of it."""
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    return {"type": "dask", "workers": 2, "address": cluster.scheduler_address}


@pytest.fixture
def kill_a_worker(cluster: LocalCluster) -> Callable[[], None]:
    """Ends one with SIGKILL; its nanny starts another."""
    return lambda: os.kill(cluster.workers[0].pid, signal.SIGKILL)


@pytest.mark.usefixtures("prefect_server")
def test_workers_on_this_machine_have_its_environment(build_dataset: Build, endpoint: Endpoint, s3: str) -> None:
    """Without an address, workers start here: with the secrets of blocks, a store in a bucket, and the same shards."""
    Secret(value="hf_OF_A_BLOCK").save("imageloom-dask-token", overwrite=True)
    recipe = recipe_for(endpoint, [f"prompt {number}" for number in range(30)], batch_size=5, store=f"{s3}/store")
    build_dataset({**recipe, "secrets": {"HF_TOKEN": "imageloom-dask-token"}, "runner": {"type": "dask"}})
    assert {call.headers["authorization"] for call in endpoint.calls} == {"Bearer hf_OF_A_BLOCK"}
    by_workers = shards()
    build_dataset(recipe)
    assert (shards(), len(endpoint.calls)) == (by_workers, 30)


def test_ctrl_c_is_for_the_flow(prefect_server: None, in_folder: Path) -> None:
    """Ctrl-C reaches the workers of a terminal as well, and yet every image that was paid for is kept."""
    with Endpoint(latency_s=0.5) as endpoint:
        prompts = [f"prompt {number}" for number in range(400)]
        limits = {"max_concurrency": 8}
        recipe = recipe_for(endpoint, prompts, batch_size=20, limits=limits, runner={"type": "dask"})
        Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
        command = [IMAGELOOM, "build", "recipe.yaml", "--json"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as build:
            wait_until(lambda: len(endpoint.calls) >= 16, 60, "16 calls")
            os.killpg(build.pid, signal.SIGINT)
            _, told = build.communicate(timeout=60)
        assert build.returncode == 130
        assert "imageloom: stopped. Every image that arrived is kept" in told
        wait_until(lambda: not endpoint.in_flight, 20, "the last call to end")
        assert len(endpoint.calls) == ImageStore("store").stats().images <= 40


def test_a_cluster_that_does_not_answer_is_named(build_dataset: Build, endpoint: Endpoint) -> None:
    """An address where nothing answers is one sentence, and nothing is asked."""
    for address in ("tcp://127.0.0.1:9", "nonsense://127.0.0.1"):
        with pytest.raises(RecipeError, match=rf"runner\.address: no Dask cluster .* at {address} .*leave the address"):
            build_dataset(recipe_for(endpoint, ["a"], runner={"type": "dask", "address": address}))
    assert endpoint.calls == []
