"""Dataset folders for tests of what reads them: built for real, or written with pyarrow where a build never would."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datasets import Features
from PIL import Image

from tasks_lib import Distiset
from tasks_lib.batches import process_batch
from tasks_lib.build import Build
from tasks_lib.recipe import load_recipe
from tests.recipes import drawn_by

__all__ = ["build_folder", "build_recipe", "picture", "read_rows", "shards", "write_dataset"]

Row = dict[str, Any]


def build_recipe(recipe: Mapping[str, Any]) -> Distiset:
    """Build a recipe without an orchestrator."""
    build = Build(load_recipe(recipe))
    try:
        for batch in build.batches():
            build.add(process_batch(build.task, batch, build.recipe.checks))
        return build.finish()
    finally:
        build.close()


def build_folder(folder: Path, prompts: Any, splits: Mapping[str, float]) -> Path:
    """Build ``folder/dataset`` with the procedural model, without an orchestrator."""
    settings = {
        "store": str(folder / "store"),
        "output": {"path": str(folder / "dataset"), "splits": splits},
        "limits": {"max_failure_rate": 1.0},
    }
    build_recipe({**drawn_by({"type": "procedural", "width": 32, "height": 32}, prompts), **settings})
    return folder / "dataset"


def write_dataset(folder: Path, features: Features, *shards: Sequence[Row], split: str = "train") -> Path:
    """Write a dataset folder of one split with just these rows."""
    from datasets import Dataset

    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text("")
    for number, rows in enumerate(shards):
        path = folder / "data" / f"{split}-{number:05d}-of-{len(shards):05d}.parquet"
        table = Dataset.from_list(list(rows), features=features).data.table
        pq.write_table(table.cast(features.arrow_schema), path)
    return folder


def read_rows(folder: Path, split: str = "train", config: str = "data") -> list[Row]:
    """The rows of a split by pyarrow alone, with bytes in place of an image."""
    return [
        {name: _encoded(value) for name, value in row.items()}
        for path in sorted((folder / config).glob(f"{split}-*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]


def shards(folder: str | Path = "dataset") -> dict[str, str]:
    """The digests of a dataset's shards, by their paths in its folder."""
    paths = sorted(Path(folder).rglob("*-of-*.parquet"))
    assert paths, f"no shards in {folder}"
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _encoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_encoded(each) for each in value]
    return value["bytes"] if isinstance(value, dict) and set(value) == {"bytes", "path"} else value


def picture(colour: str, kind: str = "PNG") -> bytes:
    """A small image of one colour, encoded."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, kind)
    return buffer.getvalue()
