"""The splits of one config of a Distiset: their names, and one split cut into two."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from tasks_lib.errors import UsageError

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

__all__ = ["Config", "cut_in_two", "splits_of"]

Config: TypeAlias = "DatasetDict | Dataset"
"""What a Distiset holds under one name; a plain dataset counts as the split ``train``."""


def splits_of(config: Config) -> "dict[str, Dataset]":
    """The datasets of a config by split."""
    return dict(config) if isinstance(config, dict) else {"train": config}


def cut_in_two(configs: Mapping[str, Config], train_size: float, shuffle: bool, seed: int | None) -> dict[str, Any]:
    """Each config's only split cut into ``train`` and ``test``; rows are pointed at, not copied.

    Args:
        configs: each with one split.
        train_size: share of the rows for ``train``, between 0 and 1.
        shuffle: whether rows are drawn at random; otherwise ``train`` takes the first ones.
        seed: makes the drawing repeatable.

    Raises:
        UsageError: the share is out of bounds, or a config has several splits.
    """
    if not 0 < train_size < 1:
        raise UsageError(f"train_size is {train_size}; it is the share of the rows for train, above 0 and below 1.")
    already = {name: list(splits_of(config)) for name, config in configs.items() if len(splits_of(config)) != 1}
    if already:
        found = "; ".join(f"{name!r} into {', '.join(splits) or 'nothing'}" for name, splits in already.items())
        raise UsageError(
            f"train_test_split needs configs of one split, but split already is {found}. "
            "Join their splits with datasets.concatenate_datasets first, or keep those that there are."
        )
    return {
        name: _cut(next(iter(splits_of(config).values())), train_size, shuffle, seed)
        for name, config in configs.items()
    }


def _cut(dataset: "Dataset", train_size: float, shuffle: bool, seed: int | None) -> "DatasetDict":
    import numpy as np
    from datasets import DatasetDict

    rows = len(dataset)
    if rows < 2:
        return DatasetDict(train=dataset, test=dataset.select(range(0)))
    tested = rows - min(max(math.floor(train_size * rows), 1), rows - 1)
    # What Dataset.train_test_split draws, which would write its indices into the folder of a saved Distiset.
    drawn = np.random.default_rng(seed).permutation(rows) if shuffle else np.roll(np.arange(rows), tested)
    return DatasetDict(
        train=dataset.select(drawn[tested:]),
        test=dataset.select(drawn[:tested]),
    )
