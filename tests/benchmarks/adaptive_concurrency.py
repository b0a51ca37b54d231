"""How closely the window follows an endpoint that takes 8, then 2, then 32 calls at a time, without saying so.

    python -m tests.benchmarks.adaptive_concurrency --seconds 10 --plot window.svg

Prints a JSON object for each phase and one for the whole; the plot shows the window and the endpoint's capacity
against time. The endpoint runs in this process, in a thread of its own.
"""

import argparse
import json
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tasks_lib.errors import StopError
from tasks_lib.generator import ImageGenerator
from tasks_lib.limits import Limits
from tasks_lib.models import ImageRequest, InferenceEndpointsImageGeneration
from tasks_lib.store import ImageStore
from tests.endpoint import Endpoint

CAPACITIES = (8, 2, 32)
Trace = list[tuple[float, int, int]]
"""Moment in seconds, window, capacity."""
DEMAND = 1024
"""Requests in play, as in a flow: eight batches of 128."""


@dataclass(frozen=True)
class Phase:
    """What happened while the endpoint took so many calls at a time."""

    capacity: int
    seconds: float
    answered: int
    throttled: int
    window: int

    def figure(self, latency_s: float) -> dict[str, float | int]:
        ideal = self.capacity * self.seconds / latency_s
        return {
            "capacity": self.capacity,
            "seconds": round(self.seconds, 2),
            "answered": self.answered,
            "throttled_share": round(self.throttled / max(1, self.answered + self.throttled), 4),
            "share_of_ideal": round(self.answered / ideal, 3),
            "window_at_the_end": self.window,
        }


def keep_asking(generator: ImageGenerator, batch: int) -> None:
    """Ask for images, a batch after the other, until the generator is stopped."""
    number = 0
    try:
        while True:
            prompts = [f"batch {batch}, image {number + place}" for place in range(DEMAND // 8)]
            generator.generate([ImageRequest(prompt, seed=1) for prompt in prompts])
            number += len(prompts)
    except StopError:
        return


def watch(generator: ImageGenerator, endpoint: Endpoint, capacity: int, seconds: float, trace: Trace) -> Phase:
    """Let the endpoint serve for a while, and note the window as it goes."""
    calls = len(endpoint.calls)
    started = time.monotonic()
    while time.monotonic() < started + seconds:
        trace.append((time.monotonic(), generator.window.window, capacity))
        time.sleep(0.02)
    statuses = [call.status for call in endpoint.calls[calls:]]
    spent = time.monotonic() - started
    return Phase(capacity, spent, statuses.count(200), statuses.count(429), generator.window.window)


def measure(maximum: int, seconds: float, latency_s: float, retry_after: str | None) -> tuple[list[Phase], Trace]:
    """Run all phases against one endpoint."""
    trace: Trace = []
    with Endpoint(latency_s=latency_s) as endpoint, tempfile.TemporaryDirectory() as folder:
        model = InferenceEndpointsImageGeneration(base_url=endpoint.url)
        generator = ImageGenerator(model, ImageStore(folder), Limits(max_concurrency=maximum))
        threads = [threading.Thread(target=keep_asking, args=(generator, batch)) for batch in range(8)]
        phases = []
        for capacity in CAPACITIES:
            endpoint.allow(capacity, retry_after)
            if not phases:
                for thread in threads:
                    thread.start()
            phases.append(watch(generator, endpoint, capacity, seconds, trace))
        generator.stop("the benchmark is over")
        for thread in threads:
            thread.join()
        generator.close()
    return phases, trace


def plot(trace: Trace, maximum: int) -> str:
    """Draw the window (blue) and the endpoint's capacity (grey) against time, as SVG."""
    width, height, left = 900, 300, 40
    start, end = trace[0][0], trace[-1][0]

    def line(values: list[tuple[float, int]], colour: str, stroke: float) -> str:
        points = " ".join(
            f"{left + (moment - start) / (end - start) * width:.1f},{height - value / maximum * (height - 20):.1f}"
            for moment, value in values
        )
        return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{stroke}"/>'

    ticks = "".join(
        f'<text x="4" y="{height - value / maximum * (height - 20) + 4:.1f}">{value}</text>'
        for value in sorted({1, *CAPACITIES, maximum})
    )
    below = height + 20
    seconds = f'<text x="{left}" y="{below}">0 s</text><text x="{width}" y="{below}">{end - start:.0f} s</text>'
    lines = line([(moment, capacity) for moment, _, capacity in trace], "#999", 3)
    lines += line([(moment, window) for moment, window, _ in trace], "#06c", 1.5)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 20} {height + 30}" '
        f'font-family="sans-serif" font-size="12"><title>Window and capacity against time</title>'
        f"{ticks}{seconds}{lines}</svg>\n"
    )


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10, help="of each phase")
    parser.add_argument("--latency", type=float, default=0.1, help="seconds that every answer takes")
    parser.add_argument("--max-concurrency", type=int, default=64)
    parser.add_argument("--retry-after", help="sent with every 429, in seconds")
    parser.add_argument("--plot", type=Path, help="where to write the SVG")
    options = parser.parse_args()
    phases, trace = measure(options.max_concurrency, options.seconds, options.latency, options.retry_after)
    for phase in phases:
        print(json.dumps(phase.figure(options.latency)))
    answered, throttled = sum(phase.answered for phase in phases), sum(phase.throttled for phase in phases)
    ideal = sum(phase.capacity * phase.seconds / options.latency for phase in phases)
    whole = {"throttled_share": throttled / (answered + throttled), "share_of_ideal": answered / ideal}
    print(json.dumps({"whole": {name: round(value, 4) for name, value in whole.items()}}))
    if options.plot:
        options.plot.write_text(plot(trace, options.max_concurrency), encoding="utf-8")


if __name__ == "__main__":
    main()
