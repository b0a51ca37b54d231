"""How much longer a run takes when a fifth of all first calls fail, each in another way."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tasks_lib.generator import ImageGenerator
from tasks_lib.limits import Limits
from tasks_lib.models import ImageRequest, InferenceEndpointsImageGeneration
from tasks_lib.store import ImageStore
from tests.benchmarks.figure import Figure, at_most
from tests.endpoint import Endpoint

__all__ = ["mixed_faults"]

CALLS = 1000
IN_FLIGHT = 32


def mixed_faults() -> Iterator[Figure]:
    """1,000 images that take 100 ms each, 32 in flight; all of them arrive."""
    with TemporaryDirectory() as temporary:
        calm, _ = _run(Path(temporary) / "calm", 0.0)
        rough, calls = _run(Path(temporary) / "rough", 0.2)
    yield at_most(1.5, "mixed_faults", rough / calm, seconds=rough, calm_seconds=calm, calls=calls)


def _run(folder: Path, fail_share: float) -> tuple[float, int]:
    with Endpoint(latency_s=0.1, fail_share=fail_share) as endpoint:
        model = InferenceEndpointsImageGeneration(base_url=endpoint.url)
        generator = ImageGenerator(model, ImageStore(folder), Limits(max_concurrency=IN_FLIGHT))
        started = time.monotonic()
        found = generator.generate([ImageRequest(f"a cat {number}", seed=number) for number in range(CALLS)])
        seconds = time.monotonic() - started
        generator.close()
        assert Counter(each.status for each in found) == {"ok": CALLS}
        return seconds, len(endpoint.calls)
