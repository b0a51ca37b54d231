"""Keys and passwords in settings that a server keeps in clear and shows to everybody: found, and refused."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from tasks_lib.errors import RecipeError

__all__ = ["refuse_secrets"]

NAMES = frozenset(
    {"access_key", "api_key", "apikey", "authorization", "password", "private_key", "secret", "secret_key", "token"}
)
"""Of settings whose value is a secret, whatever it looks like."""
SHAPES = re.compile(
    r"(hf_|sk-|xai-|r8_|tgp_v1_)[A-Za-z0-9_-]{16,}|AKIA[0-9A-Z]{16}|(?i:bearer) \S{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
"""How keys of well-known services begin."""
URL_LOGIN = re.compile(r"://[^/\s@]+@")


def refuse_secrets(settings: Any) -> None:
    """Refuse settings that hold a key or a password; the rows of prompts are not looked at.

    Args:
        settings: a mapping by (dotted) key, or a model of pydantic.

    Raises:
        RecipeError: one is there; the message says where, never what.
    """
    for place, text in _texts(settings, ""):
        name = place.rpartition(".")[2].lower().replace("-", "_")
        if name in NAMES or SHAPES.search(text) or URL_LOGIN.search(text):
            what = "a user or password in a URL" if URL_LOGIN.search(text) else "a key"
            raise RecipeError(
                f"{place} holds {what}, and parameters of a run are kept in clear and shown to all who see the server. "
                "Revoke it if it was sent to a server that others use. Give it by an environment variable, or by a "
                "Secret block that the recipe's 'secrets' name; a login in a URL may stand in the recipe's file."
            )


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
