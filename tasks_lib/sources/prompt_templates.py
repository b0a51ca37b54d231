"""Prompts made from a template: which values its placeholders take, and which combinations are drawn."""

import math
import random
from collections import Counter
from collections.abc import Iterator
from string import Formatter
from typing import Any

from pydantic import PositiveInt, field_validator, model_validator
from pydantic_core import PydanticCustomError

from tasks_lib.settings import Settings

__all__ = ["TemplatePrompts"]

_LARGEST_FULL_GRID = 1_000_000


class TemplatePrompts(Settings):
    """One row for each combination of values; the values become columns beside the prompt."""

    template: str
    """A prompt with {placeholders}; write {{ and }} for braces."""
    values: dict[str, list[str | bool | int | float]]
    """For each placeholder, the values it takes."""
    limit: PositiveInt | None = None
    """Take a seeded random sample of so many combinations; a larger limit extends a smaller one's sample."""

    @field_validator("values")
    @classmethod
    def _one_kind_of_value(cls, values: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for name, choices in values.items():
            if not choices:
                raise _problem(f"'{name}' has no values")
            if any(isinstance(choice, bool) for choice in choices):
                raise _problem(f"'{name}' holds true or false; put words such as yes, no, on and off in quotes")
            if len({isinstance(choice, str) for choice in choices}) > 1:
                raise _problem(f"'{name}' mixes text and numbers; put the numbers in quotes")
            if repeated := [choice for choice, count in Counter(choices).items() if count > 1]:
                raise _problem(f"'{name}' lists {repeated[0]!r} more than once")
        return values

    @model_validator(mode="after")
    def _placeholders_match_values(self) -> "TemplatePrompts":
        used = {name for _, name in self._pieces() if name is not None}
        if unknown := sorted(used - set(self.values)):
            raise _problem(f"placeholder '{{{unknown[0]}}}' has no values; there are: {', '.join(self.values)}")
        if unused := sorted(set(self.values) - used):
            raise _problem(f"'{unused[0]}' has values, but the template has no placeholder '{{{unused[0]}}}'")
        if self.limit is None and self.size > _LARGEST_FULL_GRID:
            raise _problem(f"there are {self.size:,} combinations; set a limit to draw a sample of them")
        return self

    @property
    def size(self) -> int:
        """How many combinations there are."""
        return math.prod(len(choices) for choices in self.values.values())

    def combinations(self, seed: int, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Rows of values: the whole grid in order, or a sample where this template has a limit.

        Args:
            seed: decides the sample.
            limit: stop after so many.
        """
        count = min(bound for bound in (self.size, self.limit, limit) if bound is not None)
        places = range(count) if self.limit is None else _sample(self.size, count, seed)
        return (self._combination(place) for place in places)

    def prompt(self, combination: dict[str, Any]) -> str:
        """The template with its placeholders filled in."""
        return "".join(text + ("" if name is None else str(combination[name])) for text, name in self._pieces())

    def _combination(self, place: int) -> dict[str, Any]:
        """What stands at a place of the grid, read as a number whose last digit is the last placeholder's value."""
        row = {}
        for name, choices in reversed(self.values.items()):
            place, digit = divmod(place, len(choices))
            row[name] = choices[digit]
        return dict(reversed(row.items()))

    def _pieces(self) -> list[tuple[str, str | None]]:
        try:
            pieces = list(Formatter().parse(self.template))
        except ValueError as error:
            raise _problem(f"the template cannot be read: {error}; write {{{{ and }}}} for braces") from None
        if formatted := [name for _, name, form, conversion in pieces if form or conversion]:
            raise _problem(f"placeholder '{{{formatted[0]}}}' has a format; write the name alone")
        return [(text, name) for text, name, _, _ in pieces]


def _sample(size: int, count: int, seed: int) -> Iterator[int]:
    """The first ``count`` places of a Fisher-Yates shuffle of ``range(size)``, of which only the swaps are kept."""
    generator = random.Random(seed)
    moved: dict[int, int] = {}
    for place in range(count):
        chosen = generator.randrange(place, size)
        yield moved.get(chosen, chosen)
        moved[chosen] = moved.get(place, place)


def _problem(text: str) -> PydanticCustomError:
    return PydanticCustomError("template", "{problem}", {"problem": text})
