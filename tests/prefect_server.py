"""A real Prefect server and its workers for tests, each a process of its own, with a home of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.processes import free_port, running_process, wait_until

__all__ = ["PrefectServer", "running_server"]

PREFECT = [sys.executable, "-m", "prefect"]


@dataclass(frozen=True)
class PrefectServer:
    """A running server, and what commands need to reach it."""

    url: str
    """Of its API."""
    folder: Path
    """Where commands run."""
    home: Path
    """Its ``PREFECT_HOME``, with the database and the logs of the processes."""
    environment: dict[str, str]

    def command(self, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Run ``prefect ...`` to its end."""
        return subprocess.run(
            [*PREFECT, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the API, and give what it answers."""
        # While work arrives, a small machine may answer late.
        with httpx2.Client(trust_env=False, timeout=60) as client:

            def answer() -> httpx2.Response | None:
                # The server answers 503 while SQLite is locked, and its own clients try again.
                response = client.request(method, f"{self.url}{path}", json=body)
                return None if response.status_code == 503 else response

            answered: httpx2.Response = wait_until(answer, 60, f"an answer to {method} {path}")
        answered.raise_for_status()
        return answered.json() if answered.content else None

    @contextmanager
    def worker(self, pool: str) -> Iterator[None]:
        """A worker that asks for work every second."""
        environment = {**self.environment, "PREFECT_WORKER_QUERY_SECONDS": "1"}
        arguments = [*PREFECT, "worker", "start", "--pool", pool, "--name", "test-worker"]
        with running_process(arguments, self.folder, environment, self.home / "worker.log"):
            yield


@contextmanager
def running_server(folder: Path, home: Path, database: str | None = None, ui: bool = False) -> Iterator[PrefectServer]:
    """A server on a free loopback port.

    Args:
        folder: where it and every command run.
        home: its ``PREFECT_HOME``, with its database.
        database: the URL of another database.
        ui: whether it serves its pages.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PREFECT_HOME": str(home),
        "PREFECT_LOCAL_STORAGE_PATH": str(home / "results"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_ENABLED": str(ui).lower(),
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "1",
        "PREFECT_API_URL": url,
        # So that tables and messages are not broken over lines.
        "COLUMNS": "500",
    }
    if database:
        environment["PREFECT_API_DATABASE_CONNECTION_URL"] = database
    home.mkdir(parents=True, exist_ok=True)
    log = home / "server.log"
    arguments = [*PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with running_process(arguments, folder, environment, log) as process:
        wait_until(lambda: _is_healthy(url, process, log), timeout_s=120, what="the Prefect server")
        yield PrefectServer(url, folder, home, environment)


def _is_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"the Prefect server ended with {process.returncode}: {log.read_text()[-2000:]}")
    try:
        return httpx2.get(f"{url}/health", timeout=5, trust_env=False).is_success
    except httpx2.TransportError:
        return False
