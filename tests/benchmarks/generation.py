"""How much longer the flow takes to get images than a raw loop with the same client.

Both sides are timed alike, by :mod:`tests.benchmarks.timing`.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.figure import Figure
from tests.benchmarks.processes import EndpointProcess, prefect_server, run_flow
from tests.benchmarks.recipes import write_recipe
from tests.benchmarks.timing import CALLS, Comparison, time_asking

__all__ = ["generation_1_s", "generation_100_ms"]


def generation_100_ms() -> Iterator[Figure]:
    """1,000 images that take 100 ms each, 32 in flight."""
    yield _compare("generation_100_ms", Comparison(latency_s=0.1, in_flight=32), target=1.05)


def generation_1_s() -> Iterator[Figure]:
    """1,000 images that take a second each, 64 in flight."""
    yield _compare("generation_1_s", Comparison(latency_s=1.0, in_flight=64), target=1.02)


def _compare(name: str, comparison: Comparison, target: float) -> Figure:
    with TemporaryDirectory() as temporary, prefect_server(Path(temporary) / "prefect") as api_url:
        comparison.run(Path(temporary), partial(_time_flow, comparison.in_flight, api_url))
    cpu_s = {f"{side}_cpu_s": min(run["cpu_s"] for run in getattr(comparison, side)) for side in ("flow", "raw")}
    return comparison.figure(name, target, **cpu_s)


def _time_flow(in_flight: int, api_url: str, endpoint: EndpointProcess, folder: Path) -> dict[str, Any]:
    model = {"type": "inference_endpoints", "base_url": endpoint.url}
    told = run_flow(write_recipe(folder, CALLS, model, in_flight), api_url)
    assert told["report"]["counts"] == {"ok": CALLS}
    return {**time_asking(endpoint, folder / "store"), "cpu_s": told["cpu_s"]}
