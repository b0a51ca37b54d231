"""How much quicker base64 becomes an image column than by decoding and encoding every image again."""

import base64
import io
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.benchmarks.figure import Figure, at_least
from tests.endpoint_images import image_for

__all__ = ["conversion"]

ROWS = 1000
IMAGE_BYTES = 100_000
ROUNDS = 3


def conversion() -> Iterator[Figure]:
    """1,000 rows of base64 JPEG, 100 KB each."""
    from datasets import Dataset, Image, disable_progress_bars

    from tasks_lib import Distiset

    disable_progress_bars()
    originals = [image_for(f"{n}", image_format="jpeg", image_bytes=IMAGE_BYTES) for n in range(ROWS)]
    encoded = [base64.b64encode(data).decode() for data in originals]

    def transform() -> Any:
        distiset = Distiset({"default": Dataset.from_dict({"image": encoded})})
        return _timed(lambda: distiset.transform_columns_to_image("image")["default"])

    def decode_and_encode() -> Any:
        dataset = Dataset.from_dict({"image": encoded})
        return _timed(lambda: dataset.map(_opened).cast_column("image", Image()))

    slow, quick = [], []
    for _ in range(ROUNDS):
        slow.append(decode_and_encode()[0])
        seconds, dataset = transform()
        quick.append(seconds)
    cells = dataset.cast_column("image", Image(decode=False))["image"]
    assert [cell["bytes"] for cell in cells] == originals
    yield at_least(50, "conversion_speedup", min(slow) / min(quick), map_s=min(slow), transform_s=min(quick))


def _opened(row: dict[str, Any]) -> dict[str, Any]:
    """distilabel's method: the base64 text becomes a PIL image, which ``Dataset.map`` encodes again."""
    from PIL import Image

    return {"image": Image.open(io.BytesIO(base64.b64decode(row["image"])))}


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result
