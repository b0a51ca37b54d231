"""Keys and passwords in settings that a server keeps in clear and shows to everybody: found, and refused."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from pydantic import BaseModel

from tasks_lib.errors import RecipeError

__all__ = ["refuse_secrets"]

NAMES = re.compile(
    r"(^|_)(token|secret|signature|password|authorization)$|_key$|^(api|access|private|secret)key$|^(access|auth)token$"
)
"""Of settings, and in the query of a URL, whose value is a secret, whatever it looks like."""
NO_SECRETS = re.compile(
    r"(^|_)((cache|idempotency|sort)_key|(bos|eos|mask|modifier|pad|placeholder|trigger|unk)_token)$"
)
"""Names that only sound like it: options of providers and of diffusers."""
SHAPES = re.compile(
    r"(hf_|sk-|xai-|r8_|tgp_v1_)[A-Za-z0-9_-]{16,}|AKIA[0-9A-Z]{16}|(?i:bearer) \S{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
"""How keys of well-known services begin."""
URL_LOGIN = re.compile(r"https?://[^/\s@]+@|://[^/\s:@]+:[^/\s@]+@")
"""Over HTTP a user alone may be a token; ``abfs://container@account`` is none."""
QUERIES = re.compile(r"://[^\s?#]*\?([^\s#]+)")
BLOCKS = re.compile(r"(^|\.)secrets\.[^.]+$")
"""Where a recipe names the blocks, by variables that may well be called MY_API_KEY."""


def refuse_secrets(settings: Any) -> None:
    """Refuse settings that hold a key or a password; the rows of prompts are not looked at.

    Args:
        settings: a mapping by (dotted) key, or a model of pydantic.

    Raises:
        RecipeError: one is there; the message says where, never what.
    """
    for place, text in _texts(settings, ""):
        if what := _secret_in(place, text):
            raise RecipeError(
                f"{place} holds {what}, and parameters of a run are kept in clear and shown to all who see the server. "
                "Revoke it if it was sent to a server that others use. Give it by an environment variable, or by a "
                "Secret block that the recipe's 'secrets' name; a login in a URL may stand in the recipe's file."
            )


def _secret_in(place: str, text: str) -> str | None:
    if URL_LOGIN.search(text):
        return "a user or password in a URL"
    queries = (name for query in QUERIES.findall(text) for name, _ in parse_qsl(query))
    if any(_is_a_secrets(name) or name.lower() in {"sig", "key"} for name in queries):
        return "a key or signature in a URL"
    named = bool(text) and _is_a_secrets(place.rpartition(".")[2]) and not BLOCKS.search(place)
    return "a key" if named or SHAPES.search(text) else None


def _is_a_secrets(name: str) -> bool:
    plain = name.lower().replace("-", "_")
    return bool(NAMES.search(plain)) and not NO_SECRETS.search(plain)


def _texts(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, BaseModel | Mapping):
        for name, each in dict(value).items():
            if not (name == "prompts" and isinstance(each, list)):
                yield from _texts(each, f"{place}.{name}" if place else str(name))
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _texts(each, f"{place}.{number}")
