"""Finished rows into the configs of a dataset, as soon as the outputs show which columns there are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks_lib.batches import RowResult
from tasks_lib.columns import dataset_features, untold_columns
from tasks_lib.shards import Mark, ShardWriter, SplitSize
from tasks_lib.store import ImageStore
from tasks_lib.tasks import ImageTask, Row

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Features

__all__ = ["RowWriter"]

CONFIGS = {"ok": "default", "rejected": "rejected", "refused": "failed", "failed": "failed"}
"""Where a row stands by its status; what was never asked stands in the ledger only."""
MOST_HELD_ROWS = 5_000
"""Rows that wait for an output to show its type; a few MB."""


class RowWriter:
    """Writes each row to the config of its status; the first ones wait until every output has shown its type.

    Args:
        folder: of the dataset.
        source: the columns of the prompts.
        task: names the columns that come to them.
        store: where the images are.
        mark: puts a mark into an image, if there is one.
        splits: the share of each split, or the column that names a row's split.
    """

    def __init__(
        self,
        folder: Path,
        source: "pa.Schema",
        task: ImageTask,
        store: ImageStore,
        mark: Mark | None,
        splits: Mapping[str, float] | str,
    ) -> None:
        self._folder = folder
        self._source = source
        self._outputs = [task.output_mappings.get(name, name) for name in task.output_names]
        self._image_output = task.output_mappings.get(task.image_output, task.image_output)
        self._store = store
        self._mark = mark
        self._splits = [] if isinstance(splits, str) else list(splits)
        self._held: list[RowResult] = []
        self._shards: ShardWriter | None = None
        self.features: Features
        """The columns and their types, once they are known."""

    def add(self, results: Sequence[RowResult]) -> None:
        """Write rows, or hold them.

        Raises:
            StopError: an output column holds values of several types, or there is one too many.
            OSError: the disk is full, or the folder cannot be written any more.
        """
        self._held += results
        if self._shards or len(self._held) >= MOST_HELD_ROWS or self._is_told():
            self._write_held()

    def close(self) -> dict[str, dict[str, SplitSize]]:
        """Write what is left; sizes by config and split. Raises as :meth:`add`."""
        self._write_held()
        assert self._shards is not None
        return self._shards.close()

    def abandon(self) -> None:
        """Close files that will not be finished."""
        if self._shards is not None:
            self._shards.abandon()

    def _is_told(self) -> bool:
        # Of the image output it is known anyway what it holds.
        return untold_columns([result.columns for result in self._held], self._outputs) <= {self._image_output}

    def _write_held(self) -> None:
        if self._shards is None:
            self._shards = self._opened([result.columns for result in self._held])
        groups: dict[tuple[str, str], list[Row]] = {}
        for result in self._held:
            if config := CONFIGS.get(result.columns["status"]):
                groups.setdefault((config, result.split), []).append(result.columns)
        for (config, split), rows in groups.items():
            self._shards.write(config, split, rows)
        self._held = []

    def _opened(self, rows: list[Row]) -> ShardWriter:
        self.features = dataset_features(self._source, rows, self._outputs, self._image_output)
        shards = ShardWriter(self._folder, self.features, self._store, self._mark, self._source.names)
        for split in self._splits:
            shards.open_split("default", split)
        return shards
