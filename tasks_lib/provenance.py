"""Where an image comes from: its fingerprint, and the record that is kept beside its bytes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

__all__ = [
    "RECORD_SCHEMA",
    "NewerRecordError",
    "Record",
    "canonical_json",
    "fingerprint",
    "fingerprint_of_json",
    "sha256",
]

RECORD_SCHEMA = 1
"""Raise it when a record written from now on can't be understood by the code before."""

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""A SHA-256 in hexadecimal."""


# Made once: json.dumps makes an encoder at each call, and a row is spelled four times.
_STRICT = json.JSONEncoder(allow_nan=False)
_SORTED = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical_json(value: Any) -> str:
    """JSON with one spelling for equal values: sorted keys, no spaces, plain UTF-8 (1 and 1.0 differ).

    Raises:
        TypeError: the value holds what JSON does not know.
        ValueError: it holds an infinite number or none at all (NaN).
    """
    # Read back before it is sorted: a record must have the same spelling when it comes from its file, where
    # keys are texts and a pair of surrogates is one character.
    return _SORTED.encode(json.loads(_STRICT.encode(value)))


def sha256(data: bytes | str) -> str:
    """The SHA-256 of bytes or UTF-8 text, as 64 hexadecimal digits."""
    # A lone surrogate can come from a JSON file; it must not stop the run.
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return hashlib.sha256(raw).hexdigest()


def fingerprint(identity: Mapping[str, Any], request_facts: Mapping[str, Any]) -> str:
    """The key of one generation in the store: 64 hexadecimal digits.

    Args:
        identity: what about the model changes the pixels.
        request_facts: the request as JSON, the generation's number included.
    """
    return fingerprint_of_json(canonical_json(identity), canonical_json(request_facts))


def fingerprint_of_json(identity: str, request_facts: str) -> str:
    """The same, of two :func:`canonical_json`; an identity needs spelling only once."""
    return sha256(f'{{"model":{identity},"request":{request_facts}}}')


class NewerRecordError(ValueError):
    """A record was written by a newer Imageloom than this one."""


@dataclass(frozen=True)
class Record:
    """What is known of one paid image, fixed when it arrived."""

    fingerprint: Digest
    model_name: str
    model: Mapping[str, Any]
    """The model's identity."""
    request: Mapping[str, Any]
    """Prompt, options, seed and number, and the digests of source images."""
    sha256: Digest
    """Of the image's bytes as they came."""
    size: int
    """Of the image, in bytes."""
    format: Annotated[str, Field(pattern="^[A-Za-z0-9]+$")]
    width: int
    height: int
    seconds: float
    """From the first call to the last byte, waiting included."""
    attempts: int
    cost_usd: float | None
    created: str
    """ISO 8601, UTC."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the provider said of it."""
    schema: int = RECORD_SCHEMA

    @property
    def seed(self) -> int | None:
        """The seed that was sent."""
        return self.request.get("seed")

    @property
    def file_name(self) -> str:
        """Of the image in the store and in the dataset."""
        return f"{self.fingerprint}.{self.format.lower()}"

    def to_json(self) -> str:
        """One JSON object, readable with any editor."""
        # Metadata is whatever a provider said; it must never be the reason why a paid image is not kept.
        return json.dumps(vars(self), indent=1, ensure_ascii=True, default=str)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Record":
        """Read what :meth:`to_json` wrote.

        Raises:
            NewerRecordError: it is of a newer schema.
            ValueError: it is not a record, or its model and request do not give its fingerprint.
        """
        try:
            values = json.loads(text)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        schema = values.get("schema") if isinstance(values, dict) else None
        if isinstance(schema, int) and schema > RECORD_SCHEMA:
            raise NewerRecordError(f"schema {schema} is newer than {RECORD_SCHEMA}")
        if schema != RECORD_SCHEMA:
            raise ValueError(f"schema {schema!r} is not {RECORD_SCHEMA}")
        try:
            record = _RECORD.validate_python(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        # What has been read from JSON needs no reading back.
        if record.fingerprint != fingerprint_of_json(_SORTED.encode(record.model), _SORTED.encode(record.request)):
            raise ValueError("its model and request do not give its fingerprint")
        return record


_RECORD = TypeAdapter(Record)
