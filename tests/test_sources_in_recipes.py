"""Prompts that a recipe writes down are checked when it is read, and survive being written again."""

from typing import Any

import pytest
from pydantic import ValidationError

from tasks_lib.errors import SourceError
from tasks_lib.settings import Settings
from tasks_lib.sources import Prompts, read_rows


class Holder(Settings):
    """Holds prompts as a recipe does."""

    prompts: Prompts
    """The prompts."""


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (["a", {"prompt": "b"}], "prompt 2 is .* not a string"),
        ([{"prompt": "b"}, "a"], "prompt 2 is 'a', not a mapping"),
        (["a", None], "prompt 2 is None"),
        ([], "empty"),
        ("a", "write a list of strings or mappings"),
        ({"pth": "a.txt"}, "write a list of strings or mappings"),
        ({"path": "a.docx"}, r"'a\.docx' is not a kind of file.*\.parquet"),
        ({"path": "a.txt", "limt": 1}, "did you mean 'limit'"),
        ({"path": "a.txt", "limit": 0}, "greater than 0"),
        ({"dataset": "a", "columns": []}, "at least 1 item"),
        ({"template": "{a} {b}", "values": {"a": ["x"]}}, "'{b}' has no values; there are: a"),
        ({"template": "{a}", "values": {"a": ["x"], "c": ["y"]}}, "'c' has values, but"),
        ({"template": "{a}", "values": {"a": []}}, "'a' has no values"),
        ({"template": "{a}", "values": {"a": ["x", "x"]}}, "'a' lists 'x' more than once"),
        ({"template": "{a}", "values": {"a": ["x", 1]}}, "'a' mixes text and numbers"),
        ({"template": "{a}", "values": {"a": [True]}}, "true or false"),
        ({"template": "{a", "values": {"a": ["x"]}}, "template cannot be read"),
        ({"template": "{a!r}", "values": {"a": ["x"]}}, "has a format"),
        ({"template": "{a.b}", "values": {"a": ["x"]}}, "'{a.b}' has no values"),
        ({"template": "{a}{b}", "values": {"a": [*range(2000)], "b": [*range(2000)]}}, "4,000,000 .* set a limit"),
    ],
)
def test_a_faulty_recipe_is_one_clear_error(prompts: Any, message: str) -> None:
    """What can be known from the recipe alone is told before anything is read, once."""
    with pytest.raises(ValidationError, match=message) as caught:
        Holder(prompts=prompts)
    assert caught.value.error_count() == 1


def test_unchecked_lists_are_checked_when_they_are_read() -> None:
    """A list that no recipe has seen gets the same check."""
    with pytest.raises(SourceError, match="prompt 2 is 1"):
        read_rows(["a", 1])  # type: ignore[list-item]
    with pytest.raises(SourceError, match="empty"):
        read_rows([])


@pytest.mark.parametrize(
    "prompts",
    [["a"], [{"prompt": "a"}], {"path": "a.csv"}, {"dataset": "a", "split": "test"},
     {"template": "{a}", "values": {"a": [1, "2"][:1]}}],
)  # fmt: skip
def test_prompts_survive_a_recipe(prompts: Any) -> None:
    """Every kind of prompts comes back equal from its own JSON."""
    holder = Holder(prompts=prompts)
    assert Holder.model_validate_json(holder.model_dump_json()) == holder
    assert Holder(prompts=holder.prompts) == holder
