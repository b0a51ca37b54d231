"""How long it takes from the shell to the first call: `imageloom build` with a server at hand, and with its own.

From the start of the command to the moment its first call has come in whole at an endpoint on loopback. The warm server
runs in another process and has served a build before. From cold, the command starts its own server in an empty
PREFECT_HOME, whose database has to be made; ``kept_s`` is the next build with that database.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.figure import Figure, at_most
from tests.benchmarks.processes import ROOT, EndpointProcess, endpoint_process, prefect_server
from tests.benchmarks.recipes import write_recipe
from tests.command import IMAGELOOM

__all__ = ["startup"]

IMAGE_BYTES = 2_000
ROUNDS = 3


def startup() -> Iterator[Figure]:
    """Builds of one image, each with a store of its own; the best of three."""
    with TemporaryDirectory() as temporary, endpoint_process(0.0, IMAGE_BYTES, "jpeg") as endpoint:
        folder = Path(temporary)
        alone = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        with prefect_server(folder / "prefect") as api_url:
            at_hand = {**alone, "PREFECT_API_URL": api_url, "PREFECT_HOME": str(folder / "prefect")}
            warm = [_first_call(endpoint, folder / f"warm-{number}", at_hand) for number in range(ROUNDS + 1)][1:]
        homes = [{**alone, "PREFECT_HOME": str(folder / f"home-{number}")} for number in range(ROUNDS)]
        cold = [_first_call(endpoint, folder / f"cold-{number}", home) for number, home in enumerate(homes)]
        kept = [_first_call(endpoint, folder / f"kept-{number}", home) for number, home in enumerate(homes)]
        python = min(_seconds_of("pass") for _ in range(ROUNDS))
        prefect = min(_seconds_of("import prefect.main") for _ in range(ROUNDS))
    raw = {"python_s": python, "import_prefect_s": prefect}
    yield at_most(1.5, "startup_warm_s", min(warm), runs=_rounded(warm), **raw)
    yield at_most(6.0, "startup_cold_s", min(cold), runs=_rounded(cold), kept_s=min(kept), kept_runs=_rounded(kept))


def _first_call(endpoint: EndpointProcess, folder: Path, environment: Mapping[str, str]) -> float:
    model = {"type": "inference_endpoints", "base_url": endpoint.url}
    recipe = write_recipe(folder, 1, model, max_concurrency=1)
    command = [IMAGELOOM, "build", str(recipe), "--json"]
    started = time.time()
    # In a folder without settings of Prefect.
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    account = endpoint.take_account()
    assert account["calls"] == 1
    return float(account["began"]) - started


def _seconds_of(code: str) -> float:
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    return time.monotonic() - started


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 3) for value in values]
