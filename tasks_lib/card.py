"""The dataset card: ``README.md`` with the YAML that ``load_dataset`` and the Hub's viewer read."""

import json
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks_lib.columns import image_columns
from tasks_lib.provenance import canonical_json
from tasks_lib.recipe import Recipe
from tasks_lib.report import BuildReport, dollars
from tasks_lib.shards import SplitSize, split_folder

if TYPE_CHECKING:
    from datasets import Features

__all__ = ["write_card"]

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


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
    from huggingface_hub import DatasetCard

    text = f"---\n{_card_data(recipe, report, features, sizes)}\n---\n\n{_body(recipe, report, features, samples)}"
    card = DatasetCard(text)
    path = folder / "README.md"
    card.save(path)
    return path


def _card_data(
    recipe: Recipe, report: BuildReport, features: "Features", sizes: Mapping[str, Mapping[str, SplitSize]]
) -> str:
    from datasets import DatasetInfo, SplitDict, SplitInfo
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    data = DatasetCardData(
        pretty_name=recipe.name,
        license=recipe.card.license,
        language=recipe.card.language or None,
        tags=list(dict.fromkeys(["synthetic", recipe.task.category, "imageloom", *recipe.card.tags])),
        task_categories=[recipe.task.category],
        size_categories=[next((name for most, name in SIZES if report.images < most), "n>1M")],
        configs=[_config(config, splits) for config, splits in sizes.items()],
    )
    infos = {
        config: DatasetInfo(
            features=features,
            splits=SplitDict({split: SplitInfo(split, size.image_bytes, size.rows) for split, size in splits.items()}),
            download_size=sum(size.file_bytes for size in splits.values()),
            dataset_size=sum(size.image_bytes for size in splits.values()),
        )
        for config, splits in sizes.items()
    }
    DatasetInfosDict(infos).to_dataset_card_data(data)
    return data.to_yaml()


def _config(config: str, splits: Mapping[str, SplitSize]) -> dict[str, Any]:
    files = [{"split": split, "path": f"{split_folder(config)}/{split}-*"} for split in splits]
    default = {"default": True} if config == "default" else {}
    return {"config_name": config, **default, "data_files": files}


def _body(recipe: Recipe, report: BuildReport, features: "Features", samples: Sequence[str]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tasks_lib"),
        autoescape=False,  # noqa: S701  # it is Markdown; what users wrote goes through `code`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["thousands"] = lambda number: f"{number:,}"
    environment.filters["code"] = _code
    model = recipe.task.image_generation_model
    price = model.price_per_image_usd
    citations = "\n\n".join(recipe.card.citations)
    return environment.get_template("card.md.jinja").render(
        recipe=recipe,
        report=report,
        samples=samples,
        made=report.image_column,
        has_sources=len(image_columns(features)) > 1,
        model_name=model.model_name,
        trained=model.trained,
        source_type="trainedAlgorithmicMedia" if model.trained else "algorithmicMedia",
        loaded=_loaded(report),
        others=_others(report),
        columns={name: _type_name(feature) for name, feature in features.items()},
        options=canonical_json({**model.identity()["settings"], **model.get_generation_kwargs()}),
        price="not stated" if price is None else f"{dollars(price)} an image",
        total_cost=dollars(report.total_usd),
        checks=_checks(recipe, report),
        made_on=" to ".join(sorted(set(report.made))) if report.made else "none",
        version=version("imageloom"),
        citations=citations,
        # Longer than any within.
        fence="`" * max(3, 1 + max(map(len, re.findall("`+", citations)), default=0)),
    )


def _loaded(report: BuildReport) -> str:
    """Lines of Python that look at the first row."""
    if report.first_split is None:
        return "# No image was asked for."
    config, split = report.first_split
    # Strings of Python on one line, whatever the folder and the column are called.
    place = ", ".join(_string(name) for name in [Path(report.folder).name, *([] if config == "default" else [config])])
    return "\n".join(
        [
            "from datasets import load_dataset",
            "",
            f"dataset = load_dataset({place})",
            f"dataset[{_string(split)}][0][{_string(report.image_column)}]",
        ]
    )


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _checks(recipe: Recipe, report: BuildReport) -> dict[str, int]:
    """Every check that was on, with the images that it turned down."""
    names = {"blank": "blank", "min_side": "too small", "near_duplicates": "near duplicate"}
    on = [name for setting, name in names.items() if getattr(recipe.checks, setting)]
    return {**dict.fromkeys(on, 0), **report.rejections}


def _others(report: BuildReport) -> str:
    told = {
        "rejected": "\nThe `rejected` config holds the images that a check turned down, with the reason in `error`.",
        "failed": "\nThe `failed` config holds the prompts without an image, with the reason in `error`.",
    }
    return "".join(text for config, text in told.items() if config in report.splits)


def _type_name(feature: Any) -> str:
    from datasets import List, Value

    if isinstance(feature, Value):
        return str(feature.dtype)
    if isinstance(feature, List):
        return f"list of {_type_name(feature.feature)}"
    if isinstance(feature, dict):
        return "struct: " + ", ".join(feature)
    return type(feature).__name__


def _code(text: Any) -> str:
    """Text that stays inside backticks and a table cell, whatever a prompt or a name holds."""
    return " ".join(str(text).split()).replace("`", "'").replace("|", "/").replace("<", "(").replace(">", ")")
