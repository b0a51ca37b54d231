"""Where the shards of a dataset folder lie and what they are called: ``data/train-00000-of-00002.parquet``."""

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ANY_SHARD", "ShardName", "is_split_name", "shards_by_split", "shards_of", "split_folder", "split_pattern"]

ANY_SHARD = "*/*-of-*.parquet"
"""The pattern of every shard of a dataset folder."""
LONGEST_SPLIT = 100
"""Bytes of a split's name; with the rest of its name a shard still fits any file system."""
NAME = re.compile(r"(?P<split>.+)-(?P<number>\d+)-of-(?P<count>\d+)\.parquet")


@dataclass(frozen=True)
class ShardName:
    """What the name of a finished shard tells; as a string it is the name."""

    split: str
    number: int
    """Counted from 0."""
    count: int
    """How many shards the split has."""

    @classmethod
    def of(cls, path: Path) -> "ShardName | None":
        """What a file's name tells; ``None`` if it is no shard's."""
        match = NAME.fullmatch(path.name)
        return cls(match["split"], int(match["number"]), int(match["count"])) if match else None

    def __str__(self) -> str:
        return f"{self.split}-{self.number:05d}-of-{self.count:05d}.parquet"


def split_folder(config: str) -> str:
    """The folder of a config's shards: ``data`` for the default config, else its name."""
    return "data" if config == "default" else config


def is_split_name(name: str) -> bool:
    """Whether `datasets` takes it for a split, and it has no dash, which ends the split in a shard's name."""
    # "all" means every split there is.
    return bool(re.fullmatch(r"\w+", name)) and name != "all" and len(name.encode()) <= LONGEST_SPLIT


def split_pattern(config: str, split: str) -> str:
    """What the card calls the shards of a split."""
    return f"{split_folder(config)}/{split}-*"


def shards_by_split(folder: Path) -> dict[str, dict[str, list[Path]]]:
    """The finished shards of a dataset folder by config and split, in order; default and train come first."""
    names = {path: name for path in folder.glob(ANY_SHARD) if (name := ShardName.of(path))}
    found: dict[str, dict[str, list[Path]]] = {}
    for path in sorted(names, key=lambda path: (path.parent.name != "data", names[path].split != "train", path)):
        config = "default" if path.parent.name == "data" else path.parent.name
        found.setdefault(config, {}).setdefault(names[path].split, []).append(path)
    return found


def shards_of(folder: Path, config: str, split: str) -> list[Path]:
    """The shards of a split of a dataset folder, in order."""
    return sorted((folder / split_folder(config)).glob(f"{split}-*.parquet"))
