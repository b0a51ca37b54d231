"""Whether the two files of a generation in the store are whole and belong together."""

from dataclasses import dataclass

from tasks_lib.provenance import NewerRecordError, Record, sha256
from tasks_lib.store.layout import image_path, record_path

__all__ = ["Fault", "matched", "parsed"]


@dataclass(frozen=True)
class Fault:
    """What is wrong with a file of the store."""

    path: str
    reason: str
    is_newer: bool = False


def parsed(text: bytes, key: str) -> Record | Fault:
    """The record in a file, which must be that of ``key``."""
    try:
        record = Record.from_json(text)
    except NewerRecordError as error:
        return Fault(record_path(key), f"the record is of a newer version: its {error}", is_newer=True)
    except ValueError as error:
        return Fault(record_path(key), f"the record is damaged: {error}")
    if record.fingerprint != key:
        return Fault(record_path(key), f"the record is that of {record.fingerprint}")
    return record


def matched(record: Record, data: bytes | None) -> Record | Fault:
    """The record, if these are its image's bytes."""
    if data is None:
        return Fault(record_path(record.fingerprint), "the image is missing")
    if len(data) == record.size and sha256(data) == record.sha256:
        return record
    return Fault(image_path(record.file_name), f"the image's {len(data):,} bytes are not the {record.size:,} that came")
