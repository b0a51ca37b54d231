"""The gallery: one self-contained page that shows what a dataset folder holds."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from tasks_lib.errors import UsageError
from tasks_lib.gallery.choices import find_facets, find_orders
from tasks_lib.gallery.entries import Entry, read_entries, read_images
from tasks_lib.gallery.shards import Rows, Shard, evenly_spread, find_shards, wanted_rows
from tasks_lib.gallery.twins import read_twins, with_twins
from tasks_lib.image_verification import DAMAGED
from tasks_lib.thumbnails import thumbnail

__all__ = ["write_gallery", "write_samples"]

THUMBNAIL_SIDE = 224
PICTURE_SIDES = (None, 512, 384, THUMBNAIL_SIDE)
"""Tried in this order, so that a small dataset is shown large: the images themselves, then longest sides in pixels."""
SAMPLES = 6
PROBED_ROWS = 32
SCRIPTS = ("gallery.js", "gallery_order.js", "gallery_keys.js", "gallery_detail.js", "gallery_start.js")


def write_gallery(
    folder: Path, *, title: str | None = None, max_bytes: int = 20_000_000, max_rows: int = 20_000
) -> Path:
    """Write ``gallery.html`` into a dataset folder; the same folder gives the same bytes.

    Each image is there once, as large as ``max_bytes`` allows: as it is, or in 512 pixels, 384, or 224. If even
    those are too many, the page shows rows sampled evenly and says so; a near duplicate brings the image that it looks
    like.

    Args:
        folder: a dataset folder.
        title: heading of the page; the folder's name by default.
        max_bytes: the page has at most so many bytes.
        max_rows: the page shows at most so many rows.

    Returns:
        The path of the page.

    Raises:
        UsageError: there is no such folder, or not even an empty page fits ``max_bytes``.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder} to make a gallery of. Give the folder of a dataset.")
    shards = find_shards(folder)
    page = _Page(title or folder.resolve().name, sum(shard.rows for shard in shards), max_bytes)
    html = _fitting_page(page, folder, shards, max_rows)
    unfinished = folder / ".gallery.html.part"
    unfinished.write_bytes(html)
    return unfinished.replace(folder / "gallery.html")


def write_samples(folder: Path) -> list[str]:
    """Write a few thumbnails (WebP) for the card, of images spread evenly over the default config.

    Args:
        folder: a dataset folder.

    Returns:
        Their paths in the folder; fewer where fewer images can be shown.
    """
    names: list[str] = []
    for number, data in enumerate(_thumbnails(folder)):
        names.append(f"samples/{number}.webp")
        (folder / "samples").mkdir(exist_ok=True)
        (folder / names[-1]).write_bytes(data)
    return names


def _thumbnails(folder: Path) -> Iterator[bytes]:
    shards = [shard for shard in find_shards(folder) if shard.config == "default"]
    positions = evenly_spread(sum(shard.rows for shard in shards), SAMPLES)
    for data in read_images(wanted_rows(shards, positions)):
        try:
            yield thumbnail(data, THUMBNAIL_SIDE).data
        except DAMAGED:
            continue


@dataclass(frozen=True)
class _Page:
    """The page but for its entries; ``rows`` is how many the dataset has."""

    title: str
    rows: int
    max_bytes: int

    def holding(self, entries: Sequence[Entry], twins: Mapping[str, Entry]) -> bytes:
        """The page with these entries, encoded, and with those of their twins that are not among them."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        environment = Environment(loader=PackageLoader("tasks_lib"), autoescape=True, undefined=StrictUndefined)
        style, script = _template("gallery.css"), "".join(_template(name) for name in SCRIPTS)
        html = environment.get_template("gallery.html.jinja").render(
            title=self.title,
            rows=self.rows,
            shown=len({(entry["config"], entry["split"], entry["row"]) for entry in entries}),
            pictures=any("uri" in (entry["picture"] or {}) for entry in entries),
            models=sorted({entry["model"] for entry in entries if entry["model"]}),
            style=style,
            style_hash=_content_security_hash(style),
            script=script,
            script_hash=_content_security_hash(script),
            data=_json(_data(entries, twins)),
        )
        return html.encode()


def _fitting_page(page: _Page, folder: Path, shards: Sequence[Shard], max_rows: int) -> bytes:
    """All rows with pictures as large as fits, or else as many rows as fit with the smallest pictures."""
    probe = list(wanted_rows(shards, evenly_spread(page.rows, PROBED_ROWS)))
    wanted = min(page.rows, max_rows)
    for side in PICTURE_SIDES:
        affordable = min(wanted, _affordable_rows(page, probe, side))
        if affordable == wanted or side == THUMBNAIL_SIDE:
            rows = wanted_rows(shards, evenly_spread(page.rows, affordable))
            entries = with_twins(list(read_entries(rows, side)), folder)
            twins = read_twins(entries, shards, side)
            html = page.holding(entries, twins)
            if len(html) <= page.max_bytes:
                return html
    return _thinned(page, entries, twins)


def _affordable_rows(page: _Page, probe: Sequence[Rows], side: int | None) -> int:
    """How many rows fit the page, estimated from some of them."""
    room = max(0, page.max_bytes - len(page.holding([], {})))
    taken = len(_json([*read_entries(probe, side)]))
    return room * sum(len(some.numbers) for some in probe) // taken


def _thinned(page: _Page, entries: Sequence[Entry], twins: Mapping[str, Entry]) -> bytes:
    """The page with an even sample of the entries that fits."""
    least = len(page.holding([], {}))
    if least > page.max_bytes:
        raise UsageError(
            f"max_bytes is {page.max_bytes:,}, and a gallery without images takes {least:,} already. Raise max_bytes."
        )
    count = len(entries)
    while len(html := page.holding(_sample(entries, count), twins)) > page.max_bytes:
        count = count * 49 // 50
    return html


def _sample(entries: Sequence[Entry], count: int) -> list[Entry]:
    return [entries[index] for index in evenly_spread(len(entries), count)]


def _data(entries: Sequence[Entry], twins: Mapping[str, Entry]) -> dict[str, Any]:
    """What the page's script reads."""
    shown = {entry["generation"].get("fingerprint") for entry in entries if entry["config"] == "default"}
    absent = {entry["twin"]["fingerprint"] for entry in entries if entry["twin"]} - shown
    return {
        "facets": find_facets(entries),
        "orders": find_orders(entries),
        "entries": entries,
        "twins": {fingerprint: twin for fingerprint, twin in twins.items() if fingerprint in absent},
    }


def _json(value: object) -> str:
    """JSON that cannot end the script element around it, whatever prompts hold."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _template(name: str) -> str:
    return files("tasks_lib").joinpath("templates", name).read_text(encoding="utf-8")


def _content_security_hash(text: str) -> str:
    """The source expression that allows exactly this inline text (Content Security Policy Level 3, section 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
