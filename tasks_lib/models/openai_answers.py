"""Reading an answer of the OpenAI images protocol: its images, what is said about them, and what they cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field
from pydantic_core import from_json

from tasks_lib.errors import BadImageError, RefusedError
from tasks_lib.models.encoded_images import decoded_image
from tasks_lib.models.http_answers import BEFORE_TEXT, is_refusal, redact
from tasks_lib.settings import Settings

__all__ = ["OpenAIAnswer", "TokenPrices", "read_answer"]

SAID_OF_ALL = ("created", "background", "output_format", "quality", "size", "usage")
SAID_OF_ONE = ("revised_prompt", "seed")


class TokenPrices(Settings):
    """US dollars for a million tokens of each kind, as the provider's price list states them."""

    input_text_tokens: float = Field(ge=0)
    """Of the prompt."""
    input_image_tokens: float = Field(ge=0)
    """Of source images."""
    output_image_tokens: float = Field(ge=0)
    """Of the images made."""
    output_text_tokens: float | None = Field(default=None, ge=0)
    """Of what the model thought in words; by default they count as image tokens."""

    def cost_usd(self, usage: Any) -> float | None:
        """What a call cost by its ``usage`` (see ``openai.types.images_response.Usage``), or ``None`` if it is unclear.

        Without ``output_tokens_details`` all output is image.
        """
        match usage:
            case {"input_tokens_details": {"text_tokens": int(text), "image_tokens": int(image)}}:
                inputs = text * self.input_text_tokens + image * self.input_image_tokens
            case _:
                return None
        match usage:
            case {"output_tokens_details": {"text_tokens": int(text), "image_tokens": int(image)}}:
                pass
            case {"output_tokens": int(image)}:
                text = 0
            case _:
                return None
        text_price = self.output_image_tokens if self.output_text_tokens is None else self.output_text_tokens
        return float(inputs + image * self.output_image_tokens + text * text_price) / 1e6


@dataclass(frozen=True)
class OpenAIAnswer:
    """What one call brought."""

    images: Sequence[bytes | str | BadImageError]
    """Each the image itself, a link to it, or why it is none."""
    metadata: Sequence[Mapping[str, Any]]
    """What was said about each image, as JSON."""
    usage: Any = None
    """Tokens of the whole call."""


def read_answer(body: bytes, where: str, secrets: Sequence[str]) -> OpenAIAnswer:
    """Read the body of an answer with status 200.

    Args:
        body: JSON, or the bytes of one image, as vLLM-Omni can send them.
        where: the model, fit for a message.
        secrets: what must not get into metadata or messages.

    Raises:
        RefusedError: there is a refusal in place of images.
        BadImageError: there is no image.
    """
    text = body.lstrip(BEFORE_TEXT)
    # No image begins like JSON; a web page is found out when the image is verified.
    if text[:1] not in (b"{", b"["):
        return OpenAIAnswer([body], [{}])
    try:
        said = from_json(text, allow_inf_nan=False)
        entries = [entry for entry in said["data"] if isinstance(_text(entry), str)]
    except (ValueError, KeyError, TypeError, AttributeError):
        said, entries = {}, []
    if not entries:
        told = text[:4000].decode("utf-8", "replace")
        error = RefusedError if is_refusal(200, told) else BadImageError
        raise error(f"{where} answered 200 without an image: {redact(told, secrets)[:300]}")
    of_all = _chosen(said, SAID_OF_ALL, secrets)
    if len(entries) > 1:
        of_all["images_in_call"] = len(entries)
    return OpenAIAnswer(
        [_image(entry) for entry in entries],
        [of_all | _chosen(entry, SAID_OF_ONE, secrets) for entry in entries],
        said.get("usage"),
    )


def _text(entry: Mapping[str, Any]) -> Any:
    return entry.get("b64_json") or entry.get("url") or None


def _image(entry: Mapping[str, Any]) -> bytes | str | BadImageError:
    """The image of an entry, or its link, in whose place there may be a data URI."""
    text = str(_text(entry))
    if not entry.get("b64_json") and not text.startswith("data:"):
        return text
    try:
        return decoded_image(text)
    except BadImageError as error:
        return error


def _chosen(said: Mapping[str, Any], names: Sequence[str], secrets: Sequence[str]) -> dict[str, Any]:
    return {name: _redacted(said[name], secrets) for name in names if said.get(name) is not None}


def _redacted(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, dict):
        return {redact(name, secrets): _redacted(each, secrets) for name, each in value.items()}
    if isinstance(value, list):
        return [_redacted(each, secrets) for each in value]
    return redact(value, secrets) if isinstance(value, str) else value
