"""The dataset folder: built beside its place and put there in one step, or not at all."""

import ctypes
import glob
import os
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tasks_lib.errors import OutputError
from tasks_lib.shard_names import ANY_SHARD

__all__ = ["CARD_FILE", "LEDGER_FILE", "RECIPE_FILE", "StagedFolder", "file_stamp", "is_being_built", "used_images"]

CARD_FILE = "README.md"
RECIPE_FILE = "recipe.yaml"
LEDGER_FILE = "ledger.parquet"
ELSEWHERE = "Choose another place (output.path of a recipe)"


class StagedFolder:
    """A folder under construction, invisible until :meth:`put_in_place`.

    One at a time for a place: of two builds at once the second would pay for the same images. What a killed one left
    behind is removed by the next; its lock is free.

    Args:
        place: where the finished folder goes.

    Raises:
        OutputError: the place holds something that is not a dataset, or cannot be written, or another build is at
            work there.
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        self.place = Path(place).absolute()
        try:
            _check_replaceable(self.place)
            self.place.parent.mkdir(parents=True, exist_ok=True)
            # A lock waits for ever in a place that cannot be written; a file says why.
            _lock_of(self.place).touch()
            # A build is opened and closed by different threads.
            self._lock = FileLock(_lock_of(self.place), timeout=0, thread_local=False)
            self._lock.acquire()
            self._remove_leftovers()
            self.path = self.place.with_name(f"{_prefix(self.place)}{secrets.token_hex(4)}")
            self.path.mkdir()
        except Timeout as error:
            raise OutputError(
                f"another build, save or export is at work on {self.place}. Wait for its end or stop it, then start "
                "again: what a build paid for is in the store."
            ) from error
        except (OSError, ValueError) as error:  # a ValueError is a null byte in the path
            raise OutputError(f"the folder {str(self.place)!r} cannot be written: {error}. {ELSEWHERE}.") from error

    def put_in_place(self) -> Path:
        """Replace what is there by what was built, in one step."""
        if self.place.is_dir() and not any(self.place.iterdir()):
            self.place.rmdir()
        if self.place.exists():
            _exchange(self.path, self.place)
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            self.path.rename(self.place)
        self._unlock()
        return self.place

    def abandon(self) -> None:
        """Remove what was built so far."""
        if self._lock.is_locked:
            shutil.rmtree(self.path, ignore_errors=True)
            self._unlock()

    def _unlock(self) -> None:
        # Whoever waits for it looks for the file again.
        _lock_of(self.place).unlink(missing_ok=True)
        self._lock.release()

    def _remove_leftovers(self) -> None:
        for left in self.place.parent.glob(f"{glob.escape(_prefix(self.place))}*"):
            shutil.rmtree(left, ignore_errors=True)


def is_being_built(folder: Path) -> bool:
    """Whether a build is at work on a dataset folder; also true of the folder in which it is built."""
    place = folder.absolute()
    if _is_staged(place):
        return True
    if not _lock_of(place).exists():
        return False
    try:
        with FileLock(_lock_of(place), timeout=0):
            return False
    except Timeout:
        return True


def _lock_of(place: Path) -> Path:
    """Beside the folder, so that it is held while the folder gets its name."""
    return place.with_name(f".{place.name}.building.lock")


def _prefix(place: Path) -> str:
    return f".{place.name}.building-"


def _is_staged(folder: Path) -> bool:
    return folder.name.startswith(".") and ".building-" in folder.name


def _check_replaceable(place: Path) -> None:
    if not place.exists():
        return
    if not place.is_dir():
        raise OutputError(f"{place} is a file, where a folder goes. {ELSEWHERE}.")
    if any(place.iterdir()) and not ((place / RECIPE_FILE).exists() and (place / LEDGER_FILE).exists()):
        raise OutputError(
            f"{place} is a folder with other things in it, not a dataset built by imageloom (no {RECIPE_FILE} and "
            f"{LEDGER_FILE}), so it is not replaced. {ELSEWHERE}, or empty it."
        )


def _exchange(new: Path, old: Path) -> None:
    """Swap two folders; atomic on Linux and macOS, two renames elsewhere."""
    if _atomic_exchange(new, old):
        return
    aside = old.with_name(f".{old.name}.replaced")
    old.rename(aside)
    new.rename(old)
    aside.rename(new)


def _atomic_exchange(new: Path, old: Path) -> bool:
    if os.name != "posix":
        return False
    paths = os.fsencode(new), os.fsencode(old)
    library = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        return bool(library.renamex_np(*paths, 2) == 0)  # RENAME_SWAP
    if not hasattr(library, "renameat2"):
        return False
    here = -100  # AT_FDCWD
    return bool(library.renameat2(here, paths[0], here, paths[1], 2) == 0)  # RENAME_EXCHANGE


def file_stamp(path: Path) -> tuple[int, ...]:
    """What changes with a file: its inode, size in bytes and time of change in ns; empty if it is not there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return (found.st_ino, found.st_size, found.st_mtime_ns)


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
            if _is_staged(dataset):
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
