"""One build of a recipe by the real Prefect flow, as the command line does it, with the server of ``PREFECT_API_URL``.

Usage: ``python -m tests.benchmarks.flow_process RECIPE``. Prints a JSON object: the ``report`` of the build,
``flow_s`` (the whole call of the flow), and this process's ``cpu_s`` and
``peak_mb`` (resident).
"""

import asyncio
import json
import resource
import sys
import time

from flows.cli import _configure_prefect

__all__: list[str] = []


def main(recipe: str) -> None:
    """Build, and print."""
    _configure_prefect(debug=False)
    # Imports are start-up, and left out of what is measured.
    import datasets  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    from flows.build_image_dataset import build_image_dataset

    started = time.monotonic()
    distiset = asyncio.run(build_image_dataset(recipe))
    flow_s = time.monotonic() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {"report": distiset.report.to_dict(), "flow_s": flow_s, "cpu_s": time.process_time(), "peak_mb": peak_mb}
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
