"""What every card is made of: metadata for the Hub and ``load_dataset``, and Markdown that no name can break."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import DatasetInfo

__all__ = ["card_metadata", "loading", "render_card"]

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def card_metadata(
    name: str,
    infos: "Mapping[str, DatasetInfo]",
    paths: Mapping[str, Mapping[str, str]],
    shards: Mapping[str, Iterable[Path]],
    tags: Sequence[str] = (),
    **facts: Any,
) -> str:
    """The YAML from which ``load_dataset`` and the Hub's viewer learn configs, splits and columns.

    Args:
        name: what people call the dataset.
        infos: columns and sizes by config.
        paths: a pattern for the shards, relative to the card, by config and split.
        shards: the files that make the data of each config what it is, in order.
        tags: beside those that every dataset of ours has.
        **facts: further fields of ``huggingface_hub.DatasetCardData``.
    """
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    first = next(iter(infos.values()), None)
    default = "default" if "default" in paths else next(iter(paths), None)
    rows = sum(split.num_examples for split in (first.splits or {}).values()) if first else 0
    data = DatasetCardData(
        pretty_name=name,
        tags=list(dict.fromkeys(["synthetic", "imageloom", *tags])),
        size_categories=[next((size for most, size in SIZES if rows < most), "n>1M")],
        configs=[_config(config, splits, shards[config], config == default) for config, splits in paths.items()],
        **facts,
    )
    DatasetInfosDict(infos).to_dataset_card_data(data)
    return f"---\n{data.to_yaml()}\n---\n"


def render_card(template: str, **facts: Any) -> str:
    """The text of a card, as Markdown.

    Templates have the filters ``code`` (for any text within backticks or a table), ``thousands``, ``type_name`` (of a
    feature) and ``fenced`` (a block that its text cannot end).

    Args:
        template: a file of ``tasks_lib/templates``.
        **facts: what the template names.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tasks_lib"),
        autoescape=False,  # noqa: S701  # it is Markdown; what users wrote goes through `code` or `fenced`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "code": _code,
        "fenced": _fenced,
        "thousands": lambda number: f"{number:,}",
        "type_name": _type_name,
    }
    return environment.get_template(template).render(**facts).rstrip() + "\n"


def loading(source: str, config: str = "default", split: str | None = None, column: str | None = None) -> str:
    """The lines of Python that load a folder or repository, and look at its first row where a split is named."""
    # Strings of Python on one line, whatever the folder and the column are called.
    place = ", ".join(_string(name) for name in ([source] if config == "default" else [source, config]))
    lines = ["from datasets import load_dataset", "", f"dataset = load_dataset({place})"]
    if split is not None:
        lines.append(f"dataset[{_string(split)}][0]" + (f"[{_string(column)}]" if column else ""))
    return "\n".join(lines)


def _config(config: str, splits: Mapping[str, str], shards: Iterable[Path], is_default: bool) -> dict[str, Any]:
    files = [{"split": split, "path": path} for split, path in splits.items()]
    default = {"default": True} if is_default else {}
    # `load_dataset` caches a local folder by its last name and by what the card says of configs, not by its data:
    # without this it gives the rows of an earlier build whose sizes were the same.
    return {"config_name": config, **default, "description": f"sha256 {_digest(shards)}", "data_files": files}


def _digest(shards: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in shards:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


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
    """Text that stays inside backticks, a heading and a table cell, whatever a prompt or a name holds."""
    return " ".join(str(text).split()).replace("`", "'").replace("|", "/").replace("<", "(").replace(">", ")")


def _fenced(text: str, language: str) -> str:
    # Longer than any fence within.
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"
