"""Named bytes in a local folder or at any other fsspec location, each seen whole or not at all."""

import io
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import fsspec
from fsspec.implementations.local import LocalFileSystem

from tasks_lib.errors import MissingExtraError, StoreError
from tasks_lib.store.layout import TEMPORARY

__all__ = ["EXTRAS", "LocalObjects", "Objects", "RemoteObjects", "open_objects"]

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""The extra that installs what a kind of location needs."""

LEFT_BEHIND_AFTER = 3600
"""Seconds after which nobody is writing a temporary file any more; writing one takes milliseconds."""


class Objects(Protocol):
    """Bytes by name; every failure but absence is a ``StoreError``."""

    location: str

    def url(self, name: str) -> str:
        """A path or a URL that fsspec opens without these objects."""

    def read(self, names: Sequence[str]) -> list[bytes | None]:
        """The bytes under each name, ``None`` where there is nothing."""

    def write(self, name: str, data: bytes) -> None:
        """Put bytes under a name; who reads meanwhile gets the old bytes, nothing, or all of the new."""

    def names(self) -> list[str]:
        """Every name, sorted."""

    def remove(self, name: str) -> None:
        """Remove what is under a name, if anything is."""

    def is_being_written(self, name: str) -> bool:
        """Whether another writer may be about to finish this temporary file."""


def open_objects(location: str) -> Objects:
    """The objects at a location.

    Args:
        location: a folder or a fsspec URL. What else it takes to get there (a key, an endpoint) comes from
            the environment, such as ``AWS_ENDPOINT_URL`` or ``FSSPEC_S3_ENDPOINT_URL``.

    Raises:
        MissingExtraError: the package for this kind of location is not installed.
        StoreError: there is no such kind of location.
    """
    with _explained("opened", location):
        protocol = fsspec.utils.get_protocol(location)
        try:
            filesystem, root = fsspec.core.url_to_fs(location)
        except ImportError as error:
            raise MissingExtraError(f"A store at {protocol}://", EXTRAS.get(protocol, protocol)) from error
    if not isinstance(filesystem, LocalFileSystem):
        return RemoteObjects(location)
    if "::" in location:
        raise StoreError(f"the store's folder {location} has '::' in its name, where fsspec cuts it. Rename it.")
    return LocalObjects(root)


class LocalObjects:
    """Files of a local or mounted folder."""

    def __init__(self, folder: str) -> None:
        self.location = folder

    def url(self, name: str) -> str:
        """The file's path."""
        return f"{self.location}/{name}"

    def read(self, names: Sequence[str]) -> list[bytes | None]:
        """Read file by file."""
        with _explained("read", self.location):
            return [_read_file(self.url(name)) for name in names]

    def write(self, name: str, data: bytes) -> None:
        """Write under a temporary name, then rename; folders are made as needed."""
        path = Path(self.url(name))
        temporary = path.with_name(f"{path.name}{TEMPORARY}{secrets.token_hex(4)}")
        with _explained("written", self.location):
            try:
                _write_file(temporary, data)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def names(self) -> list[str]:
        """Walk the folder, without following links."""
        names: list[str] = []
        with _explained("listed", self.location):
            for folder, _, files in os.walk(self.location, onerror=_raise_unless_absent):
                below = folder[len(self.location) :].strip("/")
                names += [f"{below}/{file}" if below else file for file in files]
        return sorted(names)

    def remove(self, name: str) -> None:
        """Unlink the file."""
        with _explained("changed", self.location):
            Path(self.url(name)).unlink(missing_ok=True)

    def is_being_written(self, name: str) -> bool:
        """Judge by its age: the writer may be on another machine."""
        try:
            age = time.time() - Path(self.url(name)).stat().st_mtime
        except FileNotFoundError:
            return True  # finished in this moment
        return age < LEFT_BEHIND_AFTER


class RemoteObjects:
    """Objects at any other location, which shows each whole or not at all, as object stores do."""

    def __init__(self, location: str) -> None:
        self.location = location
        self._open()

    def url(self, name: str) -> str:
        """The location's URL with the name at its end."""
        # Not the file system's own idea of it, which knows neither hosts nor chained protocols.
        folder = self.location.rstrip("/")
        return f"{folder}///{name}" if folder.endswith(":") else f"{folder}/{name}"

    def read(self, names: Sequence[str]) -> list[bytes | None]:
        """Read all at once, where the file system can."""
        with _explained("read", self.location):
            # cat() would take brackets in a path for a pattern, and its "omit" hides every kind of error.
            found = self._files.cat_ranges([self._path(name) for name in names], None, None, on_error="return")
            return [_unless_absent(each) for each in found]

    def write(self, name: str, data: bytes) -> None:
        """Write in one request."""
        with _explained("written", self.location):
            self._files.pipe_file(self._path(name), data)

    def names(self) -> list[str]:
        """Ask the location, never a cache."""
        with _explained("listed", self.location):
            self._files.invalidate_cache()
            try:
                paths = self._files.find(self._root)
            except FileNotFoundError:
                return []
        return sorted(path.removeprefix(self._root).lstrip("/") for path in paths)

    def remove(self, name: str) -> None:
        """Delete the object."""
        with _explained("changed", self.location):
            try:
                self._files.rm_file(self._path(name))
            except FileNotFoundError:
                return

    def is_being_written(self, name: str) -> bool:
        """Never: nothing has a temporary name here, unless it was copied from a local store."""
        return False

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


@contextmanager
def _explained(what: str, location: str) -> Iterator[None]:
    try:
        yield
    except MissingExtraError:
        raise
    except Exception as error:  # file systems raise errors of their libraries, not only OSError
        reason = str(error) or type(error).__name__
        raise StoreError(
            f"the store at {location} cannot be {what}: {reason}. "
            "Mend that, then run again: what is in the store is not asked again."
        ) from error


def _read_file(path: str) -> bytes | None:
    try:
        with io.FileIO(path) as file:
            return file.readall()
    except FileNotFoundError:
        return None


def _write_file(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _unless_absent(found: bytes | Exception) -> bytes | None:
    if isinstance(found, FileNotFoundError):
        return None
    if isinstance(found, Exception):
        raise found
    return bytes(found)
