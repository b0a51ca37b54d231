"""How fast shards are written, against pyarrow copying the finished shard with the same settings."""

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.figure import Figure, at_least
from tests.endpoint_images import image_for

__all__ = ["shard_writing"]

ROWS = 1000
IMAGE_BYTES = 100_000
ROUNDS = 3


def shard_writing() -> Iterator[Figure]:
    """1,000 rows with JPEGs of 100 KB each, read from a store, marked and written."""
    from tasks_lib.store import ImageStore

    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        store = ImageStore(folder / "store")
        rows = _rows(store)
        ours, copies = [], []
        for number in range(ROUNDS):
            seconds, shard = _write(rows, store, folder / str(number))
            ours.append(seconds)
            copies.append(_copy(shard, folder / f"copy-{number}.parquet"))
    megabytes = ROWS * IMAGE_BYTES / 1e6
    yield at_least(
        0.8,
        "shard_writing_rate",
        min(copies) / min(ours),
        shards_mb_s=megabytes / min(ours),
        pyarrow_mb_s=megabytes / min(copies),
    )


def _rows(store: Any) -> list[dict[str, Any]]:
    rows = []
    for number in range(ROWS):
        data = image_for(f"{number}", image_format="jpeg", image_bytes=IMAGE_BYTES)
        reference = store.put_file(data, "jpeg")
        rows.append({"prompt": f"image {number}", "image": reference, "model_name": "m", "status": "ok", "error": None})
    return rows


def _write(rows: list[dict[str, Any]], store: Any, folder: Path) -> tuple[float, Path]:
    from datasets import Features, Image, Value

    from tasks_lib.marking import mark_as_generated
    from tasks_lib.shards import ShardWriter

    text = {name: Value("string") for name in rows[0]}
    started = time.perf_counter()
    writer = ShardWriter(folder, Features({**text, "image": Image()}), store, mark_as_generated)
    for start in range(0, len(rows), 128):
        writer.write("default", "train", rows[start : start + 128])
    writer.close()
    seconds = time.perf_counter() - started
    (shard,) = folder.rglob("*.parquet")
    return seconds, shard


def _copy(shard: Path, copy: Path) -> float:
    import pyarrow.parquet as pq

    started = time.perf_counter()
    file = pq.ParquetFile(shard)
    with pq.ParquetWriter(
        copy,
        file.schema_arrow,
        compression="NONE",
        use_dictionary=False,
        use_content_defined_chunking=True,
        write_page_index=True,
    ) as writer:
        for number in range(file.num_row_groups):
            writer.write_table(file.read_row_group(number))
    return time.perf_counter() - started
