"""``python -m tests.benchmarks [NAME ...]``: measure and print one JSON object for each figure."""

import argparse
import signal
import sys
from collections.abc import Callable, Iterator

from tests.benchmarks.adaptive_concurrency import adaptive_concurrency
from tests.benchmarks.cached_rerun import cached_rerun
from tests.benchmarks.conversion import conversion
from tests.benchmarks.figure import Figure
from tests.benchmarks.gallery import gallery
from tests.benchmarks.generation import generation_1_s, generation_100_ms
from tests.benchmarks.memory import memory
from tests.benchmarks.mixed_faults import mixed_faults
from tests.benchmarks.model_overhead import model_overhead
from tests.benchmarks.runners import runners
from tests.benchmarks.shard_writing import shard_writing
from tests.benchmarks.startup import startup
from tests.benchmarks.worker import generation_100_ms_worker

BENCHMARKS: dict[str, Callable[[], Iterator[Figure]]] = {
    benchmark.__name__: benchmark
    for benchmark in (
        generation_100_ms,
        generation_1_s,
        generation_100_ms_worker,
        adaptive_concurrency,
        cached_rerun,
        conversion,
        gallery,
        memory,
        mixed_faults,
        model_overhead,
        runners,
        shard_writing,
        startup,
    )
}


def main() -> int:
    """Run the benchmarks named, or all; gives 1 if a figure misses its target."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], metavar="NAME", help=", ".join(BENCHMARKS))
    # A benchmark that is stopped stops the processes it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    missed = 0
    for name in parser.parse_args().names or BENCHMARKS:
        for figure in BENCHMARKS[name]():
            print(figure.to_json(), flush=True)
            missed += not figure.ok
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
