"""Small dataset folders for the gallery's tests, written with pyarrow and drawn with Pillow."""

import hashlib
import io
import json
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

__all__ = ["GENERATION", "IMAGE", "data_of", "drawing", "row", "write_folder", "write_ledger", "write_shard"]

Row = dict[str, Any]

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
GENERATION = pa.struct(
    [
        ("seed", pa.int64()),
        ("fingerprint", pa.string()),
        ("image_sha256", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("format", pa.string()),
        ("options", pa.string()),
        ("seconds", pa.float64()),
        ("cost_usd", pa.float64()),
    ]
)
COLOURS = {"red": "#c8402f", "blue": "#2f62b8", "green": "#3f8a57", "amber": "#dc9a2c", "plum": "#76437f"}
SIZES = {"small": 0.2, "large": 0.4}


def drawing(colour: str, size: str, seed: int, sides: tuple[int, int] = (96, 96), kind: str = "PNG") -> bytes:
    """A disc of a colour on a shaded ground with grain, encoded; sides in pixels."""
    chance = random.Random(seed)
    width, height = sides
    shades = [_ramp(chance.randrange(120, 180), chance.randrange(190, 250)) for _ in "RGB"]
    ground = Image.merge("RGB", [Image.linear_gradient("L").resize(sides).point(shade) for shade in shades])
    radius = SIZES[size] * min(sides)
    x, y = (chance.uniform(radius, side - radius) for side in sides)
    ImageDraw.Draw(ground).ellipse((x - radius, y - radius, x + radius, y + radius), fill=COLOURS[colour])
    grain = Image.frombytes("L", sides, chance.randbytes(width * height)).point(lambda value: value // 12)
    buffer = io.BytesIO()
    Image.composite(Image.new("RGB", sides, "black"), ground, grain).save(buffer, kind)
    return buffer.getvalue()


def _ramp(low: int, high: int) -> list[int]:
    return [low + (high - low) * value // 255 for value in range(256)]


def row(number: int, sides: tuple[int, int] = (96, 96), kind: str = "PNG", **changed: Any) -> Row:
    """An `ok` row as a build writes it, with the label columns `size` and `colour`; some values may be changed."""
    colour, size = list(COLOURS)[number % 5], list(SIZES)[number % 2]
    data = drawing(colour, size, number, sides, kind)
    generation = {
        "seed": 2**62 + number,
        "fingerprint": hashlib.sha256(b"%d" % number).hexdigest(),
        "image_sha256": hashlib.sha256(data).hexdigest(),
        "width": sides[0],
        "height": sides[1],
        "format": kind.lower(),
        "options": '{"guidance_scale":3.5,"num_inference_steps":28}',
        "seconds": 1.25,
        "cost_usd": 0.003,
    }
    made: Row = {
        "prompt": f"a {size} {colour} disc, number {number}",
        "size": size,
        "colour": colour,
        "image": {"bytes": data, "path": f"{generation['fingerprint']}.{kind.lower()}"},
        "model_name": "studio/painter-1",
        "status": "ok",
        "error": None,
        "generation": generation,
    }
    return {**made, **changed}


def write_shard(path: Path, rows: Sequence[Mapping[str, Any]], **types: pa.DataType) -> Path:
    """Write rows as one Parquet file; further columns, or others for the known ones, by their types."""
    known = {
        **dict.fromkeys(("prompt", "size", "colour"), pa.string()),
        "image": IMAGE,
        **dict.fromkeys(("model_name", "status", "error"), pa.string()),
        "generation": GENERATION,
        **types,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {name: pa.array([each.get(name) for each in rows], kind) for name, kind in known.items()}
    pq.write_table(pa.table(columns), path, row_group_size=100, compression="none")
    return path


def write_ledger(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write a ledger with one generation for each row of the source, as far as the gallery reads it."""
    fingerprints = [(each["generation"] or {}).get("fingerprint") for each in rows]
    ledger = {"row": range(len(rows)), "generation": [0] * len(rows), "fingerprint": fingerprints}
    pq.write_table(pa.table({name: list(values) for name, values in ledger.items()}), path)
    return path


def write_folder(folder: Path) -> Path:
    """20 train rows in two shards and 4 test rows, all with a score, 1 rejected, 1 refused and 1 failed; a ledger.

    The rejected one looks like the first test row, which was row 3 of the source: the source began with the tests.
    """
    scored = [row(number, score=number * 7 % 24 / 24) for number in range(24)]
    parts = {
        "train-00000-of-00002": scored[:12],
        "train-00001-of-00002": scored[12:20],
        "test-00000-of-00001": scored[20:],
    }
    for name, rows in parts.items():
        write_shard(folder / f"data/{name}.parquet", rows, score=pa.float64())
    rejected = row(24, status="rejected", error="near_duplicates: it looks like row 3, generation 0.")
    write_shard(folder / "rejected/train-00000-of-00001.parquet", [rejected])
    nothing = {"image": None, "generation": None}
    failed = [
        row(25, status="refused", error="moderation said no", **nothing),
        row(26, status="failed", error="three timeouts of 30 s", **nothing),
    ]
    write_shard(folder / "failed/train-00000-of-00001.parquet", failed)
    write_ledger(folder / "ledger.parquet", [row(number) for number in (23, 22, 21, 20, *range(20), 24)])
    return folder


def data_of(page: Path) -> dict[str, Any]:
    """What the page's data element holds, read as a browser reads it: up to the first end tag."""
    found = re.search(
        r'<script id="data" type="application/json">(.*?)</script', page.read_text(encoding="utf-8"), re.S
    )
    assert found
    loaded: dict[str, Any] = json.loads(found[1])
    return loaded
