"""What users write: the pydantic base of recipes, tasks and models, and import paths."""

import inspect
import sys
import sysconfig
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    PlainSerializer,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from tasks_lib.errors import RecipeError

__all__ = ["Settings", "as_kind_of", "import_class"]

SECRETS = {"api_key", "api_token", "key", "token", "hf_token"}
"""What people call a key that they would write into a recipe."""


class Settings(BaseModel):
    """A pydantic model that refuses unknown keys and names the nearest known one.

    Each field's docstring line is its description in the form of Prefect's UI.
    """

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, validate_default=False)

    @model_validator(mode="before")
    @classmethod
    def _name_the_nearest_key(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        for key in value:
            if key not in cls.model_fields:
                hint = cls._hint(str(key))
                raise PydanticCustomError("unknown_key", "unknown key '{key}'; {hint}", {"key": str(key), "hint": hint})
        return value

    @classmethod
    def _hint(cls, unknown: str) -> str:
        if unknown in SECRETS and "token_env" in cls.model_fields:
            variable = cls.model_fields["token_env"].default
            return f"a key comes from the environment, from {variable} or the variable that token_env names"
        known = sorted(cls.model_fields)
        near = get_close_matches(unknown, known, n=1)
        return f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"

    @classmethod
    def kind(cls) -> str:
        """The ``type`` that names this class in a recipe: its own word, or its import path."""
        # A user's subclass of a built-in inherits its field, and is another kind all the same.
        declared = "type" in inspect.get_annotations(cls)
        return str(cls.model_fields["type"].default) if declared else f"{cls.__module__}:{cls.__qualname__}"

    def written(self) -> dict[str, Any]:
        """The settings off their defaults as JSON, led by ``type``: what a recipe says."""
        return {"type": self.kind(), **self.model_dump(mode="json", exclude={"type"}, exclude_defaults=True)}


def as_kind_of(base: type[Settings]) -> tuple[WrapValidator, PlainSerializer]:
    """Annotations for a field that takes an instance of ``base``, a built-in kind, or an import path as ``type``."""

    def resolve(value: Any, built_in: ValidatorFunctionWrapHandler) -> Any:
        if isinstance(value, base):
            return value
        if isinstance(value, dict) and ":" in str(value.get("type")):
            settings = {key: each for key, each in value.items() if key != "type"}
            return import_class(value["type"], base).model_validate(settings)
        return built_in(value)

    return WrapValidator(resolve), PlainSerializer(lambda value: value.written(), return_type=dict[str, Any])


def import_class(path: str, base: type[Any]) -> type[Any]:
    """The class that ``package.module:Name`` names.

    Args:
        path: an import path with one colon, as recipes use for users' own tasks and models.
        base: the class it must be a subclass of.

    Raises:
        RecipeError: it cannot be imported, is something else, or lacks a method.
    """
    module_name, _, name = path.partition(":")
    try:
        found = getattr(_imported(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise RecipeError(
            f"type '{path}' cannot be imported: {error}. Write it as 'package.module:ClassName', where that package is "
            f"installed or lies in a folder that was searched: {', '.join(_searched_folders()) or 'none'}."
        ) from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise RecipeError(f"type '{path}' is not a subclass of {base.__name__}.")
    if lacking := sorted(getattr(found, "__abstractmethods__", ())):
        raise RecipeError(f"type '{path}' lacks {', '.join(lacking)}, which every {base.__name__} defines.")
    return found


def _imported(module_name: str) -> ModuleType:
    try:
        return import_module(module_name)
    except SystemError:
        # Docstrings of fields are read by ast.parse, which now and then fails while other threads run (CPython
        # gh-106905, "AST constructor recursion depth mismatch").
        return import_module(module_name)


def _searched_folders() -> list[str]:
    """Where users' own modules are looked for, beside what is installed."""
    installed = tuple(sysconfig.get_paths()[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib"))
    folders = [Path(entry).absolute() for entry in sys.path if not entry.startswith(installed)]
    return list(dict.fromkeys(str(folder) for folder in folders if folder.is_dir()))
