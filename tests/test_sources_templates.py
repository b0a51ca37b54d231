"""A template gives every combination of its values, or a sample of them."""

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.errors import SourceError
from tasks_lib.sources import TemplatePrompts, read_rows

VALUES = st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True), max_size=4).map(
    lambda lists: {f"v{number}": values for number, values in enumerate(lists)}
)


def template_of(values: dict[str, list[int]], limit: int | None = None) -> TemplatePrompts:
    """Make a template that uses all values."""
    braces = "".join(f"{{{name}}}, " for name in values)
    return TemplatePrompts(template=f"{{{{all}}}}: {braces}", values={**values}, limit=limit)


@given(VALUES)
def test_a_grid_is_the_product_in_order(values: dict[str, list[int]]) -> None:
    """Without a limit every combination comes once, the last placeholder changing fastest."""
    rows = read_rows(template_of(values)).to_pylist()
    expected = [dict(zip(values, choice, strict=True)) for choice in product(*values.values())]
    assert [{name: row[name] for name in values} for row in rows] == expected
    assert [row["prompt"] for row in rows] == ["{all}: " + "".join(f"{n}, " for n in row.values()) for row in expected]


@given(VALUES, st.integers(1, 300), st.integers(0, 2**40))
def test_a_sample_is_distinct_and_repeatable(values: dict[str, list[int]], limit: int, seed: int) -> None:
    """A sample has no combination twice, is the same for the same seed, and a larger one begins with it."""
    prompts = read_rows(template_of(values, limit), seed=seed)["prompt"].to_pylist()
    assert len(prompts) == len(set(prompts)) == min(limit, math.prod(map(len, values.values())))
    assert read_rows(template_of(values, limit), seed=seed)["prompt"].to_pylist() == prompts
    assert read_rows(template_of(values, limit + 50), seed=seed)["prompt"].to_pylist()[: len(prompts)] == prompts
    assert read_rows(template_of(values, limit), seed=seed, limit=3)["prompt"].to_pylist() == prompts[:3]


def test_a_sample_of_an_astronomic_grid_is_quick_and_spread() -> None:
    """A grid beyond all counting is sampled without being built, with every value in reach, by the seed."""
    template = template_of({f"v{number}": list(range(100)) for number in range(30)}, limit=1000)
    table = read_rows(template, seed=1)
    assert template.size == 100**30
    assert all(len(set(table[name].to_pylist())) > 90 for name in template.values)
    assert read_rows(template, seed=2) != table


def test_values_must_not_hide_the_prompt() -> None:
    """Values named like the prompt's column are refused."""
    with pytest.raises(SourceError, match="values for 'prompt'"):
        read_rows(TemplatePrompts(template="{prompt}", values={"prompt": ["a"]}))
