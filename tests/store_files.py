"""What a test does to the files of a store behind its back."""

import fsspec

from tasks_lib.provenance import Record
from tasks_lib.store import ImageStore

__all__ = ["path_of", "read", "remove", "write"]


def path_of(store: ImageStore, record: Record, suffix: str = "") -> str:
    """Where a record's image lies, or its record."""
    return store.url(f"{record.fingerprint}{suffix}" if suffix else record.file_name)


def read(path: str) -> bytes:
    with fsspec.open(path, "rb") as file:
        return bytes(file.read())


def write(path: str, data: bytes | str) -> None:
    files, plain = fsspec.core.url_to_fs(path)
    files.pipe_file(plain, data.encode() if isinstance(data, str) else data)


def remove(path: str) -> None:
    files, plain = fsspec.core.url_to_fs(path)
    files.rm_file(plain)
