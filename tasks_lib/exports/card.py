"""The card of an export: what ``load_dataset`` must know of it, and a few words for people."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tasks_lib.card_parts import card_metadata
from tasks_lib.exports.built_config import BuiltConfig
from tasks_lib.exports.formats import ExportFormat, Layout, export_loading
from tasks_lib.folder import CARD_FILE

if TYPE_CHECKING:
    from datasets import DatasetInfo

__all__ = ["write_export_card"]

DESCRIPTIONS = {
    ExportFormat.WEBDATASET: (
        "The files of a row follow each other under one key: its image; `json`, which holds all columns and where the "
        "name of its file stands for an image; and `txt`, its prompt. `load_dataset` of the folder knows the types of "
        'all columns, where `load_dataset("webdataset", ...)` guesses them from five rows.'
    ),
    ExportFormat.IMAGEFOLDER: "Each image is a file; the other columns are in each split's `metadata.parquet`.",
    ExportFormat.LANCE: "A table for each split, in which an image is a binary column with the encoded bytes.",
}


def write_export_card(folder: Path, place: str, format_: ExportFormat, read: BuiltConfig, layout: Layout) -> None:
    """Write ``README.md``.

    Args:
        folder: the export, under construction.
        place: the name that it will have.
        format_: its format.
        read: what was exported, after it was read.
        layout: what its writer gave.
    """
    name = read.folder.resolve().name
    info = _info(read, layout)
    metadata = card_metadata(name, {"default": info}, {"default": layout.paths}, {"default": read.shards})
    text = f"""{metadata}
An export of a dataset that imageloom built, as {format_}. It holds AI-generated images, byte for byte those of the
dataset. {DESCRIPTIONS[format_]}

```python
{export_loading(format_, place, next(iter(read.rows)))}
```

All splits:

```python
from datasets import load_dataset

dataset = load_dataset({json.dumps(place, ensure_ascii=False)})
```
"""
    (folder / CARD_FILE).write_text(text, encoding="utf-8")


def _info(read: BuiltConfig, layout: Layout) -> "DatasetInfo":
    from datasets import DatasetInfo, SplitDict, SplitInfo

    # load_dataset counts what it reads against these.
    splits = {split: SplitInfo(split, num_examples=count) for split, count in read.rows.items()}
    return DatasetInfo(features=layout.features, splits=SplitDict(splits))
