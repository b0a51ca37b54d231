"""Named bytes in a local folder or at any other fsspec location, each seen whole or not at all."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import fsspec
from fsspec.implementations.local import LocalFileSystem

from tasks_lib.errors import StoreError
from tasks_lib.locations import missing_package
from tasks_lib.store.explained import explained
from tasks_lib.store.local_objects import LocalObjects
from tasks_lib.store.remote_objects import RemoteObjects

__all__ = ["Objects", "open_objects"]


class Objects(Protocol):
    """Bytes by name; every failure but absence is a ``StoreError``."""

    location: str

    def url(self, name: str) -> str:
        """A path or a URL that fsspec opens without these objects."""

    def read(self, names: Sequence[str]) -> list[bytes | None]:
        """The bytes under each name, ``None`` where there is nothing."""

    def write(self, name: str, data: bytes) -> None:
        """Put bytes under a name; who reads meanwhile gets the old bytes, nothing, or all of the new."""

    def write_new(self, files: Mapping[str, bytes]) -> bool | None:
        """Put bytes under names that nobody has used, one after the other.

        Returns:
            Whether all of them are there, from this writer; ``False`` where somebody else was first, ``None`` where
            that cannot be told. Then some of them may be there: :meth:`write` puts them all, or says why not.
        """

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
    with explained("opened", location):
        try:
            filesystem, root = fsspec.core.url_to_fs(location)
        except ImportError as error:
            raise missing_package("A store", location, error) from error
    if not isinstance(filesystem, LocalFileSystem):
        return RemoteObjects(location)
    if "::" in location:
        raise StoreError(f"the store's folder {location} has '::' in its name, where fsspec cuts it. Rename it.")
    return LocalObjects(root)
