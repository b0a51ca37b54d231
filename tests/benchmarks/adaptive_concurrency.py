"""How closely the window follows an endpoint that takes 8, then 2, then 32 calls at a time, without saying so.

``python -m tests.benchmarks.adaptive_concurrency window.svg`` also draws window and capacity against time.
"""

import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from tasks_lib.errors import StopError
from tasks_lib.generator import ImageGenerator
from tasks_lib.limits import Limits
from tasks_lib.models import ImageRequest, InferenceEndpointsImageGeneration
from tasks_lib.store import ImageStore
from tests.benchmarks.figure import Figure, at_least, at_most
from tests.endpoint import Endpoint

__all__ = ["adaptive_concurrency"]

CAPACITIES = (8, 2, 32)
PHASE_S = 15.0
LATENCY_S = 0.2
MAX_CONCURRENCY = 64
BATCHES, BATCH_SIZE = 8, 128


@dataclass
class Trace:
    """What was seen."""

    points: list[tuple[float, int, int]] = field(default_factory=list)
    """Seconds, window, capacity."""
    statuses: list[Counter[int]] = field(default_factory=list)
    """Answers by HTTP status, for each capacity."""
    seconds: list[float] = field(default_factory=list)


def adaptive_concurrency(plot: Path | None = None) -> Iterator[Figure]:
    """Calls throttled, and throughput against the ideal, with 64 allowed and 8, 2, 32 taken."""
    trace = _measure()
    answered = [counts[200] for counts in trace.statuses]
    throttled = [counts[429] for counts in trace.statuses]
    ideal = [capacity * seconds / LATENCY_S for capacity, seconds in zip(CAPACITIES, trace.seconds, strict=True)]
    shares = [round(found / most, 3) for found, most in zip(answered, ideal, strict=True)]
    settled = [[window for _, window, now in trace.points if now == capacity][-1] for capacity in CAPACITIES]
    if plot:
        plot.write_text(_drawn(trace.points), encoding="utf-8")
    all_calls = sum(answered) + sum(throttled)
    yield at_most(0.05, "adaptive_throttled", sum(throttled) / all_calls, calls=all_calls, by_phase=throttled)
    yield at_least(0.8, "adaptive_throughput", sum(answered) / sum(ideal), by_phase=shares, windows=settled)


def _measure() -> Trace:
    trace = Trace()
    with _endpoint() as (url, control), tempfile.TemporaryDirectory() as folder:
        model = InferenceEndpointsImageGeneration(base_url=url)
        generator = ImageGenerator(model, ImageStore(folder), Limits(max_concurrency=MAX_CONCURRENCY))
        _allow(control, CAPACITIES[0])
        threads = [threading.Thread(target=_keep_asking, args=(generator, batch)) for batch in range(BATCHES)]
        for thread in threads:
            thread.start()
        for capacity, following in zip(CAPACITIES, (*CAPACITIES[1:], 0), strict=True):
            trace.seconds.append(_watch(generator, capacity, trace))
            trace.statuses.append(_allow(control, following))
        generator.stop("the benchmark is over")
        for thread in threads:
            thread.join()
        generator.close()
    return trace


def _keep_asking(generator: ImageGenerator, batch: int) -> None:
    start = 0
    try:
        while True:
            prompts = [f"batch {batch}, image {start + place}" for place in range(BATCH_SIZE)]
            generator.generate([ImageRequest(prompt, seed=1) for prompt in prompts])
            start += BATCH_SIZE
    except StopError:
        return


def _watch(generator: ImageGenerator, capacity: int, trace: Trace) -> float:
    started = time.monotonic()
    while time.monotonic() < started + PHASE_S:
        trace.points.append((time.monotonic(), generator.window.window, capacity))
        time.sleep(0.02)
    return time.monotonic() - started


@contextmanager
def _endpoint() -> Iterator[tuple[str, Connection]]:
    """An endpoint in a process of its own; it does not share our interpreter."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv(), ours
    finally:
        process.terminate()
        process.join()


def _serve(control: Connection) -> None:
    with Endpoint(latency_s=LATENCY_S) as endpoint:
        control.send(endpoint.url)
        while True:
            endpoint.allow(control.recv())
            control.send(Counter(call.status for call in endpoint.calls))
            endpoint.reset()


def _allow(control: Connection, capacity: int) -> Counter[int]:
    """From now on so many calls are taken; gives the answers since the last time."""
    control.send(capacity)
    statuses: Counter[int] = control.recv()
    return statuses


def _drawn(points: list[tuple[float, int, int]]) -> str:
    """SVG with the capacity in grey, the window in blue."""
    width, height, left = 900, 300, 40
    start, seconds = points[0][0], points[-1][0] - points[0][0]

    def line(column: int, style: str) -> str:
        places = ((point[0] - start, point[column] / MAX_CONCURRENCY) for point in points)
        drawn = " ".join(f"{left + x / seconds * width:.1f},{height - y * height:.1f}" for x, y in places)
        return f'<polyline points="{drawn}" fill="none" {style}/>'

    grey, blue = 'stroke="#aaa" stroke-width="3"', 'stroke="#05c" stroke-width="1.5"'
    labels = "".join(
        f'<text x="8" y="{height - value / MAX_CONCURRENCY * height + 4:.0f}">{value}</text>' for value in CAPACITIES
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -10 {left + width + 10} {height + 40}" font-size="12">'
        "<title>Calls in flight: what the endpoint takes (grey) and the window (blue)</title>"
        f"{line(2, grey)}{line(1, blue)}{labels}"
        f'<text x="{width - 20}" y="{height + 20}">{seconds:.0f} s</text></svg>\n'
    )


if __name__ == "__main__":
    for figure in adaptive_concurrency(Path(sys.argv[1]) if len(sys.argv) > 1 else None):
        print(figure.to_json())
