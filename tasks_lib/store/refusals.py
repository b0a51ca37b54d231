"""What moderation refused, remembered beside the images so that it is not asked again and again."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter, ValidationError

from tasks_lib.store.layout import refusal_path
from tasks_lib.store.objects import Objects

__all__ = ["Refusal", "Refusals"]


@dataclass(frozen=True)
class Refusal:
    """That a generation was refused, and in which words."""

    fingerprint: str
    error: str
    created: str
    """ISO 8601, UTC."""


class Refusals:
    """The refusals of a store: ``ab/abcd....refused``, a JSON object each.

    Not an answer for good: whoever wants to ask again does not look here, and an image that came later counts
    before a refusal.

    Args:
        objects: of the store.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def get_many(self, fingerprints: Iterable[str]) -> dict[str, Refusal]:
        """The refusals among these generations; one that cannot be read counts as unknown.

        Raises:
            StoreError: the store cannot be read.
        """
        keys = list(dict.fromkeys(fingerprints))
        texts = self._objects.read([refusal_path(key) for key in keys])
        found = {key: _parse(text) for key, text in zip(keys, texts, strict=True) if text is not None}
        return {key: refusal for key, refusal in found.items() if refusal and refusal.fingerprint == key}

    def put(self, refusal: Refusal) -> None:
        """Remember a refusal.

        Raises:
            StoreError: it could not be written.
        """
        text = json.dumps(asdict(refusal), indent=1)
        self._objects.write(refusal_path(refusal.fingerprint), text.encode())


def _parse(text: bytes) -> Refusal | None:
    try:
        return _REFUSAL.validate_json(text)
    except ValidationError:
        return None


_REFUSAL = TypeAdapter(Refusal)
