"""How a Distiset looks in a notebook: a table of its splits and a strip of small images."""

import base64
import html
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from tasks_lib.columns import image_columns
from tasks_lib.distiset.splits import Config, splits_of
from tasks_lib.errors import ImageCellError
from tasks_lib.image_verification import DAMAGED
from tasks_lib.images import read_image_cell
from tasks_lib.thumbnails import thumbnail_or_original

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["distiset_html"]

STRIP_IMAGES = 8
ROWS_TRIED = 64
"""Of each split, for images that are there."""
HEIGHT = 96
SIDE = 2 * HEIGHT
"""Pixels of a thumbnail's longest side, for screens with two to one."""


def distiset_html(configs: Mapping[str, Config], image_column: str | None = None) -> str:
    """A table of configs, splits and rows, and the first images as thumbnails.

    Args:
        configs: a Distiset.
        image_column: the column to take images from, where there are several; the first one without it.
    """
    datasets = [(config, split, each) for config, value in configs.items() for split, each in splits_of(value).items()]
    rows = [
        f"<tr><td>{html.escape(config)}</td><td>{html.escape(split)}</td><td>{len(dataset):,}</td></tr>"
        for config, split, dataset in datasets
    ]
    head = "<tr><th>config</th><th>split</th><th>rows</th></tr>"
    pictures = (picture for _, _, dataset in datasets for picture in _pictures(dataset, image_column))
    return f"<table>{head}{''.join(rows)}</table>{''.join(islice(pictures, STRIP_IMAGES))}"


def _pictures(dataset: "Dataset", preferred: str | None) -> Iterator[str]:
    from datasets import Image, List

    columns = image_columns(dataset.features)
    if not columns:
        return
    name = preferred if preferred in columns else next(iter(columns))
    undecoded = List(Image(decode=False)) if columns[name] else Image(decode=False)
    shown = dataset.with_format(None).select_columns(name).cast_column(name, undecoded)
    for row in islice(shown, ROWS_TRIED):
        for cell in (row[name] or []) if columns[name] else [row[name]]:
            yield from _picture(cell)


def _picture(cell: Any) -> Iterator[str]:
    """Nothing for an image that is gone or damaged: who looks at a Distiset wants to see the rest."""
    try:
        data = read_image_cell(cell)
        small = thumbnail_or_original(data, SIDE) if data else None
    except (ImageCellError, *DAMAGED):
        return
    if small:
        encoded = base64.b64encode(small.data).decode("ascii")
        yield (
            f'<img src="data:{small.media_type};base64,{encoded}" '
            f'style="height: {HEIGHT}px; margin: 2px" alt="" loading="lazy">'
        )
