"""The dataset folder: built beside its place and put there in one step, or not at all."""

import ctypes
import glob
import os
import re
import secrets
import shutil
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from tasks_lib.errors import OutputError
from tasks_lib.shard_names import ShardName

__all__ = [
    "CARD_FILE",
    "LEDGER_FILE",
    "RECIPE_FILE",
    "StagedFolder",
    "file_stamp",
    "is_being_built",
    "loadable_place",
]

CARD_FILE = "README.md"
RECIPE_FILE = "recipe.yaml"
LEDGER_FILE = "ledger.parquet"
OURS = {CARD_FILE, RECIPE_FILE, LEDGER_FILE, "gallery.html", ".gallery.html.part"}
"""What a dataset folder holds beside its shards and the folder ``samples``."""
OF_THE_SYSTEM = {".DS_Store", "Thumbs.db", "desktop.ini", ".cache", ".gitattributes"}
"""What nobody wrote; the last two are the Hub's."""
ELSEWHERE = "Choose another place (output.path of a recipe)"


class StagedFolder:
    """A folder under construction, invisible until :meth:`put_in_place`.

    One at a time for a place: of two builds at once the second would pay for the same images. What a killed one left
    behind is removed by the next; its lock is free.

    Args:
        place: where the finished folder goes.

    Raises:
        OutputError: the place holds something that is not a dataset's, or cannot be replaced or written, or another
            build is at work there.
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        try:
            # Renaming would replace a link, not the folder that it leads to.
            self.place = Path(place).resolve()
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
        # A null byte in the path is a ValueError; links in a circle are a RuntimeError.
        except (OSError, RuntimeError, ValueError) as error:
            raise OutputError(f"the folder {str(place)!r} cannot be written: {error}. {ELSEWHERE}.") from error

    def put_in_place(self) -> Path:
        """Replace what is there by what was built, in one step.

        Raises:
            OutputError: something changed there meanwhile, or came that is not a dataset's.
        """
        _check_replaceable(self.place)
        try:
            if self.place.is_dir() and not any(self.place.iterdir()):
                self.place.rmdir()
            if self.place.exists():
                _exchange(self.path, self.place)
                shutil.rmtree(self.path, ignore_errors=True)
            else:
                self.path.rename(self.place)
        except OSError as error:
            raise OutputError(
                f"what was built cannot be put at {self.place}: {error}. {ELSEWHERE} and start again: what a build "
                "paid for is in the store."
            ) from error
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
    place = folder.resolve()
    if _is_staged(place):
        return True
    if not _lock_of(place).exists():
        return False
    try:
        with FileLock(_lock_of(place), timeout=0):
            return False
    except Timeout:
        return True


def loadable_place(place: str | os.PathLike[str]) -> Path:
    """The folder that a user names for a dataset, with ``~`` filled in.

    Raises:
        OutputError: ``load_dataset`` would not find a dataset there, since it would take the name for a pattern; or it
            is a URL.
    """
    if url := re.match(r"\w[\w+.-]+:/", os.fspath(place)):
        # The rest of a URL may hold a key.
        raise OutputError(f"the output begins with {url[0]}, but a dataset goes into a local folder. {ELSEWHERE}.")
    try:
        folder = Path(place).expanduser().absolute()
    except RuntimeError as error:
        raise OutputError(f"the folder {os.fspath(place)} cannot be found: {error} {ELSEWHERE}.") from error
    if found := re.search(r"::|[*?[]", str(folder)):
        raise OutputError(
            f"the folder {folder} has {found[0]!r} in its name, for which load_dataset would not find the dataset. "
            f"{ELSEWHERE}."
        )
    return folder


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
    if os.path.ismount(place):
        raise OutputError(
            f"{place} is where a disk or volume is mounted, which cannot be replaced in one step. Name a folder in it."
        )
    if not place.is_dir():
        raise OutputError(f"{place} is a file, where a folder goes. {ELSEWHERE}.")
    if any(place.iterdir()) and not ((place / RECIPE_FILE).exists() and (place / LEDGER_FILE).exists()):
        raise OutputError(
            f"{place} is a folder with other things in it, not a dataset built by imageloom (no {RECIPE_FILE} and "
            f"{LEDGER_FILE}), so it is not replaced. {ELSEWHERE}, or empty it."
        )
    if strange := sorted(str(path.relative_to(place)) for path in place.rglob("*") if _is_strange(path, place)):
        more = f" and {len(strange) - 3:,} more" if len(strange) > 3 else ""
        raise OutputError(
            f"the dataset in {place} would be replaced, and with it {', '.join(strange[:3])}{more}, which imageloom "
            f"did not write. Move that elsewhere and start again, or c{ELSEWHERE[1:]}."
        )


def _is_strange(path: Path, folder: Path) -> bool:
    """Whether something in a dataset folder is not a part of the dataset."""
    parts = path.relative_to(folder).parts
    if (path.is_dir() and not path.is_symlink()) or parts[0] in OF_THE_SYSTEM:
        return False
    if path.name in OF_THE_SYSTEM or path.name.startswith("._"):
        return False
    return not (
        parts[0] in OURS if len(parts) == 1 else len(parts) == 2 and (parts[0] == "samples" or ShardName.of(path))
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
