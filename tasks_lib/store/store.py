"""Every image ever paid for, by fingerprint: two plain objects each, on any fsspec location."""

import os
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tasks_lib.errors import StoreError
from tasks_lib.images import REFERENCE_PREFIX
from tasks_lib.provenance import Record, sha256
from tasks_lib.store.faults import Fault, matched, parsed
from tasks_lib.store.layout import (
    image_path,
    is_own,
    is_record,
    is_refusal,
    is_temporary,
    key_of,
    new_check_path,
    record_path,
)
from tasks_lib.store.objects import open_objects
from tasks_lib.store.refusals import Refusals

__all__ = ["DEFAULT_STORE", "ImageStore", "StoreStats"]

DEFAULT_STORE = "./.imageloom/store"

READ_AT_ONCE = 32  # images in memory while generations are looked up
CHECK_SIZE = 64 * 1024  # bytes; an empty file would fit on a full disk
MOST_WRITES = 8  # of one image, until what is read back is whole
PATIENCE = 5  # looks for the image of a writer who was first, over a quarter of a second; then it is taken for killed


@dataclass(frozen=True)
class StoreStats:
    """What is in a store; sizes in bytes, cost in US dollars."""

    images: int
    size: int
    cost_usd: float


class ImageStore:
    """Images by fingerprint: ``ab/abcd....png`` as it came, and ``ab/abcd....json``, its record.

    The image is written before its record, each under a temporary name first, so a reader in another process
    sees a whole generation or none. A generation that is damaged in any way counts as
    unknown. A whole one is never changed: the first of several writers wins.

    Args:
        location: a folder or any fsspec URL, such as ``s3://bucket/store``. Keys and endpoints come from the
            environment (``AWS_ENDPOINT_URL``, ``FSSPEC_S3_KEY``): references are resolved with nothing else.
    """

    def __init__(self, location: str | os.PathLike[str] = DEFAULT_STORE) -> None:
        self._objects = open_objects(os.fspath(location))
        self.location = self._objects.location
        """Absolute, so that it means the same in a worker with another current folder."""
        self.refusals = Refusals(self._objects)

    def __repr__(self) -> str:
        return f"ImageStore({self.location!r})"

    def __reduce__(self) -> tuple[type["ImageStore"], tuple[str]]:
        return ImageStore, (self.location,)

    def get(self, fingerprint: str) -> Record | None:
        """The record of a generation that is whole, or ``None``."""
        return self.get_many([fingerprint]).get(fingerprint)

    def get_many(self, fingerprints: Iterable[str]) -> dict[str, Record]:
        """The records of those generations that are in the store, and whole.

        Raises:
            StoreError: the store cannot be read, or was written by a newer Imageloom. Neither counts as
                unknown, which would pay again for what is there.
        """
        records: dict[str, Record] = {}
        for key, found in self._examine(list(dict.fromkeys(fingerprints))):
            if isinstance(found, Record):
                records[key] = found
            elif found and found.is_newer:
                raise StoreError(
                    f"{key} in the store at {self.location} cannot be used: {found.reason}. "
                    "Update Imageloom, or use another store."
                )
        return records

    def check_writable(self) -> None:
        """Find out before anything is paid whether an image could be kept.

        Raises:
            StoreError: it could not.
        """
        name = new_check_path()
        self._objects.write(name, bytes(CHECK_SIZE))
        self._objects.remove(name)

    def put(self, record: Record, data: bytes) -> Record:
        """Keep one paid image; where somebody else may have been first, read back what is there.

        Returns:
            The record that is kept: that of another writer, if it was there first.

        Raises:
            StoreError: it could not be written, or is not what the record says; the message says where and why.
        """
        if isinstance(fault := matched(record, data), Fault):
            raise StoreError(f"{record.file_name} is not kept in the store at {self.location}: {fault.reason}.")
        files = {image_path(record.file_name): data, record_path(record.fingerprint): record.to_json().encode()}
        is_first = self._objects.write_new(files)
        if is_first:
            return record
        patience = PATIENCE if is_first is False else 0
        for attempt in range(1, MOST_WRITES + 1):
            # Another writer may be about to finish, or have replaced one half. Whoever writes last reads after all
            # writing is done, so halves never stay; pauses of different lengths keep writers from chasing each other.
            time.sleep(random.uniform(0, 0.01 * attempt**2))
            kept = self.get(record.fingerprint)
            if not kept and attempt > patience:
                kept = self._replaced(files, record.fingerprint)
            if kept:
                return kept
        raise StoreError(
            f"{record.file_name} was written to the store at {self.location} {MOST_WRITES} times, and each time "
            "something else was read back. See what is wrong with: imageloom store verify."
        )

    def _replaced(self, files: Mapping[str, bytes], fingerprint: str) -> Record | None:
        for name, data in files.items():
            self._objects.write(name, data)
        return self.get(fingerprint)

    def put_file(self, data: bytes, extension: str) -> str:
        """Keep bytes that a task made itself, under their own digest; gives their reference."""
        name = f"{sha256(data)}.{extension}"
        if self.read([name]) != [data]:
            self._objects.write(image_path(name), data)
        return self.reference(name)

    def reference(self, file_name: str) -> str:
        """The text that stands for an image in a row; :func:`tasks_lib.images.read_image_cell` resolves it."""
        return REFERENCE_PREFIX + self.url(file_name)

    def url(self, file_name: str) -> str:
        """Where an image of the store lies: a path, or a URL that fsspec opens."""
        return self._objects.url(image_path(file_name))

    def read(self, file_names: Sequence[str]) -> list[bytes | None]:
        """The bytes of images by file name, ``None`` for one that is not there."""
        return self._objects.read([image_path(name) for name in file_names])

    def is_empty(self) -> bool:
        """Whether nothing at all lies there, as in a place that never was a store."""
        return not self._objects.names()

    def records(self) -> Iterator[Record]:
        """Every readable record, by fingerprint, without looking at its image."""
        keys = [key_of(name) for name in self._objects.names() if is_record(name)]
        for start in range(0, len(keys), READ_AT_ONCE):
            found = self._parsed(keys[start : start + READ_AT_ONCE])
            yield from (each for each in found if isinstance(each, Record))

    def stats(self) -> StoreStats:
        """Count what is there."""
        images = size = 0
        cost = 0.0
        for record in self.records():
            images, size, cost = images + 1, size + record.size, cost + (record.cost_usd or 0.0)
        return StoreStats(images=images, size=size, cost_usd=round(cost, 6))

    def verify(self) -> dict[str, str]:
        """What is wrong, by path below the store: such generations are asked again when needed."""
        names = self._objects.names()
        faults: dict[str, str | None] = {}
        sound: set[str] = set()
        for key, found in self._examine([key_of(name) for name in names if is_record(name)]):
            if isinstance(found, Record):
                sound |= {record_path(key), image_path(found.file_name)}
            elif found:
                faults[found.path] = found.reason
        others = [name for name in names if name not in sound and name not in faults]
        faults |= {name: self._fault_of_other(name) for name in others}
        return {name: fault for name, fault in sorted(faults.items()) if fault}

    def prune(self, keep: Iterable[str], *, dry_run: bool = True) -> list[str]:
        """Remove every generation but those to keep, and what killed writers left behind.

        Files that are not a store's own stay. Don't prune while a dataset is being built: what it uses is
        told by its ledger at the end.

        Args:
            keep: file names and fingerprints that stay; :meth:`put_file` makes images with a name only.
            dry_run: only say what would go.

        Returns:
            The paths below the store that went, or would go.
        """
        kept = {key_of(name) for name in keep}
        going = [name for name in self._objects.names() if self._may_go(name, kept)]
        # Records go first: an image without a record is never taken for a generation.
        going.sort(key=lambda name: not is_record(name))
        if not dry_run:
            for name in going:
                self._objects.remove(name)
        return going

    def _may_go(self, name: str, kept: set[str]) -> bool:
        if not is_own(name):
            return False
        if is_temporary(name):
            return not self._objects.is_being_written(name)
        return key_of(name) not in kept

    def _examine(self, keys: Sequence[str]) -> Iterator[tuple[str, Record | Fault | None]]:
        """Each generation's record if it is whole, what is wrong with it, or ``None`` if it is not there."""
        for start in range(0, len(keys), READ_AT_ONCE):
            part = keys[start : start + READ_AT_ONCE]
            records = self._parsed(part)
            images = iter(self.read([each.file_name for each in records if isinstance(each, Record)]))
            for key, found in zip(part, records, strict=True):
                yield key, matched(found, next(images)) if isinstance(found, Record) else found

    def _parsed(self, keys: Sequence[str]) -> list[Record | Fault | None]:
        texts = self._objects.read([record_path(key) for key in keys])
        return [None if text is None else parsed(text, key) for key, text in zip(keys, texts, strict=True)]

    def _fault_of_other(self, name: str) -> str | None:
        """What is wrong with a file that no record names."""
        if not is_own(name):
            return "not a file of a store"
        if is_temporary(name):
            return None if self._objects.is_being_written(name) else "left behind by a writer that was killed"
        if is_refusal(name):
            return None if self.refusals.get_many([key_of(name)]) else "the refusal cannot be read"
        (data,) = self._objects.read([name])
        # A file that a task made itself has no record; its name is its digest.
        if data is None or sha256(data) == key_of(name):
            return None
        # A writer may have finished its record since the names were listed.
        ((_, found),) = self._examine([key_of(name)])
        named = isinstance(found, Record) and image_path(found.file_name) == name
        return None if named else "an image without a readable record"
