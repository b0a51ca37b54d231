"""How much faster two worker processes are than one where the work is the processor's: images drawn and checked.

Timed by the store: from the first record written to the last, so that the start of a cluster is left out, and
everything that a row costs while others are worked on is in. The flow and the Prefect server share the machine, as
they would. A worker draws one image at a time; what its threads use beyond one core is in ``one_worker_cores``.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tests.benchmarks.figure import Figure, at_least
from tests.benchmarks.processes import prefect_server, run_flow
from tests.benchmarks.recipes import write_recipe

__all__ = ["runners"]

ROWS = 256
SIDE = 1024
ROUNDS = 2


def runners() -> Iterator[Figure]:
    """Images of 1024 px with checks, by one and by two workers of a local Dask cluster, in turn."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    cores: dict[int, list[float]] = {1: [], 2: []}
    with TemporaryDirectory() as temporary, prefect_server(Path(temporary) / "prefect") as api_url:
        for number in range(ROUNDS):
            for workers in seconds:
                folder = Path(temporary) / f"{workers}-{number}"
                used, started = _cpu_s(), time.monotonic()
                run = run_flow(_recipe(folder, workers), api_url)
                assert run["report"]["asked"] == ROWS
                cores[workers].append((_cpu_s() - used) / (time.monotonic() - started))
                seconds[workers].append(_seconds_of(folder / "store"))
    yield at_least(
        1.7,
        "two_workers_over_one",
        min(seconds[1]) / min(seconds[2]),
        images_a_second_of_one=ROWS / min(seconds[1]),
        one_runs=[round(each, 2) for each in seconds[1]],
        two_runs=[round(each, 2) for each in seconds[2]],
        cores_of_one=[round(each, 2) for each in cores[1]],
        cores_of_two=[round(each, 2) for each in cores[2]],
        cpus=os.cpu_count(),
    )


def _recipe(folder: Path, workers: int) -> Path:
    model = {"type": "procedural", "width": SIDE, "height": SIDE}
    path = write_recipe(folder, ROWS, model, max_concurrency=workers)
    recipe: dict[str, Any] = yaml.safe_load(path.read_text())
    recipe |= {"runner": {"type": "dask", "workers": workers}, "batch_size": 16}
    recipe["checks"] = {"blank": True, "min_side": 512, "near_duplicates": {"distance": 0}}
    path.write_text(yaml.safe_dump(recipe))
    return path


def _seconds_of(store: Path) -> float:
    moments = [record.stat().st_mtime for record in store.rglob("*.json")]
    return max(moments) - min(moments)


def _cpu_s() -> float:
    """What all processes of this machine have used."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, irq, softirq = map(int, fields[:7])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
