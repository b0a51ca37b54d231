"""A figure: what was measured, what it should be, and whether it is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Figure", "at_least", "at_most"]


@dataclass(frozen=True)
class Figure:
    """One line of the benchmarks."""

    name: str
    value: float
    target: str
    ok: bool
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """One JSON object on one line; every number with three digits after the point."""
        named = {"name": self.name, "value": self.value, "target": self.target, "ok": self.ok, **self.details}
        return json.dumps({key: round(each, 3) if isinstance(each, float) else each for key, each in named.items()})


def at_most(target: float, name: str, value: float, **details: Any) -> Figure:
    """A figure that should be small."""
    return Figure(name, value, f"<= {target:g}", value <= target, details)


def at_least(target: float, name: str, value: float, **details: Any) -> Figure:
    """A figure that should be large."""
    return Figure(name, value, f">= {target:g}", value >= target, details)
