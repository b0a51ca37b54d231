"""Named bytes in files of a local or mounted folder."""

import io
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tasks_lib.store.explained import explained
from tasks_lib.store.layout import TEMPORARY

__all__ = ["LocalObjects"]

LEFT_BEHIND_AFTER = 3600
"""Seconds after which nobody is writing a temporary file any more; writing one takes milliseconds."""


class LocalObjects:
    """Files of a local or mounted folder."""

    def __init__(self, folder: str) -> None:
        self.location = folder
        self._knows_links = True

    def url(self, name: str) -> str:
        """The file's path."""
        return f"{self.location}/{name}"

    def read(self, names: Sequence[str]) -> list[bytes | None]:
        """Read file by file."""
        with explained("read", self.location):
            return [_read_file(self.url(name)) for name in names]

    def write(self, name: str, data: bytes) -> None:
        """Write under a temporary name, then rename; folders are made as needed."""
        path = Path(self.url(name))
        with explained("written", self.location), _written(path, data) as temporary:
            temporary.replace(path)

    def write_new(self, files: Mapping[str, bytes]) -> bool | None:
        """The same with links: unlike a rename, one fails where somebody was first."""
        try:
            return self._linked(files) if self._knows_links else None
        except OSError:
            # What is wrong is told by write(), if anything is to be written at all.
            return None

    def names(self) -> list[str]:
        """Walk the folder, without following links."""
        names: list[str] = []
        with explained("listed", self.location):
            for folder, _, files in os.walk(self.location, onerror=_raise_unless_absent):
                below = folder[len(self.location) :].strip("/")
                names += [f"{below}/{file}" if below else file for file in files]
        return sorted(names)

    def remove(self, name: str) -> None:
        """Unlink the file."""
        with explained("changed", self.location):
            Path(self.url(name)).unlink(missing_ok=True)

    def is_being_written(self, name: str) -> bool:
        """Judge by its age: the writer may be on another machine."""
        try:
            age = time.time() - Path(self.url(name)).stat().st_mtime
        except FileNotFoundError:
            return True  # finished in this moment
        return age < LEFT_BEHIND_AFTER

    def _linked(self, files: Mapping[str, bytes]) -> bool | None:
        links: dict[Path, Path] = {}
        with ExitStack() as written:
            for name, data in files.items():
                path = Path(self.url(name))
                links[path] = written.enter_context(_written(path, data))
                try:
                    path.hardlink_to(links[path])
                except FileExistsError:
                    return False
                except OSError:
                    # Not every file system knows links; the next image is not written twice to find out again.
                    self._knows_links = False
                    return None
            # Somebody who took the first for left behind may have replaced it meanwhile.
            return all(path.samefile(temporary) for path, temporary in links.items())


def _read_file(path: str) -> bytes | None:
    try:
        with io.FileIO(path) as file:
            return file.readall()
    except FileNotFoundError:
        return None


@contextmanager
def _written(path: Path, data: bytes) -> Iterator[Path]:
    """A new temporary file beside a path, with these bytes; gone afterwards, if it was not renamed."""
    temporary = path.with_name(f"{path.name}{TEMPORARY}{secrets.token_hex(4)}")
    try:
        try:
            temporary.write_bytes(data)
        except FileNotFoundError:
            temporary.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
