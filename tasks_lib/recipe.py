"""The recipe: one pydantic model, a YAML file on disk, a form in Prefect's UI."""

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from tasks_lib.checks import Checks
from tasks_lib.errors import RecipeError
from tasks_lib.limits import Limits
from tasks_lib.marking.choice import Marking
from tasks_lib.models.http_answers import redact
from tasks_lib.recipe_faults import sentences
from tasks_lib.recipe_file import read_recipe_file
from tasks_lib.runners import Runner, ThreadRunner
from tasks_lib.settings import Settings
from tasks_lib.shard_names import is_split_name
from tasks_lib.sources import Prompts
from tasks_lib.store import DEFAULT_STORE
from tasks_lib.tasks import AnyImageTask

__all__ = ["CardText", "Output", "PushToHub", "Recipe", "RecipeOrPlace", "load_recipe"]

EnvironmentVariable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class PushToHub(Settings):
    """A dataset repository on the Hub."""

    repo_id: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")
    """Owner and name, such as me/shapes; made if it is not there."""
    private: bool = True
    """Whether a new repository is private; an existing public one is then refused."""


class Output(Settings):
    """Where the dataset goes, and how it is split."""

    path: str
    """The dataset folder; relative to the current folder."""
    splits: dict[str, float] | str = Field(default_factory=lambda: {"train": 1.0})
    """The share of each split, or the column that names each row's split. A row keeps its split for good."""
    push_to_hub: PushToHub | None = None
    """Where a build of all rows is published when it is finished; not a preview, nor a build with a limit."""

    @field_validator("splits")
    @classmethod
    def _check_splits(cls, splits: dict[str, float] | str) -> dict[str, float] | str:
        if isinstance(splits, str):
            return splits
        bad = [name[:60] for name in splits if not is_split_name(name)]
        if bad or not splits:
            raise ValueError(
                f"split names are up to 100 letters, digits and underscores, and not 'all'; found {bad or 'none'}"
            )
        if min(splits.values()) < 0 or abs(sum(splits.values()) - 1) > 1e-6:
            raise ValueError(f"the shares of the splits must add up to 1; they add up to {sum(splits.values()):g}")
        return splits


class CardText(Settings):
    """What the card says of the dataset beside the facts of the build."""

    description: str | None = None
    """What the dataset is for, in Markdown; stands below its name."""
    license: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9.-]*$")
    """Its licence by the Hub's name for it, such as cc0-1.0, apache-2.0 or other; that of the model may bind you."""
    language: list[Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$")]] = Field(default_factory=list)
    """The languages of its prompts, such as en."""
    citations: list[str] = Field(default_factory=list)
    """What to cite, each as BibTeX."""
    tags: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:/-]*$")]] = Field(default_factory=list)
    """Words by which it is found on the Hub, beside synthetic, imageloom and the task's."""


class Recipe(Settings):
    """Everything that makes a dataset: prompts, task, model, checks, limits and where it goes."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$")
    """Letters, digits, dots, dashes and underscores; the name of runs and of the card."""
    seed: int = 0
    """From which the seed of every image derives, and a template's sample."""
    prompts: Prompts
    """Where the rows come from."""
    task: AnyImageTask
    """What is asked for each row, and of which model."""
    checks: Checks = Field(default_factory=Checks)
    """What an image must pass to be in the default config."""
    limits: Limits = Field(default_factory=Limits)
    """Caps on calls in flight, images, dollars and failures."""
    store: str = DEFAULT_STORE
    """Folder or fsspec URL where paid images are kept, shared by recipes."""
    runner: Runner = Field(default_factory=ThreadRunner)
    """Where batches run: in the flow's process (thread), or in worker processes of Dask or Ray."""
    output: Output
    """Where the dataset goes."""
    card: CardText = Field(default_factory=CardText)
    """What README.md of the dataset says beside the facts."""
    secrets: dict[EnvironmentVariable, str] = Field(default_factory=dict)
    """Environment variables that are filled from Prefect Secret blocks, by the name of the block; never the secret."""
    marking: Marking = "iptc"
    """How image files say that they are AI-generated (EU AI Act, Article 50): iptc, none, or the settings of a
    signed C2PA manifest."""
    batch_size: int | None = Field(default=None, ge=1, le=4096)
    """Rows in one Prefect task run: by default 128, in large runs up to 256. Keep it at or above
    2 x max_concurrency, since eight batches are in play."""

    @model_validator(mode="after")
    def _check_cap(self) -> Self:
        price = self.task.image_generation_model.price_per_image_usd
        if self.limits.max_cost_usd is not None and price is None:
            raise ValueError(
                "limits.max_cost_usd needs a price: state price_per_image_usd in image_generation_model, "
                "or cap the run with limits.max_images"
            )
        return self

    def to_yaml(self) -> str:
        """The recipe as a file that :func:`load_recipe` reads."""
        written = self.model_dump(mode="json", exclude_defaults=True)
        return yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=110)


RecipeOrPlace = Recipe | Annotated[str, BeforeValidator(lambda given: str(given) if isinstance(given, Path) else given)]
"""A parameter of a flow: the recipe, or the path or URL of its file; to a form a ``Path`` is a text."""


def load_recipe(
    recipe: "Recipe | Mapping[str, Any] | str | os.PathLike[str]", overrides: Mapping[str, Any] | None = None
) -> Recipe:
    """A recipe from itself, a mapping or a YAML file.

    Args:
        recipe: the recipe, its settings, or the path of its file: a local one, or a URL such as
            hf://datasets/me/recipes/shapes.yaml or s3://bucket/shapes.yaml.
        overrides: values by dotted key, such as ``{"limits.max_images": 10}``.

    Raises:
        RecipeError: the file cannot be read, is not YAML, or a setting is wrong; each named.
        MissingExtraError: the package for this kind of URL is not installed.
    """
    if isinstance(recipe, Recipe):
        settings, source = recipe.model_dump(mode="json", exclude_defaults=True), f"recipe '{recipe.name}'"
        if not overrides:
            return recipe
    elif isinstance(recipe, Mapping):
        settings, source = copy.deepcopy(dict(recipe)), "the recipe"
    else:
        settings, source = read_recipe_file(os.fspath(recipe)), redact(os.fspath(recipe), ())
    for key, value in (overrides or {}).items():
        _override(settings, key.split("."), value, key)
    try:
        return Recipe.model_validate(settings)
    except ValidationError as error:
        faults = "; ".join(sentences(error, settings))
        raise RecipeError(f"{source}: {faults}{'' if faults.endswith('?') else '.'}") from error
    except RecipeError as error:
        raise RecipeError(f"{source}: {error}") from error


def _override(settings: dict[str, Any], keys: Sequence[str], value: Any, shown: str) -> None:
    for key in keys[:-1]:
        settings = settings.setdefault(key, {})
        if not isinstance(settings, dict):
            raise RecipeError(f"'{shown}' cannot be set: '{key}' is not a group of settings in this recipe.")
    settings[keys[-1]] = value
