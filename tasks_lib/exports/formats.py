"""The formats: their names, what a writer of one is, and how it is read."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from tasks_lib.exports.built_config import BuiltConfig

if TYPE_CHECKING:
    from datasets import Features

__all__ = ["ExportFormat", "Layout", "WriteFormat", "export_loading"]


class ExportFormat(StrEnum):
    """What a dataset can be exported to."""

    WEBDATASET = "webdataset"
    IMAGEFOLDER = "imagefolder"
    LANCE = "lance"


@dataclass(frozen=True)
class Layout:
    """Files and columns of an export."""

    features: "Features"
    """The columns as ``load_dataset`` gives them back."""
    paths: Mapping[str, str]
    """A pattern for the files of each split, relative to the export."""


WriteFormat = Callable[[BuiltConfig, Path], Layout]
"""Writes all splits of a config into a new folder."""


def export_loading(format_: ExportFormat, folder: str, split: str) -> str:
    """The lines of Python that read a split of an export with the library of its format."""

    def path(name: str) -> str:
        return json.dumps(f"{folder}/{name}", ensure_ascii=False)

    match format_:
        case ExportFormat.WEBDATASET:
            tars = f"sorted(glob({path(f'{split}-*.tar')}))"
            return (
                "from glob import glob\nfrom webdataset import WebDataset\n\n"
                f'dataset = WebDataset({tars}, shardshuffle=False).decode("pil")'
            )
        case ExportFormat.IMAGEFOLDER:
            return (
                "from datasets import load_dataset\n\n"
                f'dataset = load_dataset({json.dumps(folder, ensure_ascii=False)}, split="{split}")'
            )
        case ExportFormat.LANCE:
            return f"import lance\n\ndataset = lance.dataset({path(f'{split}.lance')})"
