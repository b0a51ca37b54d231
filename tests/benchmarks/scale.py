"""How a build grows with its rows: time, memory, disk, files and Prefect's database; the figures of docs/scale.md.

``python -m tests.benchmarks.scale 1000 5000 20000 50000 --image-bytes 2000``: prints a JSON object for each number of
rows. Each is built twice into a store of its own: once asked from an endpoint on loopback without latency, and once
more from the store. Peak memory is that of the flow's process, resident, in MB; ``idle_mb`` is that of a build of a
single row.
"""

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.prefect_database import database_bytes
from tests.benchmarks.processes import EndpointProcess, endpoint_process, prefect_server, run_flow
from tests.benchmarks.recipes import write_recipe

__all__: list[str] = []

IN_FLIGHT = 32


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument("rows", type=int, nargs="*", default=[1_000, 5_000, 20_000, 50_000])
    parser.add_argument("--image-bytes", type=int, default=2_000)
    options = parser.parse_args()
    with (
        TemporaryDirectory() as temporary,
        prefect_server(Path(temporary) / "prefect") as api_url,
        endpoint_process(0.0, options.image_bytes, "jpeg") as endpoint,
    ):
        folder = Path(temporary)
        idle_mb = _build(folder, 1, endpoint, api_url)["peak_mb"]
        for rows in options.rows:
            grown = _measure(folder, rows, endpoint, api_url)
            print(
                json.dumps({"rows": rows, "image_bytes": options.image_bytes, "idle_mb": idle_mb, **grown}), flush=True
            )


def _measure(folder: Path, rows: int, endpoint: EndpointProcess, api_url: str) -> dict[str, Any]:
    database = database_bytes(folder / "prefect")
    first = _build(folder, rows, endpoint, api_url)
    database = database_bytes(folder / "prefect") - database
    again = _build(folder, rows, endpoint, api_url)
    assert again["report"]["from_store"] == rows
    place = folder / str(rows)
    return {
        "first_s": first["report"]["seconds"],
        "first_cpu_s": round(first["cpu_s"], 1),
        "first_mb": round(first["peak_mb"]),
        "again_s": again["report"]["seconds"],
        "again_mb": round(again["peak_mb"]),
        "store_files": sum(1 for path in (place / "store").rglob("*") if path.is_file()),
        "store_disk_mb": round(_disk(place / "store") / 1e6, 1),
        "dataset_mb": round(_bytes(place / "datasets", "*") / 1e6, 1),
        "prefect_database_mb": round(database / 1e6, 2),
    }


def _build(folder: Path, rows: int, endpoint: EndpointProcess, api_url: str) -> dict[str, Any]:
    model = {"type": "inference_endpoints", "base_url": endpoint.url}
    return run_flow(write_recipe(folder / str(rows), rows, model, IN_FLIGHT), api_url)


def _bytes(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.rglob(pattern) if path.is_file())


def _disk(folder: Path) -> int:
    """What the files take, in whole blocks."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))


if __name__ == "__main__":
    main()
