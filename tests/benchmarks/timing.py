"""How long asking takes, timed alike for a build and a raw loop: from the endpoint's first call to the last file.

Start-up is left out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.figure import Figure, at_most
from tests.benchmarks.processes import EndpointProcess, endpoint_process, run_module

__all__ = ["CALLS", "Comparison", "time_asking"]

Run = dict[str, Any]
"""Its ``seconds``, and what else is told of it."""

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


@dataclass
class Comparison:
    """Builds against the raw loop: :data:`CALLS` calls that take ``latency_s`` each, ``in_flight`` at a time."""

    latency_s: float
    in_flight: int
    flow: list[Run] = field(default_factory=list)
    raw: list[Run] = field(default_factory=list)

    def run(self, folder: Path, build: Callable[[EndpointProcess, Path], Run]) -> None:
        """Run both in turns, so that a machine that slows down slows both.

        Args:
            folder: where each run gets a folder of its own.
            build: builds into such a folder, from the endpoint.
        """
        with endpoint_process(self.latency_s, IMAGE_BYTES, "jpeg") as endpoint:
            for number in range(ROUNDS):
                self.raw.append(_time_raw(endpoint, folder / str(number) / "raw", self.in_flight))
                self.flow.append(build(endpoint, folder / str(number) / "flow"))

    def figure(self, name: str, target: float, **told: Any) -> Figure:
        """The best build over the best raw loop.

        Args:
            name: of the figure.
            target: what it may be at most.
            told: what else is told.
        """
        flow, raw = ([run["seconds"] for run in runs] for runs in (self.flow, self.raw))
        return at_most(
            target,
            name,
            min(flow) / min(raw),
            flow_s=min(flow),
            raw_s=min(raw),
            ideal_s=self.latency_s * CALLS / self.in_flight,
            flow_runs=[round(seconds, 3) for seconds in flow],
            raw_runs=[round(seconds, 3) for seconds in raw],
            **told,
        )


def _time_raw(endpoint: EndpointProcess, folder: Path, in_flight: int) -> Run:
    folder.mkdir(parents=True)
    told = run_module("raw_loop", endpoint.url, str(CALLS), str(in_flight), str(folder))
    return {**time_asking(endpoint, folder), "cpu_s": told["cpu_s"]}
