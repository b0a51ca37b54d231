"""The image in a provider's JSON answer, and what the provider says of it."""

import json
from collections.abc import Mapping
from typing import Any

from tasks_lib.errors import BadImageError
from tasks_lib.models.encoded_images import decoded_image

__all__ = ["image_and_metadata", "object_in", "words_of"]

IMAGE_FIELDS = ("images", "data", "output", "outputs", "image_result")
"""Where the providers of ``huggingface_hub`` put their images."""
LONGEST_TEXT = 200


def object_in(body: bytes) -> Mapping[str, Any]:
    """The JSON object that an answer is.

    Raises:
        BadImageError: it is something else.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadImageError(f"the answer is not JSON: {body[:100]!r}.") from error
    if not isinstance(answer, Mapping):
        raise BadImageError(f"the answer is no JSON object: {body[:100]!r}.")
    return answer


def image_and_metadata(answer: Mapping[str, Any]) -> tuple[bytes | str | None, dict[str, Any]]:
    """The image's bytes or its link, or ``None`` where there is neither, and the small facts beside it.

    Raises:
        BadImageError: the base64 of the image is damaged.
    """
    field = next((name for name in IMAGE_FIELDS if answer.get(name)), None)
    image = _first_image(answer[field]) if field else None
    return image, {name: value for name, value in answer.items() if name != field and _is_small(value)}


def words_of(value: Any, name: str = "") -> str:
    """All texts of an answer, and the names of what is true: not ``has_nsfw_contents`` where that is false or empty."""
    if isinstance(value, Mapping):
        return " ".join(words_of(each, str(key)) for key, each in value.items())
    if isinstance(value, list):
        return " ".join(words_of(each, name) for each in value)
    return value if isinstance(value, str) else name if value is True else ""


def _first_image(value: Any) -> bytes | str | None:
    if isinstance(value, list):
        return _first_image(value[0]) if value else None
    if isinstance(value, Mapping):
        encoded = value.get("b64_json") or value.get("url")
        return _first_image(encoded) if encoded else None
    if not isinstance(value, str):
        return None
    if value.startswith(("http://", "https://")):
        return value
    return decoded_image(value)


def _is_small(value: Any) -> bool:
    """Whether it is a fact such as ``seed``, ``has_nsfw_concepts`` or ``timings``, not a body."""
    if isinstance(value, Mapping):
        return all(_is_small(each) and not isinstance(each, Mapping) for each in value.values())
    if isinstance(value, list):
        return len(value) <= 16 and all(isinstance(each, (bool, int, float)) for each in value)
    return value is None or isinstance(value, (bool, int, float)) or len(str(value)) <= LONGEST_TEXT
