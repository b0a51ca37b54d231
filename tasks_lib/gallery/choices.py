"""What the gallery's visitor chooses from: values to filter by, and numbers to order by."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tasks_lib.gallery.entries import Entry

__all__ = ["find_facets", "find_orders"]

LABEL_VALUES = range(2, 31)
"""A column with so many distinct values becomes a filter."""


def find_facets(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """What to filter by, each with its values in order: split, model and label columns.

    A column in which no value repeats, such as an id or a score, tells entries apart and groups none: no filter.
    """
    candidates = [("split", False), ("model", False), *((name, True) for name in _columns(entries))]
    facets = []
    for name, column in candidates:
        held = [(entry["columns"] if column else entry).get(name) for entry in entries]
        values = _distinct(held)
        if len(values) in LABEL_VALUES and len(values) < len(held) - held.count(None):
            facets.append({"name": name, "column": column, "values": values})
    return facets


def find_orders(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """What to order by: columns that hold different numbers, such as a score, and then cost and time.

    Each has the label that people see, and the part of an entry and the name in it where the number stands.
    """
    candidates = [{"label": name, "part": "columns", "name": name} for name in _columns(entries)]
    candidates += [
        {"label": "cost", "part": "generation", "name": "cost_usd"},
        {"label": "seconds", "part": "generation", "name": "seconds"},
    ]
    return [order for order in candidates if len(_numbers(entries, order)) > 1]


def _columns(entries: Sequence[Entry]) -> list[str]:
    return list(dict.fromkeys(name for entry in entries for name in entry["columns"]))


def _numbers(entries: Sequence[Entry], order: Mapping[str, str]) -> set[float]:
    values = (entry[order["part"]].get(order["name"]) for entry in entries)
    return {value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)}


def _distinct(values: Iterable[object]) -> list[object]:
    distinct = {json.dumps(value): value for value in values if value is not None}
    return sorted(distinct.values(), key=lambda value: (isinstance(value, str), value))
