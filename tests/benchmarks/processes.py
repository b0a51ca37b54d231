"""Other Python processes of a benchmark: what is measured never shares an interpreter with what measures."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

__all__ = ["EndpointProcess", "endpoint_process", "prefect_server", "run_flow", "run_module"]

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


@contextmanager
def prefect_server(home: Path) -> Iterator[str]:
    """Run a Prefect server while the block runs; gives the URL of its API.

    It is set up as the one that the command line embeds, which is a process of its own, too. Several builds
    share it, because its start takes longer than most of them.

    Args:
        home: an empty folder.
    """
    from flows.cli import _configure_prefect

    _configure_prefect(debug=False)
    os.environ.update({"PREFECT_HOME": str(home), "PREFECT_LOCAL_STORAGE_PATH": str(home / "results")})
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port), "--no-ui"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for(f"http://127.0.0.1:{port}/api/health", process)
            yield f"http://127.0.0.1:{port}/api"
        finally:
            process.terminate()


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.URLError:
            time.sleep(0.2)
    raise RuntimeError(f"the Prefect server ended with exit code {process.returncode} before it was ready")


def run_flow(recipe: Path, api_url: str) -> dict[str, Any]:
    """Build a recipe with the Prefect flow in a new process; see :mod:`tests.benchmarks.flow_process`.

    Args:
        recipe: its YAML file.
        api_url: of :func:`prefect_server`.
    """
    return run_module("flow_process", str(recipe), environment={"PREFECT_API_URL": api_url, "HF_HUB_OFFLINE": "1"})


def run_module(name: str, *arguments: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a module of this package in a new process; gives the JSON object on its last line."""
    command = [sys.executable, "-m", f"tests.benchmarks.{name}", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True, env={**os.environ, **(environment or {})}
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
