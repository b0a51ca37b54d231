"""The folder of a build: the datasets that it gives, and whether it still holds them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks_lib.columns import image_columns
from tasks_lib.distiset.image_conversion import converted_fingerprint
from tasks_lib.distiset.splits import Config, splits_of
from tasks_lib.report import BuildReport
from tasks_lib.shard_names import shards_of
from tasks_lib.shard_reader import read_without_images

if TYPE_CHECKING:
    from datasets import DatasetDict, Features

__all__ = ["holds_still", "read_built_folder"]


def read_built_folder(
    folder: Path,
    configs: Mapping[str, Collection[str]],
    features: "Features",
    reference: Callable[[str], str],
) -> "dict[str, DatasetDict]":
    """The datasets of a folder, with a store reference in place of each image.

    Args:
        folder: that a build wrote.
        configs: the names of its configs and of the splits of each.
        features: the columns that its shards have.
        reference: from an image's file name to its store reference.
    """
    from datasets import DatasetDict

    return {
        config: DatasetDict(
            {split: read_without_images(shards_of(folder, config, split), features, reference) for split in splits}
        )
        for config, splits in configs.items()
    }


def holds_still(report: BuildReport, configs: Mapping[str, Config]) -> bool:
    """Whether a build's folder holds these very datasets: neither they nor its shards have changed since.

    Nothing has to be kept for this: a dataset's fingerprint changes with everything that is done to it, and
    the first one tells the shards' paths, sizes and times of change.
    """
    held = {(config, split) for config, splits in report.splits.items() for split in splits}
    ours = {(config, split): each for config, value in configs.items() for split, each in splits_of(value).items()}
    folder = Path(report.folder)
    return held == set(ours) and all(
        dataset._fingerprint == _fingerprint(shards_of(folder, config, split))
        for (config, split), dataset in ours.items()
    )


def _fingerprint(shards: Sequence[Path]) -> str | None:
    """That of the dataset that a build gives for these shards."""
    import pyarrow.parquet as pq
    from datasets import Features

    if not shards:
        return None
    # No column is read: that takes no time, and the fingerprint is that of the files.
    fingerprint = str(read_without_images(shards, Features({}), str)._fingerprint)
    for name in image_columns(Features.from_arrow_schema(pq.read_schema(shards[0]))):
        fingerprint = converted_fingerprint(fingerprint, name)
    return fingerprint
