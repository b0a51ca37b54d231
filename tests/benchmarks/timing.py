"""How long asking takes, timed alike for a build and a raw loop: from the endpoint's first call to the last file.

Start-up is left out.
"""

from pathlib import Path
from typing import Any

from tests.benchmarks.processes import EndpointProcess, run_module

__all__ = ["CALLS", "IMAGE_BYTES", "ROUNDS", "time_asking", "time_raw"]

CALLS = 1000
IMAGE_BYTES = 100_000
ROUNDS = 3


def time_asking(endpoint: EndpointProcess, folder: Path) -> dict[str, float]:
    """When the calls since the last account ``began`` (seconds since 1970) and how many ``seconds`` they took.

    Args:
        endpoint: which got :data:`CALLS` calls, and answered all.
        folder: where the images were written.
    """
    account = endpoint.take_account()
    assert account["calls"] == account["delivered"] == CALLS
    written = max(path.stat().st_mtime for path in folder.rglob("*") if path.is_file())
    return {"began": account["began"], "seconds": written - account["began"]}


def time_raw(endpoint: EndpointProcess, folder: Path, in_flight: int) -> dict[str, Any]:
    """Run the raw loop into a new folder: what :func:`time_asking` says, and its ``cpu_s``."""
    folder.mkdir(parents=True)
    told = run_module("raw_loop", endpoint.url, str(CALLS), str(in_flight), str(folder))
    return {**time_asking(endpoint, folder), "cpu_s": told["cpu_s"]}
