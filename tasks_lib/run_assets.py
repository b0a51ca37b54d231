"""The dataset as a Prefect asset: what it is made from, and the task run that makes it."""

import asyncio
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from prefect.assets import Asset, AssetProperties, materialize
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from prefect.states import Failed

from tasks_lib.build import Build
from tasks_lib.distiset import Distiset
from tasks_lib.errors import ImageloomError, TooManyFailuresError
from tasks_lib.recipe import Recipe
from tasks_lib.report import BuildReport
from tasks_lib.sources import DatasetPrompts, FilePrompts

__all__ = ["dataset_asset", "upstream_assets", "write_dataset"]

LONGEST_KEY = 512
"""Prefect's limit."""


@dataclass(frozen=True)
class _Written:
    """A dataset that was written, and what is wrong with it."""

    distiset: Distiset
    error: TooManyFailuresError | None = None


async def write_dataset(build: Build) -> Distiset:
    """Finish a build as one task run, which materializes the dataset as an asset.

    Raises:
        TooManyFailuresError: as :meth:`tasks_lib.build.Build.finish`; what there is was written, and is an asset.
        ImageloomError: nothing was written; the task run fails with its one sentence.
    """
    dataset = dataset_asset(build.recipe)

    @materialize(
        dataset,
        by="imageloom",
        asset_deps=[*upstream_assets(build.recipe, flow_run.parameters.get("recipe"))],
        name="write-dataset",
        task_run_name="write dataset",
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=0,
    )
    def write() -> _Written:
        """Write card, gallery and ledger, and put the folder in its place."""
        try:
            written = _written(build)
        except ImageloomError as error:
            return cast(_Written, Failed(message=str(error), data=error))
        if written.distiset.report:
            dataset.add_metadata(_facts(written.distiset.report))
        return written

    writing = write.submit()
    written = await asyncio.to_thread(writing.result)
    if written.error:
        raise written.error
    return written.distiset


def _written(build: Build) -> _Written:
    try:
        return _Written(build.finish())
    except TooManyFailuresError as error:
        return _Written(error.distiset, error)


def dataset_asset(recipe: Recipe) -> Asset:
    """The dataset folder of a recipe, by its URL."""
    text = f"Images by {recipe.task.image_generation_model.model_name}, built by Imageloom."
    return Asset(
        key=_file_key(Path(recipe.output.path).expanduser()),
        properties=AssetProperties(name=recipe.name, description=text[:2_500]),
    )


def upstream_assets(recipe: Recipe, given: Any = None) -> list[Asset]:
    """What a dataset is made from: its prompts, where they come from outside, its recipe and its model.

    Args:
        recipe: the recipe.
        given: the flow's parameter; a text is the place of the recipe's file.
    """
    keys = [_key("model", recipe.task.image_generation_model.model_name)]
    if isinstance(given, str):
        keys.append(_url_key(given) if "://" in given else _file_key(given))
    prompts = recipe.prompts
    if isinstance(prompts, FilePrompts):
        keys.append(_file_key(prompts.path))
    if isinstance(prompts, DatasetPrompts):
        on_disk = Path(prompts.dataset).exists()
        keys.append(_file_key(prompts.dataset) if on_disk else _key("hf", f"datasets/{prompts.dataset}"))
    return [Asset(key=key) for key in keys]


def _file_key(path: str | os.PathLike[str]) -> str:
    return _key("file", str(Path(path).absolute()))


def _url_key(url: str) -> str:
    """The URL without what may be secret in it: a login, a query."""
    parts = urlsplit(url)
    return _key(parts.scheme, parts.netloc.rpartition("@")[2] + parts.path)


def _key(scheme: str, place: str) -> str:
    # Prefect allows neither these characters nor percent signs to spell them.
    return re.sub(r"[\s\0#?&%\"'<>\[\]{}|\\^`]", "_", f"{scheme}://{place}")[:LONGEST_KEY]


def _facts(report: BuildReport) -> dict[str, Any]:
    return {
        "headline": report.headline,
        "rows": report.rows,
        "counts": dict(report.counts),
        "splits": {config: dict(splits) for config, splits in report.splits.items()},
        "spent_usd": report.spent_usd,
        "total_usd": report.total_usd,
        "seconds": report.seconds,
    }
