"""The same as :mod:`tests.benchmarks.generation` for a deployed flow that a process worker runs, as README says.

Server, worker, flow and raw loop share the machine; the worker asks for work every second.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.figure import Figure, at_most
from tests.benchmarks.prefect_database import database_bytes
from tests.benchmarks.processes import EndpointProcess, endpoint_process
from tests.benchmarks.recipes import write_recipe
from tests.benchmarks.timing import CALLS, IMAGE_BYTES, ROUNDS, time_asking, time_raw
from tests.deployments import last_run, run_and_watch, running_deployments
from tests.prefect_server import PrefectServer, wait_until

__all__ = ["generation_100_ms_worker"]

LATENCY_S = 0.1
IN_FLIGHT = 32


def generation_100_ms_worker() -> Iterator[Figure]:
    """1,000 images that take 100 ms each, 32 in flight, by `prefect deployment run build-image-dataset/ad-hoc`."""
    raw: list[dict[str, Any]] = []
    worker: list[dict[str, Any]] = []
    with (
        TemporaryDirectory() as temporary,
        running_deployments(Path(temporary) / "prefect") as server,
        endpoint_process(LATENCY_S, IMAGE_BYTES, "jpeg") as endpoint,
    ):
        for number in range(ROUNDS):
            folder = Path(temporary) / str(number)
            raw.append(time_raw(endpoint, folder / "raw", IN_FLIGHT))
            worker.append(_time_worker(server, endpoint, folder / "worker"))
    yield _time(worker, raw)
    yield from _per_1000_images(worker)


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


def _time(worker: list[dict[str, Any]], raw: list[dict[str, Any]]) -> Figure:
    best_worker, best_raw = (min(run["seconds"] for run in runs) for runs in (worker, raw))
    return at_most(
        1.05,
        "generation_100_ms_worker",
        best_worker / best_raw,
        worker_s=best_worker,
        raw_s=best_raw,
        ideal_s=LATENCY_S * CALLS / IN_FLIGHT,
        seconds_to_first_call=min(run["start_s"] for run in worker),
        task_runs_per_1000_images=_task_runs(worker),
        worker_runs=[round(run["seconds"], 3) for run in worker],
        raw_runs=[round(run["seconds"], 3) for run in raw],
        first_call_runs=[round(run["start_s"], 1) for run in worker],
    )


def _per_1000_images(worker: list[dict[str, Any]]) -> Iterator[Figure]:
    grown_mb = [run["database_bytes"] / 1e6 * 1000 / CALLS for run in worker]
    runs = [round(each, 2) for each in grown_mb]
    yield at_most(16, "task_runs_per_1000_images", _task_runs(worker))
    yield at_most(5, "prefect_database_mb_per_1000_images", max(grown_mb), runs=runs)


def _task_runs(worker: list[dict[str, Any]]) -> float:
    return float(max(run["task_runs"] for run in worker) * 1000 / CALLS)
