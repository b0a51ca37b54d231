"""The deployments of prefect.yaml on a real server with a worker, and how tests run and watch them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.prefect_server import PrefectServer, running_server
from tests.processes import wait_until

__all__ = ["deployment", "end_of", "last_run", "run_and_watch", "running_deployments", "started"]

ROOT = Path(__file__).parents[1]
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@contextmanager
def running_deployments(home: Path, database: str | None = None) -> Iterator[PrefectServer]:
    """A server with the pool, every deployment of prefect.yaml and a worker, while the block runs.

    Args:
        home: an empty folder.
        database: the URL of another database than SQLite's file in that folder.
    """
    with running_server(ROOT, home, database) as server:
        for arguments in (
            ["work-pool", "create", "local", "--type", "process"],
            ["deploy", "--prefect-file", "deployments/prefect.yaml", "--all"],
        ):
            done = server.command(*arguments)
            assert done.returncode == 0, done.stdout + done.stderr
        with server.worker("local"):
            yield server


def run_and_watch(
    server: PrefectServer, parameters: dict[str, Any], name: str = "build-image-dataset/ad-hoc"
) -> tuple[int, str]:
    """The exit code and the output of ``prefect deployment run --watch``."""
    given = [part for key, value in parameters.items() for part in ("--param", f"{key}={_written(value)}")]
    done = server.command("deployment", "run", name, *given, "--watch")
    return done.returncode, done.stdout + done.stderr


def deployment(server: PrefectServer, name: str = "build-image-dataset/ad-hoc") -> dict[str, Any]:
    """A deployment, by the names of its flow and its own."""
    found: dict[str, Any] = server.request("GET", f"/deployments/name/{name}")
    return found


def started(server: PrefectServer, recipe: dict[str, Any]) -> str:
    """The id of a new run of a recipe given as JSON."""
    place = f"/deployments/{deployment(server)['id']}/create_flow_run"
    run = server.request("POST", place, {"parameters": {"recipe": recipe}, "state": {"type": "SCHEDULED"}})
    return str(run["id"])


def end_of(server: PrefectServer, run_id: str) -> dict[str, Any]:
    """The run, once it has ended."""

    def ended() -> dict[str, Any] | None:
        run: dict[str, Any] = server.request("GET", f"/flow_runs/{run_id}")
        return run if run["state_type"] in ENDED else None

    run: dict[str, Any] = wait_until(ended, timeout_s=120, what="the flow run")
    return run


def last_run(server: PrefectServer, flow: str = "build-image-dataset") -> dict[str, Any]:
    """The run of a flow that was started last, of those that have ended."""
    asked = {
        "sort": "START_TIME_DESC",
        "limit": 1,
        "flows": {"name": {"any_": [flow]}},
        "flow_runs": {"state": {"type": {"any_": sorted(ENDED)}}},
    }
    run: dict[str, Any] = server.request("POST", "/flow_runs/filter", asked)[0]
    return run


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
