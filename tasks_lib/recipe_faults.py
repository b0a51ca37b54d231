"""What is wrong with a recipe, one sentence for each fault, in the recipe's own words."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

__all__ = ["sentences"]

SHAPES = {
    "name": "must begin with a letter or a digit, and hold only these, dots, dashes and underscores, 96 at most",
    "output.push_to_hub.repo_id": "must be owner and name, such as me/shapes",
    "card.license": "must be the Hub's name for a licence, in small letters, such as cc-by-4.0, apache-2.0 or other",
}
"""In place of the patterns that these must match."""


def sentences(error: ValidationError, settings: Mapping[str, Any]) -> list[str]:
    """One sentence for each fault: where it is and what it is."""
    faults: dict[str, str] = {}
    for each in error.errors(include_url=False):
        place = _place(each["loc"], settings)
        faults.setdefault(place, f"{place + ': ' if place else ''}{_message(each, place)}{_found(each)}")
    return list(faults.values())


def _message(fault: ErrorDetails, place: str) -> str:
    if fault["type"] == "union_tag_invalid":
        return _unknown_type(fault["ctx"])
    if fault["type"] == "string_pattern_mismatch" and place in SHAPES:
        return SHAPES[place]
    return fault["msg"].removeprefix("Value error, ")


def _found(fault: ErrorDetails) -> str:
    # Our own sentence about a whole group names what is wrong in it.
    is_told = fault["type"] == "value_error" and isinstance(fault["input"], Mapping)
    if is_told or fault["type"] in {"missing", "union_tag_invalid", "unknown_key"}:
        return ""
    return f" (found {_short(fault['input'])})"


def _unknown_type(facts: Mapping[str, Any]) -> str:
    known = facts["expected_tags"].replace("'", "").split(", ")
    near = get_close_matches(str(facts["tag"]), known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known types: {', '.join(known)}"
    return f"unknown type '{facts['tag']}'; {hint}"


def _place(location: Sequence[int | str], settings: Any) -> str:
    """A fault's place in the words of the recipe: pydantic puts the branches of unions among the keys."""
    keys: list[str] = []
    for part in location:
        if not _is_branch(part, settings):
            keys.append(str(part))
            settings = _inside(settings, part)
    return ".".join(keys)


def _is_branch(part: int | str, settings: Any) -> bool:
    if isinstance(part, int):
        return False
    return "[" in part or (isinstance(settings, Mapping) and part not in settings and part == settings.get("type"))


def _inside(settings: Any, key: int | str) -> Any:
    try:
        return settings[key]
    except (KeyError, IndexError, TypeError):
        return None


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
