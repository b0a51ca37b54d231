"""A build that is killed outright loses nothing that was paid for, at whatever moment."""

import hashlib
import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import load_dataset

from tasks_lib import ImageStore
from tests.endpoint import Endpoint
from tests.prefect_server import wait_until
from tests.recipes import recipe_for

PROMPTS = [f"prompt {number} {{{{slow seconds=0.05}}}}" for number in range(48)]
COMMAND = [str(Path(sys.executable).with_name("imageloom")), "build", "recipe.yaml", "--json"]


def written(endpoint: Endpoint, **settings: Any) -> None:
    recipe = recipe_for(endpoint, PROMPTS, limits={"max_concurrency": 4}, batch_size=8, **settings)
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))


def shards(folder: str) -> dict[str, str]:
    paths = sorted(Path(folder).rglob("*-of-*.parquet"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def killed_when(condition: Callable[[], bool]) -> None:
    """Start a build and kill -9 it as soon as the condition holds, or let it end."""
    with subprocess.Popen(COMMAND, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as build:
        wait_until(lambda: condition() or build.poll() is not None, 120, "the moment to kill")
        build.send_signal(signal.SIGKILL)


def moments(endpoint: Endpoint, choice: random.Random) -> list[Callable[[], bool]]:
    """Moments of a build, from its first calls to its last files."""

    def calls(least: int) -> Callable[[], bool]:
        return lambda: len(endpoint.calls) >= least

    def appears(pattern: str) -> Callable[[], bool]:
        return lambda: any(Path().glob(pattern))

    generating = [calls(least) for least in sorted(choice.sample(range(1, 47), 5))]
    return [*generating, *(appears(f".dataset.building-*/{name}") for name in ("data", "README.md", "gallery.html"))]


def test_nothing_delivered_is_asked_again(in_folder: Path, endpoint: Endpoint, prefect_server: None) -> None:
    """Killed -9 at eight moments, a build asks no delivered image twice and ends with the undisturbed shards."""
    written(endpoint)
    lost = 0
    for condition in moments(endpoint, random.Random(5)):
        killed_when(condition)
        delivered = sum(call.delivered for call in endpoint.calls)
        kept = ImageStore("store").stats().images if Path("store").exists() else 0
        assert delivered - lost - kept <= 4, "only what was in flight may be lost"
        lost = delivered - kept
    done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=120)
    assert json.loads(done.stdout)["images"] == 48
    assert len(endpoint.calls) <= 48 + 4 * 8
    assert not ImageStore("store").verify() or set(ImageStore("store").verify().values()) == {
        "left behind by a process that was killed"
    }
    assert [path.name for path in Path().glob(".dataset*")] == []
    first = shards("dataset")
    written(endpoint, output={"path": "./undisturbed"})
    subprocess.run(COMMAND, capture_output=True, timeout=120, check=True)
    assert shards("undisturbed") == first


@pytest.mark.parametrize("moment", ["data", "README.md", "gallery.html"])
def test_the_earlier_dataset_stays_until_it_is_replaced(
    in_folder: Path, endpoint: Endpoint, prefect_server: None, moment: str
) -> None:
    """Killed while its folder is being written, a build leaves the earlier dataset as it was, and loadable."""
    written(endpoint)
    subprocess.run([*COMMAND, "--limit", "5"], capture_output=True, timeout=120, check=True)
    before = shards("dataset")
    killed_when(lambda: any(Path().glob(f".dataset.building-*/{moment}")))
    # The kill may come a moment late, when the new one is in place, whole.
    rows = len(load_dataset("dataset")["train"])
    assert rows == 48 or (rows == 5 and shards("dataset") == before)
