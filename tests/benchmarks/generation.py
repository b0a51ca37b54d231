"""How much longer the flow takes to get images than a raw loop with the same client.

Both sides are timed alike, by :mod:`tests.benchmarks.timing`.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.figure import Figure, at_most
from tests.benchmarks.processes import EndpointProcess, endpoint_process, prefect_server, run_flow
from tests.benchmarks.recipes import write_recipe
from tests.benchmarks.timing import CALLS, IMAGE_BYTES, ROUNDS, time_asking, time_raw

__all__ = ["generation_1_s", "generation_100_ms"]


def generation_100_ms() -> Iterator[Figure]:
    """1,000 images that take 100 ms each, 32 in flight."""
    yield _compare("generation_100_ms", latency_s=0.1, in_flight=32, target=1.05)


def generation_1_s() -> Iterator[Figure]:
    """1,000 images that take a second each, 64 in flight."""
    yield _compare("generation_1_s", latency_s=1.0, in_flight=64, target=1.02)


def _compare(name: str, latency_s: float, in_flight: int, target: float) -> Figure:
    raw: list[dict[str, Any]] = []
    flow: list[dict[str, Any]] = []
    with (
        TemporaryDirectory() as temporary,
        prefect_server(Path(temporary) / "prefect") as api_url,
        endpoint_process(latency_s, IMAGE_BYTES, "jpeg") as endpoint,
    ):
        for number in range(ROUNDS):
            folder = Path(temporary) / str(number)
            raw.append(time_raw(endpoint, folder / "raw", in_flight))
            flow.append(_time_flow(endpoint, folder / "flow", in_flight, api_url))
    best_raw, best_flow = (min(each, key=lambda run: float(run["seconds"])) for each in (raw, flow))
    return at_most(
        target,
        name,
        best_flow["seconds"] / best_raw["seconds"],
        flow_s=best_flow["seconds"],
        raw_s=best_raw["seconds"],
        ideal_s=latency_s * CALLS / in_flight,
        flow_cpu_s=best_flow["cpu_s"],
        raw_cpu_s=best_raw["cpu_s"],
        flow_runs=[round(run["seconds"], 3) for run in flow],
        raw_runs=[round(run["seconds"], 3) for run in raw],
    )


def _time_flow(endpoint: EndpointProcess, folder: Path, in_flight: int, api_url: str) -> dict[str, Any]:
    model = {"type": "inference_endpoints", "base_url": endpoint.url}
    told = run_flow(write_recipe(folder, CALLS, model, in_flight), api_url)
    assert told["report"]["counts"] == {"ok": CALLS}
    return {**time_asking(endpoint, folder / "store"), "cpu_s": told["cpu_s"]}
