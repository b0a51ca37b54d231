"""What is wrong with a recipe, one sentence for each fault, in the recipe's own words."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

__all__ = ["sentences"]


def sentences(error: ValidationError, settings: Mapping[str, Any]) -> list[str]:
    """One sentence for each fault: where it is and what it is."""
    faults: dict[str, str] = {}
    for each in error.errors(include_url=False):
        place = _place(each["loc"], settings)
        told = {"missing", "union_tag_invalid", "unknown_key"}
        found = "" if each["type"] in told else f" (found {_short(each['input'])})"
        message = _unknown_type(each["ctx"]) if each["type"] == "union_tag_invalid" else each["msg"]
        message = message.removeprefix("Value error, ")
        faults.setdefault(place, f"{place + ': ' if place else ''}{message}{found}")
    return list(faults.values())


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
