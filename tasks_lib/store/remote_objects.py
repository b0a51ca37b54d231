"""Named bytes at any location but a folder, through fsspec."""

import os
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import fsspec

from tasks_lib.errors import StoreError
from tasks_lib.store.explained import explained
from tasks_lib.store.layout import new_check_path

__all__ = ["RemoteObjects"]

CONDITIONAL = "s3"
"""The protocol of the only file system whose "create" is one request; others look first, and then write."""


class RemoteObjects:
    """Objects at any other location, which shows each whole or not at all, as object stores do."""

    def __init__(self, location: str) -> None:
        self.location = location
        self._condition = Lock()
        self._knows_conditions: bool | None = None
        self._open()

    def url(self, name: str) -> str:
        """The location's URL with the name at its end."""
        # Not the file system's own idea of it, which knows neither hosts nor chained protocols.
        folder = self.location.rstrip("/")
        return f"{folder}///{name}" if folder.endswith(":") else f"{folder}/{name}"

    def read(self, names: Sequence[str]) -> list[bytes | None]:
        """Read all at once, where the file system can."""
        with explained("read", self.location):
            # cat() would take brackets in a path for a pattern, and its "omit" hides every kind of error.
            found = self._files.cat_ranges([self._path(name) for name in names], None, None, on_error="return")
            return [_unless_absent(each) for each in found]

    def write(self, name: str, data: bytes) -> None:
        """Write in one request."""
        with explained("written", self.location):
            self._files.pipe_file(self._path(name), data)

    def write_new(self, files: Mapping[str, bytes]) -> bool | None:
        """With conditional writes, one request each, where the server knows them."""
        if not self._tells_who_was_first():
            return None
        for name, data in files.items():
            if not (is_first := self._create(name, data)):
                return is_first
        return True

    def names(self) -> list[str]:
        """Ask the location, never a cache."""
        with explained("listed", self.location):
            self._files.invalidate_cache()
            try:
                paths = self._files.find(self._root)
            except FileNotFoundError:
                return []
        return sorted(path.removeprefix(self._root).lstrip("/") for path in paths)

    def remove(self, name: str) -> None:
        """Delete the object."""
        with explained("changed", self.location):
            try:
                self._files.rm_file(self._path(name))
            except FileNotFoundError:
                return

    def is_being_written(self, name: str) -> bool:
        """Never: nothing has a temporary name here, unless it was copied from a local store."""
        return False

    def _tells_who_was_first(self) -> bool:
        """Tried once: a server that does not know conditions does not refuse them, it overwrites in silence."""
        with self._condition:
            if self._knows_conditions is None:
                self._knows_conditions = CONDITIONAL in self._files.protocol and self._refuses_a_second_write()
            return self._knows_conditions

    def _refuses_a_second_write(self) -> bool:
        name = new_check_path()
        self.write(name, b"")
        refused = self._create(name, b"") is False
        self.remove(name)
        return refused

    def _create(self, name: str, data: bytes) -> bool | None:
        """Whether the name was free, and is ours now; ``None`` where something else is wrong, which write() tells."""
        try:
            with explained("written", self.location):
                self._files.pipe_file(self._path(name), data, mode="create")
        except StoreError as error:
            return False if isinstance(error.__cause__, FileExistsError) else None
        return True

    @property
    def _files(self) -> Any:
        if self._process_id != os.getpid():
            self._open()  # an asynchronous file system refuses to work in a forked process
        return self._filesystem

    def _open(self) -> None:
        self._filesystem, self._root = fsspec.core.url_to_fs(self.location)
        self._process_id = os.getpid()

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def _unless_absent(found: bytes | Exception) -> bytes | None:
    if isinstance(found, FileNotFoundError):
        return None
    if isinstance(found, Exception):
        raise found
    return bytes(found)
