"""The files of a finished dataset folder as they are published: names, sizes and content hashes."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from huggingface_hub import metadata_load
from huggingface_hub.utils.sha import git_hash

from tasks_lib.errors import OutputError, PublishError
from tasks_lib.folder import CARD_FILE, LEDGER_FILE, RECIPE_FILE, file_stamp, is_being_built

__all__ = ["DatasetFile", "check_finished", "check_unchanged", "files_of"]

LARGEST_BLOB = 10 * 1024 * 1024
"""Bytes above which the Hub stores a file as LFS in any case, so that its hash as a git blob is of no use."""


@dataclass(frozen=True)
class DatasetFile:
    """One file of a dataset, and what identifies its content."""

    path: str
    """Its name in the repository, with forward slashes."""
    source: Path | bytes = field(repr=False)
    size: int
    """In bytes."""
    sha256: str
    blob: str | None = None
    """The hash that git gives it as a blob; ``None`` for a large file."""
    stamp: tuple[int, ...] = ()
    """The :func:`tasks_lib.folder.file_stamp` when it was read."""

    @property
    def hashes(self) -> frozenset[str]:
        """The names by which the Hub may know its content: as an LFS file or as a git blob."""
        return frozenset({self.sha256, self.blob} - {None})  # type: ignore[arg-type]  # None was just taken out

    @classmethod
    def of_bytes(cls, path: str, content: bytes) -> "DatasetFile":
        """A file that is on no disk."""
        return cls(path, content, len(content), hashlib.sha256(content).hexdigest(), git_hash(content))


def check_finished(folder: Path) -> None:
    """Whether it is a dataset that loads, and nobody is building it.

    Raises:
        OutputError: it is not, or a build is at work there.
    """
    built = [name for name in (RECIPE_FILE, LEDGER_FILE) if (folder / name).is_file()]
    if len(built) == 1:
        raise _unfinished(folder, f"it has {built[0]} only, of the two files {RECIPE_FILE} and {LEDGER_FILE}")
    missing = [pattern for pattern in _patterns_of(folder) if not any(folder.glob(pattern))]
    if missing:
        raise _unfinished(folder, f"there is no file {missing[0]}, which {CARD_FILE} names")
    if is_being_built(folder):
        raise OutputError(f"a build is at work in {folder}. Publish it when the build has ended.")


def files_of(folder: Path, on_read: Callable[[int], None]) -> list[DatasetFile]:
    """Every file of the folder but hidden ones, hashed, in the order of their names.

    Args:
        folder: a dataset folder.
        on_read: is given the bytes read since it was called last.
    """
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    names = ((path, path.relative_to(folder)) for path in found)
    shown = [(path, name) for path, name in names if not any(part.startswith(".") for part in name.parts)]
    return [_read(path, name.as_posix(), on_read) for path, name in shown]


def check_unchanged(files: Sequence[DatasetFile]) -> None:
    """Whether the folder is still the one that was read.

    Raises:
        PublishError: a build has replaced it, so that what was sent may be half of each.
    """
    changed = [file.path for file in files if isinstance(file.source, Path) and file_stamp(file.source) != file.stamp]
    if changed:
        raise PublishError(
            f"{changed[0]} changed while the dataset was being published, so nothing of it was made visible. "
            "Publish again when no build is at work in that folder."
        )


def _patterns_of(folder: Path) -> list[str]:
    """Where the card says that the data is."""
    card = folder / CARD_FILE
    if not card.is_file():
        raise _unfinished(folder, f"it has no {CARD_FILE}")
    try:
        configs = (metadata_load(card) or {}).get("configs") or []
        parts = [part for config in configs for part in config["data_files"]]
        patterns = [path for part in parts for path in _as_list(part["path"])]
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _unfinished(folder, f"the YAML of {CARD_FILE} cannot be read ({type(error).__name__})") from error
    if not patterns:
        raise _unfinished(folder, f"the YAML of {CARD_FILE} names no data")
    return patterns


def _as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _unfinished(folder: Path, why: str) -> OutputError:
    return OutputError(
        f"{folder} is not a finished dataset built by imageloom: {why}. "
        "Name the folder of output.path, or build it first."
    )


def _read(path: Path, name: str, on_read: Callable[[int], None]) -> DatasetFile:
    stamp = file_stamp(path)
    size = path.stat().st_size
    if size <= LARGEST_BLOB:
        content = path.read_bytes()
        on_read(size)
        return DatasetFile(name, path, size, hashlib.sha256(content).hexdigest(), git_hash(content), stamp)
    digest = hashlib.sha256()
    for block in _blocks(path):
        digest.update(block)
        on_read(len(block))
    return DatasetFile(name, path, size, digest.hexdigest(), None, stamp)


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(8 * 1024 * 1024):
            yield block
