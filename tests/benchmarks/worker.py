"""The same as :mod:`tests.benchmarks.generation` for a deployed flow that a process worker runs, as README says.

Server, worker, flow and raw loop share the machine; the worker asks for work every second.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.figure import Figure, at_most
from tests.benchmarks.prefect_database import database_bytes
from tests.benchmarks.processes import EndpointProcess
from tests.benchmarks.recipes import write_recipe
from tests.benchmarks.timing import CALLS, Comparison, time_asking
from tests.deployments import last_run, run_and_watch, running_deployments
from tests.prefect_server import PrefectServer
from tests.processes import wait_until

__all__ = ["generation_100_ms_worker"]

IN_FLIGHT = 32


def generation_100_ms_worker() -> Iterator[Figure]:
    """1,000 images that take 100 ms each, 32 in flight, by `prefect deployment run build-image-dataset/ad-hoc`."""
    comparison = Comparison(latency_s=0.1, in_flight=IN_FLIGHT)
    with TemporaryDirectory() as temporary, running_deployments(Path(temporary) / "prefect") as server:
        comparison.run(Path(temporary), partial(_time_worker, server))
    starts = [round(run["start_s"], 1) for run in comparison.flow]
    yield comparison.figure("generation_100_ms_worker", 1.05, first_call_runs=starts)
    yield from _per_1000_images(comparison.flow)


def _time_worker(server: PrefectServer, endpoint: EndpointProcess, folder: Path) -> dict[str, Any]:
    model = {"type": "inference_endpoints", "base_url": endpoint.url}
    recipe = write_recipe(folder, CALLS, model, IN_FLIGHT)
    database = database_bytes(server.home)
    code, output = run_and_watch(server, {"recipe": str(recipe)})
    assert code == 0, output
    run = last_run(server)
    assert run["state"]["message"].startswith(f"{CALLS:,} of {CALLS:,} images"), run["state"]["message"]
    asking = time_asking(endpoint, folder / "store")
    _wait_for_records(server, run["id"])
    return {
        "seconds": asking["seconds"],
        "start_s": asking["began"] - datetime.fromisoformat(run["created"]).timestamp(),
        "task_runs": server.request("POST", "/task_runs/count", _of(run["id"])),
        "database_bytes": database_bytes(server.home) - database,
    }


def _wait_for_records(server: PrefectServer, run_id: str) -> None:
    """Task runs and events are kept seconds after they happen: wait for the last ones of a run."""
    last_task = {"name": {"any_": ["write dataset"]}, "state": {"type": {"any_": ["COMPLETED"]}}}
    last_event = {"event": {"name": ["prefect.flow-run.Completed"]}, "resource": {"id": [f"prefect.flow-run.{run_id}"]}}

    def are_kept() -> bool:
        tasks: int = server.request("POST", "/task_runs/count", {**_of(run_id), "task_runs": last_task})
        return tasks > 0 and server.request("POST", "/events/filter", {"filter": last_event})["total"] > 0

    wait_until(are_kept, timeout_s=120, what="the records of the run's last task and event")


def _of(run_id: str) -> dict[str, Any]:
    return {"flow_runs": {"id": {"any_": [run_id]}}}


def _per_1000_images(worker: list[dict[str, Any]]) -> Iterator[Figure]:
    grown_mb = [run["database_bytes"] / 1e6 * 1000 / CALLS for run in worker]
    runs = [round(each, 2) for each in grown_mb]
    task_runs = max(run["task_runs"] for run in worker) * 1000 / CALLS
    yield at_most(16, "task_runs_per_1000_images", task_runs)
    yield at_most(5, "prefect_database_mb_per_1000_images", max(grown_mb), runs=runs)
