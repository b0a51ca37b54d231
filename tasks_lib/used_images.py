"""Which images of a store the datasets in some folders use."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tasks_lib.errors import OutputError
from tasks_lib.folder import LEDGER_FILE, is_being_built
from tasks_lib.shard_names import ANY_SHARD

__all__ = ["used_images"]


def used_images(folders: Iterable[Path]) -> set[str]:
    """The names of every image that a dataset below these folders uses: by its ledger, and by its shards.

    Raises:
        OutputError: there is no dataset below a folder, which may well be a slip, or a build is at work there.
    """
    used: set[str] = set()
    for folder in folders:
        datasets = [path.parent for path in sorted(folder.rglob(LEDGER_FILE))]
        if not datasets:
            raise OutputError(f"there is no dataset built by imageloom in or below {folder} (no {LEDGER_FILE}).")
        for dataset in datasets:
            if is_being_built(dataset):
                raise OutputError(f"a build is at work in {dataset}, or was killed there; build again first.")
            used.update(_images_of(dataset))
    return used


def _images_of(dataset: Path) -> set[str]:
    import pyarrow.parquet as pq

    ledger = pq.read_table(dataset / LEDGER_FILE, columns=["fingerprint"])
    used = set(ledger["fingerprint"].drop_null().to_pylist())
    for shard in sorted(dataset.glob(ANY_SHARD)):
        file = pq.ParquetFile(shard)
        # What a task made itself has no fingerprint; it is known by the name in the image column.
        paths = [column.path for column in map(file.schema.column, range(len(file.schema))) if column.name == "path"]
        for column in file.read(columns=paths).columns:
            used.update(_texts(column.to_pylist()))
    return used


def _texts(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from _texts(value.values())
        elif isinstance(value, list):
            yield from _texts(value)
