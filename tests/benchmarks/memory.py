"""How the peak memory of a build grows with its rows: resident, of the flow's process, one new process each."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.figure import Figure, at_most
from tests.benchmarks.processes import endpoint_process, prefect_server, run_flow
from tests.benchmarks.recipes import write_recipe

__all__ = ["memory"]

FEW, MANY = 2_000, 20_000
IMAGE_BYTES = 2_000


def memory() -> Iterator[Figure]:
    """20,000 rows against 2,000, each asked for and written, with images of 2 KB."""
    with (
        TemporaryDirectory() as temporary,
        prefect_server(Path(temporary) / "prefect") as api_url,
        endpoint_process(0.0, IMAGE_BYTES, "jpeg") as endpoint,
    ):
        model = {"type": "inference_endpoints", "base_url": endpoint.url}
        runs = {}
        for rows in (FEW, MANY):
            recipe = write_recipe(Path(temporary) / str(rows), rows, model, max_concurrency=32)
            runs[rows] = run_flow(recipe, api_url)
            assert runs[rows]["report"]["counts"] == {"ok": rows}
    yield at_most(
        1.15,
        "memory_growth",
        runs[MANY]["peak_mb"] / runs[FEW]["peak_mb"],
        few_mb=runs[FEW]["peak_mb"],
        many_mb=runs[MANY]["peak_mb"],
        few_s=runs[FEW]["report"]["seconds"],
        many_s=runs[MANY]["report"]["seconds"],
    )
