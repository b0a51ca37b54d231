"""What the gallery shows of a dataset folder: one entry for each image, or for each row that has none."""

import base64
import json
import math
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

from PIL import UnidentifiedImageError

from tasks_lib.columns import ACCOUNT_COLUMNS
from tasks_lib.gallery.shards import Rows, Shard
from tasks_lib.image_verification import DAMAGED
from tasks_lib.tasks import Row
from tasks_lib.thumbnails import original, thumbnail_or_original

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Entry", "read_entries", "read_images"]

Entry = dict[str, Any]
"""What the page's script reads of one image."""

TOLD_COLUMNS = frozenset(["model_name", *ACCOUNT_COLUMNS])
"""Columns that tell how an image came about; all others are the source's."""

SAFE_INTEGER = 2**53
"""Beyond it a browser's JSON reader rounds integers; seeds go there."""
LONGEST_TEXT = 2_000


def read_entries(rows: Iterable[Rows], side: int | None) -> Iterator[Entry]:
    """The entries of rows, in order.

    Args:
        rows: of the shards.
        side: longest side of the pictures, in pixels; ``None`` for the images themselves.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for some in rows:
            shape = _RowShape.of(some.batch.schema, some.shard.made_image)
            cells = some.batch.to_pylist()
            for entries in pool.map(shape.entries, repeat(some.shard), some.numbers, cells, repeat(side)):
                yield from entries


def read_images(rows: Iterable[Rows]) -> Iterator[bytes]:
    """The first encoded image of each row; rows without one are passed over."""
    for some in rows:
        column = _RowShape.of(some.batch.schema, some.shard.made_image).image
        for cell in some.batch.column(column).to_pylist() if column else []:
            first = _as_list(cell)[0]
            if first and first["bytes"]:
                yield first["bytes"]


@dataclass(frozen=True)
class _RowShape:
    """Which columns hold the prompt, the image and further images, and which came with the image."""

    prompt: str | None
    image: str | None
    further_images: tuple[str, ...]
    outputs: frozenset[str]
    """Columns after the image; where generations are grouped, they hold a list as the image does."""

    @classmethod
    def of(cls, schema: "pa.Schema", made_image: str | None) -> "_RowShape":
        import pyarrow.types as types

        images = [column.name for column in schema if _is_image(column.type)]
        texts = [column.name for column in schema if types.is_string(column.type) or types.is_large_string(column.type)]
        texts = [name for name in texts if name not in TOLD_COLUMNS]
        # Where no row tells: beside an image stands its mask; but in a dataset of ours what was made stands last.
        candidates = [made_image, *([] if "generation" in schema.names else ["image"]), *images[-1:]]
        image = next((name for name in candidates if name in images), None)
        prompt = "prompt" if "prompt" in texts else next(iter(texts), None)
        outputs = frozenset(schema.names[schema.names.index(image) + 1 :] if image else ())
        return cls(prompt, image, tuple(name for name in images if name != image), outputs)

    def entries(self, shard: Shard, number: int, row: Row, side: int | None) -> list[Entry]:
        """One entry for each image of a row: one, or several where generations are grouped."""
        cell = row.get(self.image) if self.image else None
        grouped, cells = isinstance(cell, list), _as_list(cell)
        shared = {
            "config": shard.config,
            "split": shard.split,
            "row": shard.first_row + number,
            "prompt": row[self.prompt] if self.prompt else None,
            "name": self.image,
            "further": [
                {"name": name, "picture": _picture(cell, side)}
                for name in self.further_images
                for cell in _as_list(row[name])
                if cell is not None
            ],
        }
        return [
            {
                **shared,
                "image": [index + 1, len(cells)] if len(cells) > 1 else None,
                "columns": self._columns(row, index if grouped else None),
                "model": _nth(row.get("model_name"), index),
                "status": _nth(row.get("status"), index) or shard.status,
                "error": _nth(row.get("error"), index),
                "generation": _facts(_nth(row.get("generation"), index)),
                "picture": _picture(cell, side),
            }
            for index, cell in enumerate(cells)
        ]

    def _columns(self, row: Row, index: int | None) -> Row:
        """The other columns; of a grouped row's outputs, what belongs to the image of this index."""
        told_elsewhere = {self.prompt, self.image, *self.further_images, *TOLD_COLUMNS}
        return {
            name: _plain(value if index is None or name not in self.outputs else _nth(value, index))
            for name, value in row.items()
            if name not in told_elsewhere
        }


def _is_image(kind: "pa.DataType") -> bool:
    import pyarrow.types as types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        kind = kind.value_type
    if not types.is_struct(kind) or {field.name for field in kind} != {"bytes", "path"}:
        return False
    # A source's own columns may use these names for a size and a place.
    return bool(types.is_binary(kind.field("bytes").type) or types.is_large_binary(kind.field("bytes").type))


def _as_list(cell: Any) -> list[Any]:
    return (cell or [None]) if isinstance(cell, list) else [cell]


def _nth(value: Any, index: int) -> Any:
    if isinstance(value, list):
        return value[index] if index < len(value) else None
    return value


def _facts(generation: Row | None) -> Row:
    return {name: _plain(value) for name, value in (generation or {}).items() if value is not None}


def _plain(value: Any) -> Any:
    """The value as JSON holds it and a browser reads it without loss; what is nested or long becomes text."""
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and abs(value) > SAFE_INTEGER:
        return str(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = json.dumps(value, default=str, ensure_ascii=False) if isinstance(value, (list, dict)) else str(value)
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "…"


def _picture(cell: Row | None, side: int | None) -> Row | None:
    """The picture of an image cell as a data URI with its sides in pixels, or why there is none."""
    if cell is None:
        return None
    if cell["bytes"] is None:
        return {"trouble": "the shard does not hold this image's bytes"}
    try:
        small = original(cell["bytes"]) if side is None else thumbnail_or_original(cell["bytes"], side)
    except UnidentifiedImageError:
        return {"trouble": "these bytes are not an image of any known format"}
    except DAMAGED as error:
        return {"trouble": f"this image cannot be read: {error}"}
    uri = f"data:{small.media_type};base64,{base64.b64encode(small.data).decode('ascii')}"
    return {"uri": uri, "width": small.width, "height": small.height, "original": small.is_original}
