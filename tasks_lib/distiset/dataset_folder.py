"""A Distiset as a dataset folder: Parquet shards and the card from which ``load_dataset`` reads every config."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks_lib.card_parts import card_metadata, loading
from tasks_lib.distiset.card import card_body
from tasks_lib.distiset.embedding import embedded_groups
from tasks_lib.distiset.marks import TableMark
from tasks_lib.distiset.splits import Config, splits_of
from tasks_lib.errors import OutputError, UsageError
from tasks_lib.folder import CARD_FILE, loadable_place
from tasks_lib.parquet_shards import ParquetShards
from tasks_lib.shard_names import is_split_name, shards_of, split_folder, split_pattern

if TYPE_CHECKING:
    from datasets import Dataset, DatasetInfo

__all__ = ["check_names", "write_dataset_folder"]


def write_dataset_folder(
    configs: Mapping[str, Config],
    folder: Path,
    *,
    name: str | None = None,
    citations: Sequence[str] = (),
    mark: TableMark | None = None,
    generate_card: bool = True,
) -> Path:
    """Write a Distiset so that ``load_dataset(folder)`` shows every config and split, with flat memory.

    Images are read from where they are, a few at a time, and written as they are but for the mark. The same datasets
    give byte-identical shards. Splits without a row are left out: ``load_dataset`` would read nothing beside them.

    Args:
        configs: a Distiset.
        folder: where it goes; new or empty.
        name: what the card calls the dataset; the folder's name without one.
        citations: BibTeX entries for the card.
        mark: of the images, if there is one.
        generate_card: whether ``README.md`` holds a text for people below its YAML.

    Raises:
        OutputError: there is something in the folder, or it cannot be written, or ``load_dataset`` would not find it.
        UsageError: the Distiset is empty, or the name of a config or a split would not load again, or the splits of a
            config have different columns.
        ImageCellError: an image is not where its row says.
    """
    check_names(configs)
    folder = loadable_place(folder)
    configs = _with_rows(configs)
    _check_columns(configs)
    name = name or folder.name
    try:
        if folder.exists() and any(folder.iterdir()):
            raise OutputError(f"{folder} is not empty, so no dataset is written there. Choose another folder.")
        infos = {config: _write_config(value, folder / split_folder(config), mark) for config, value in configs.items()}
        paths = {
            config: {split: split_pattern(config, split) for split in splits_of(value)}
            for config, value in configs.items()
        }
        shards = {
            config: [path for split in splits_of(value) for path in shards_of(folder, config, split)]
            for config, value in configs.items()
        }
        text = card_metadata(name, infos, paths, shards)
        if generate_card:
            text += "\n" + card_body(name, configs, citations, loading(name, _first(configs)))
        (folder / CARD_FILE).write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"the dataset cannot be written to {folder}: {error}. Choose another folder.") from error
    return folder


def _first(configs: Mapping[str, Config]) -> str:
    return "default" if "default" in configs else next(iter(configs))


def check_names(configs: Mapping[str, Config]) -> None:
    """Whether there is something to write, under names that load again.

    Raises:
        UsageError: there is not.
    """
    if not configs:
        raise UsageError("the Distiset has no config, so there is nothing to write. Put a dataset into it first.")
    for config, value in configs.items():
        # Patterns in the card would take brackets for more than a name.
        if not re.fullmatch(r"\w[\w .+-]*", config):
            raise UsageError(f"the config {config!r} cannot be a folder's name. Use letters, digits, '_', '-' and '.'.")
        if not splits_of(value):
            raise UsageError(f"the config {config!r} has no split, so there is nothing to write. Take it out.")
        for split in splits_of(value):
            if not all(map(is_split_name, split.split("."))):
                raise UsageError(
                    f"load_dataset takes no split {split!r} (config {config!r}). Use letters, digits, '_', not 'all'."
                )
    folders = [split_folder(config) for config in configs]
    if len(set(folders)) < len(folders):
        raise UsageError("the configs 'default' and 'data' would share the folder data. Rename one of them.")


def _with_rows(configs: Mapping[str, Config]) -> dict[str, Config]:
    from datasets import DatasetDict

    filled = {
        config: DatasetDict({split: each for split, each in splits_of(value).items() if len(each)})
        for config, value in configs.items()
    }
    found = {config: splits for config, splits in filled.items() if splits}
    if not found:
        raise UsageError(f"the Distiset has no row (in {', '.join(map(repr, configs))}), so there is nothing to write.")
    return found


def _check_columns(configs: Mapping[str, Config]) -> None:
    """Whether all splits of a config have the columns of the first, as ``load_dataset`` expects."""
    for config, value in configs.items():
        first, *others = splits_of(value).items()
        for split, dataset in others:
            for column in {**first[1].features, **dataset.features}:
                types = [str(each.features.get(column, "nothing")) for each in (first[1], dataset)]
                if types[0] != types[1]:
                    raise UsageError(
                        f"the splits of the config {config!r} differ in the column {column!r}: {types[0]} in the split "
                        f"{first[0]!r}, {types[1]} in {split!r}. load_dataset reads one set of columns; cast them, or "
                        "put the splits into configs of their own."
                    )


def _write_config(config: Config, folder: Path, mark: TableMark | None) -> "DatasetInfo":
    from datasets import DatasetInfo, SplitDict, SplitInfo

    infos: dict[str, Any] = {}
    files: list[Path] = []
    for split, dataset in splits_of(config).items():
        shards, size = _write_split(dataset, folder, split, mark)
        infos[split] = SplitInfo(split, size, len(dataset))
        files += shards
    return DatasetInfo(
        features=next(iter(splits_of(config).values())).features,
        splits=SplitDict(infos),
        download_size=sum(path.stat().st_size for path in files),
        dataset_size=sum(info.num_bytes for info in infos.values()),
    )


def _write_split(dataset: "Dataset", folder: Path, split: str, mark: TableMark | None) -> tuple[list[Path], int]:
    shards = ParquetShards(folder, split, dataset.features)
    size = 0
    try:
        for table in embedded_groups(dataset, mark):
            shards.write(table, table.nbytes)
            size += table.nbytes
        return shards.close(), size
    finally:
        shards.abandon()
