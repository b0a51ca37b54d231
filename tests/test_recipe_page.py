"""docs/recipe.md: every key of a recipe.

After a wanted change of a setting: ``python -m tests.test_recipe_page`` writes the page anew.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from tasks_lib.checks import Checks, NearDuplicates
from tasks_lib.limits import Limits
from tasks_lib.marking.credential import C2paMarking
from tasks_lib.models import (
    DiffusersImageGeneration,
    InferenceEndpointsImageGeneration,
    OpenAIImageGeneration,
    ProceduralImageGeneration,
)
from tasks_lib.models.openai_answers import TokenPrices
from tasks_lib.recipe import CardText, Output, PushToHub, Recipe
from tasks_lib.runners import DaskRunner, RayRunner
from tasks_lib.settings import Settings
from tasks_lib.sources import DatasetPrompts, FilePrompts, TemplatePrompts
from tasks_lib.tasks import ImageEditing, ImageGeneration

PAGE = Path(__file__).parents[1] / "docs" / "recipe.md"
START = """# Every key of a recipe

Written from the settings themselves (`python -m tests.test_recipe_page`). What has no default is needed. Own tasks and
models go by `type: my_package.my_module:MyClass`, with the fields of their class.
"""
MODELS = (
    ProceduralImageGeneration,
    InferenceEndpointsImageGeneration,
    OpenAIImageGeneration,
    DiffusersImageGeneration,
)
SECTIONS: dict[str, type[Settings]] = {
    "A recipe": Recipe,
    "`prompts`: a file": FilePrompts,
    "`prompts`: a dataset": DatasetPrompts,
    "`prompts`: a template": TemplatePrompts,
    **{f"`task`: `type: {task.kind()}`": task for task in (ImageGeneration, ImageEditing)},
    **{f"`task.image_generation_model`: `type: {model.kind()}`": model for model in MODELS},
    "`task.image_generation_model.prices_usd_per_million` of `type: openai`": TokenPrices,
    "`checks`": Checks,
    "`checks.near_duplicates`": NearDuplicates,
    "`limits`": Limits,
    "`output`": Output,
    "`output.push_to_hub`": PushToHub,
    "`card`": CardText,
    "`runner`: `type: dask`": DaskRunner,
    "`runner`: `type: ray`": RayRunner,
    "`marking`: `type: c2pa`": C2paMarking,
}


def test_the_page_of_recipes_has_every_key() -> None:
    """docs/recipe.md holds each key with its default and what it means, as the settings themselves say it."""
    assert PAGE.read_text(encoding="utf-8") == _page(), "write it anew: python -m tests.test_recipe_page"


def test_every_kind_of_settings_is_on_the_page() -> None:
    """Nothing that a recipe may hold is without a section."""
    named = {definition["title"] for definition in Recipe.model_json_schema()["$defs"].values()}
    assert named - {settings.__name__ for settings in SECTIONS.values()} <= {"ThreadRunner"}


def _page() -> str:
    return "\n".join([START, *(line for title, settings in SECTIONS.items() for line in _section(title, settings))])


def _section(title: str, settings: type[Settings]) -> Iterator[str]:
    yield f"## {title}\n"
    yield "| key | default | what it is |\n|---|---|---|"
    for key, field in settings.model_fields.items():
        if key != "type":
            yield f"| `{key}` | {_default(field)} | {' '.join((field.description or '').split()).replace('|', '/')} |"
    yield ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    default: Any = field.get_default(call_default_factory=True)
    if isinstance(default, Settings):
        return "see below"
    return "none" if default is None else f"`{json.dumps(default)}`"


if __name__ == "__main__":
    PAGE.write_text(_page(), encoding="utf-8")
