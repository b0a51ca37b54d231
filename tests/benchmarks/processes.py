"""Other Python processes of a benchmark: what is measured never shares an interpreter with what measures."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

__all__ = ["ROOT", "EndpointProcess", "endpoint_process", "run_flow", "run_module"]

ROOT = Path(__file__).parents[2]


class EndpointProcess:
    """The test endpoint in a process of its own; see :func:`endpoint_process`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None and process.stdout is not None
        self._stdin: IO[str] = process.stdin
        self._stdout: IO[str] = process.stdout
        self.url = self._stdout.readline().strip()

    def take_account(self) -> dict[str, Any]:
        """What was called since the last account; see :mod:`tests.benchmarks.endpoint_account`."""
        self._stdin.write("account\n")
        self._stdin.flush()
        account: dict[str, Any] = json.loads(self._stdout.readline())
        return account


@contextmanager
def endpoint_process(latency_s: float, image_bytes: int, image_format: str) -> Iterator[EndpointProcess]:
    """Run an endpoint while the block runs.

    Args:
        latency_s: seconds that every answer takes.
        image_bytes: about how big the images are.
        image_format: "jpeg", "png" or "webp".
    """
    command = [sys.executable, "-m", "tests.benchmarks.endpoint_account"]
    arguments = [str(latency_s), str(image_bytes), image_format]
    with subprocess.Popen(
        [*command, *arguments], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield EndpointProcess(process)
        finally:
            process.terminate()


def run_flow(recipe: Path, home: Path) -> dict[str, Any]:
    """Build a recipe with the Prefect flow in a new process; see :mod:`tests.benchmarks.flow_process`.

    Args:
        recipe: its YAML file.
        home: Prefect's; runs that share one need not prepare its database again.
    """
    settings = {"PREFECT_HOME": str(home), "PREFECT_LOCAL_STORAGE_PATH": str(home / "results"), "HF_HUB_OFFLINE": "1"}
    return run_module("flow_process", str(recipe), environment=settings)


def run_module(name: str, *arguments: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a module of this package in a new process; gives the JSON object on its last line."""
    command = [sys.executable, "-m", f"tests.benchmarks.{name}", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True, env={**os.environ, **(environment or {})}
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
