"""What the files of a store are called: ``ab/abcd....png`` an image, ``.json`` its record, ``.refused`` a refusal."""

import re
import secrets

__all__ = [
    "TEMPORARY",
    "image_path",
    "is_own",
    "is_record",
    "is_refusal",
    "is_temporary",
    "key_of",
    "new_check_path",
    "record_path",
    "refusal_path",
]

TEMPORARY = ".writing-"
"""In the name of a file that is being written."""

OWN = re.compile(rf"([0-9a-f]{{2}})/\1[0-9a-f]{{62}}\.[a-z0-9]+({re.escape(TEMPORARY)}[0-9a-f]+)*")


def image_path(file_name: str) -> str:
    """Where an image lies below the store; 256 folders keep each of them short."""
    return f"{file_name[:2]}/{file_name}"


def record_path(fingerprint: str) -> str:
    """Where the record of a generation lies below the store."""
    return image_path(f"{fingerprint}.json")


def refusal_path(fingerprint: str) -> str:
    """Where it is noted that a generation was refused."""
    return image_path(f"{fingerprint}.refused")


def new_check_path() -> str:
    """A name that nobody has, for finding out whether and how the location can be written."""
    return f"00/{'0' * 64}.check{TEMPORARY}{secrets.token_hex(4)}"


def key_of(path: str) -> str:
    """The fingerprint, or the digest, that a file is named by."""
    return path.rpartition("/")[2].partition(".")[0]


def is_own(path: str) -> bool:
    """Whether a file of this name can only be a store's."""
    return bool(OWN.fullmatch(path))


def is_record(path: str) -> bool:
    """Whether this is the name of a record."""
    return path.endswith(".json") and is_own(path)


def is_refusal(path: str) -> bool:
    """Whether this is the name of a noted refusal."""
    return path.endswith(".refused") and is_own(path)


def is_temporary(path: str) -> bool:
    """Whether this is the name of a file that is being written, or was when its writer was killed."""
    return TEMPORARY in path
