"""The card of a Distiset: what is in it, how to load it, what to cite."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tasks_lib.distiset_splits import Config, splits_of

if TYPE_CHECKING:
    from datasets import DatasetInfo

__all__ = ["card_body", "card_metadata", "loading"]

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def card_metadata(name: str, infos: "Mapping[str, DatasetInfo]", paths: Mapping[str, Mapping[str, str]]) -> str:
    """The YAML from which ``load_dataset`` and the Hub's viewer learn configs, splits and columns.

    Args:
        name: what people call the dataset.
        infos: columns and sizes by config.
        paths: a pattern for the shards, relative to the card, by config and split.
    """
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    rows = sum(split.num_examples for info in infos.values() for split in (info.splits or {}).values())
    data = DatasetCardData(
        pretty_name=name,
        tags=["synthetic", "imageloom"],
        size_categories=[next((size for most, size in SIZES if rows < most), "n>1M")],
        configs=[
            {
                "config_name": config,
                **({"default": True} if config == "default" else {}),
                "data_files": [{"split": split, "path": path} for split, path in splits.items()],
            }
            for config, splits in paths.items()
        ],
    )
    DatasetInfosDict(infos).to_dataset_card_data(data)
    return f"---\n{data.to_yaml()}\n---\n"


def card_body(name: str, configs: Mapping[str, Config], citations: Sequence[str], load: str) -> str:
    """What people read, as Markdown.

    Args:
        name: what people call the dataset.
        configs: what is in it.
        citations: BibTeX entries.
        load: lines of Python that load it.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tasks_lib"),
        autoescape=False,  # noqa: S701  # it is Markdown; what users wrote goes through `code` or into a fence
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = _code
    tables = {config: splits_of(value) for config, value in configs.items()}
    features = {name: each.features for splits in tables.values() for each in splits.values() for name in each.features}
    bibtex = "\n\n".join(citations)
    return environment.get_template("distiset_card.md.jinja").render(
        name=name,
        load=load,
        rows=[(config, split, len(each)) for config, splits in tables.items() for split, each in splits.items()],
        columns={column: _type_name(kinds[column]) for column, kinds in features.items()},
        bibtex=bibtex,
        fence="`" * max(3, 1 + max(map(len, re.findall("`+", bibtex)), default=0)),
    )


def loading(source: str, configs: Mapping[str, Config]) -> str:
    """The lines of Python that load a dataset folder or repository."""
    which = "" if "default" in configs else f", {json.dumps(next(iter(configs)))}"
    return f"from datasets import load_dataset\n\ndataset = load_dataset({json.dumps(source)}{which})"


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
    """Text that stays inside backticks, a heading and a table cell, whatever a name holds."""
    return " ".join(str(text).split()).replace("`", "'").replace("|", "/").replace("<", "(").replace(">", ")")
