"""The file of a recipe: its text, from disk or a URL, and what that says as YAML."""

from pathlib import Path
from typing import Any

import fsspec
import yaml

from tasks_lib.errors import RecipeError
from tasks_lib.locations import missing_package
from tasks_lib.models.http_answers import redact

__all__ = ["UniqueKeyLoader", "read_recipe_file"]


class UniqueKeyLoader(yaml.SafeLoader):
    """YAML in which no key stands twice: of two, PyYAML takes the last, and a cap in the first would be lost."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping as it is written, before ``<<`` merges others into it."""
        node = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], yaml.Node] = {}
        for key, _ in node.value:
            earlier = first.setdefault((key.tag, str(key.value)), key)
            if earlier is not key:
                line = earlier.start_mark.line + 1
                problem = f"the key '{key.value}' stands in line {line} already; keep one of the two"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        return node


def read_recipe_file(path: str) -> dict[str, Any]:
    """The settings in a recipe's file.

    Args:
        path: a local path, or a URL that fsspec opens.

    Raises:
        RecipeError: it cannot be read, is not YAML, or holds something else than settings.
        MissingExtraError: the package for this kind of URL is not installed.
    """
    shown = redact(path, ())  # a query may be a signature, and messages are kept
    try:
        # A subclass of the safe one.
        settings = yaml.load(_read_text(path, shown), UniqueKeyLoader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "its beginning"
        raise RecipeError(f"the recipe {shown} is not valid YAML at {place}: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"the recipe {shown} is not valid YAML: {error}.") from error
    if settings is None:
        raise RecipeError(f"the recipe {shown} is empty. README.md shows what belongs in it.")
    if not isinstance(settings, dict):
        raise RecipeError(f"the recipe {shown} holds no keys such as 'name:', but a {type(settings).__name__}.")
    return settings


def _read_text(path: str, shown: str) -> str:
    try:
        if "://" not in path:
            return Path(path).read_text(encoding="utf-8")
        with fsspec.open(path, "rt", encoding="utf-8") as file:
            return str(file.read())
    except ImportError as error:
        raise missing_package("A recipe", path, error) from error
    # Neither is raised from its cause, whose text is logged as it is.
    except FileNotFoundError:
        raise RecipeError(f"the recipe {shown} cannot be read: there is no such file.") from None
    except Exception as error:  # noqa: BLE001  # file systems raise errors of their libraries, not only OSError
        reason = redact(str(error), ()) or type(error).__name__
        raise RecipeError(f"the recipe {shown} cannot be read: {reason}.") from None
