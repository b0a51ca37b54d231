"""The dataset card: ``README.md`` with the YAML that ``load_dataset`` and the Hub's viewer read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks_lib.card_parts import card_metadata, loading, render_card
from tasks_lib.columns import image_columns
from tasks_lib.folder import CARD_FILE
from tasks_lib.provenance import canonical_json
from tasks_lib.recipe import Recipe
from tasks_lib.report import BuildReport, dollars
from tasks_lib.shard_names import shards_of, split_pattern
from tasks_lib.shards import SplitSize
from tasks_lib.version import imageloom_version

if TYPE_CHECKING:
    from datasets import DatasetInfo, Features

__all__ = ["write_card"]


def write_card(
    folder: Path,
    recipe: Recipe,
    report: BuildReport,
    features: "Features",
    sizes: Mapping[str, Mapping[str, SplitSize]],
    samples: Sequence[str] = (),
) -> Path:
    """Write ``README.md`` into a dataset folder.

    Args:
        folder: the dataset folder.
        recipe: what it was built from.
        report: what the build did.
        features: the columns of every config.
        sizes: rows and bytes by config and split.
        samples: image files of the folder to show, relative to it.
    """
    infos = {config: _info(features, splits) for config, splits in sizes.items()}
    paths = {config: {split: split_pattern(config, split) for split in splits} for config, splits in sizes.items()}
    shards = {
        config: [path for split in splits for path in shards_of(folder, config, split)]
        for config, splits in sizes.items()
    }
    text, category = recipe.card, recipe.task.category
    metadata = card_metadata(
        recipe.name,
        infos,
        paths,
        shards,
        tags=[category, *text.tags],
        license=text.license,
        language=text.language or None,
        task_categories=[category],
    )
    path = folder / CARD_FILE
    path.write_text(f"{metadata}\n{_body(recipe, report, features, samples)}", encoding="utf-8")
    return path


def _info(features: "Features", splits: Mapping[str, SplitSize]) -> "DatasetInfo":
    from datasets import DatasetInfo, SplitDict, SplitInfo

    return DatasetInfo(
        features=features,
        splits=SplitDict({split: SplitInfo(split, size.image_bytes, size.rows) for split, size in splits.items()}),
        download_size=sum(size.file_bytes for size in splits.values()),
        dataset_size=sum(size.image_bytes for size in splits.values()),
    )


def _body(recipe: Recipe, report: BuildReport, features: "Features", samples: Sequence[str]) -> str:
    model = recipe.task.image_generation_model
    price = model.price_per_image_usd
    return render_card(
        "card.md.jinja",
        recipe=recipe,
        report=report,
        samples=samples,
        made=report.image_column,
        has_sources=len(image_columns(features)) > 1,
        model_name=model.model_name,
        trained=model.trained,
        source_type="trainedAlgorithmicMedia" if model.trained else "algorithmicMedia",
        loaded=_loaded(recipe, report),
        held=_held(recipe, report),
        features=features,
        options=canonical_json({**model.identity()["settings"], **model.get_generation_kwargs()}),
        price="not stated" if price is None else f"{dollars(price)} an image",
        total_cost=dollars(report.total_usd),
        checks=_checks(recipe, report),
        made_on=" to ".join(sorted(set(report.made))) if report.made else "none",
        version=imageloom_version(),
    )


def _loaded(recipe: Recipe, report: BuildReport) -> str:
    if report.first_split is None:
        return "# No image was asked for."
    place = recipe.output.push_to_hub.repo_id if recipe.output.push_to_hub else Path(report.folder).name
    return loading(place, *report.first_split, report.image_column)


def _checks(recipe: Recipe, report: BuildReport) -> dict[str, int]:
    """Every check that was on, with the images that it turned down."""
    return {**dict.fromkeys(recipe.checks.on, 0), **report.rejections}


def _held(recipe: Recipe, report: BuildReport) -> str:
    """What is in each config; the images of a group stay in one row, and with the worst of them in one config."""
    grouped = recipe.task.group_generations
    told = {
        "default": f"the {'rows whose images all' if grouped else 'images that'} came and passed the checks, "
        "in the order of their prompts",
        "rejected": "the images that a check turned down, with the reason in `error`",
        "failed": "the rows that lack an image, with the images that came and the reason in `error`"
        if grouped
        else "the prompts without an image, with the reason in `error`",
    }
    return "".join(f"The `{config}` config holds {text}.\n" for config, text in told.items() if config in report.splits)
