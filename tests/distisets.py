"""Distisets for tests: made by hand over a store, and built."""

import io
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict, Features, Image, Value
from datasets import List as ListOf
from PIL import Image as Pillow

from tasks_lib import Distiset, ImageStore
from tests.built_folders import build_recipe
from tests.recipes import drawn_by

__all__ = ["built", "image_bytes", "made_by_hand", "png", "rows_of"]

COLOURS = ("red", "lime", "blue", "white", "black")


def png(colour: str = "red") -> bytes:
    """An image of one colour."""
    buffer = io.BytesIO()
    Pillow.new("RGB", (8, 6), colour).save(buffer, "PNG")
    return buffer.getvalue()


def made_by_hand(store: ImageStore) -> Distiset:
    """Two splits, a plain dataset without an image, and lists of images; image cells lie in the store."""
    references = [store.put_file(png(colour), "png") for colour in COLOURS]
    rows = Dataset.from_dict(
        {
            "n": list(range(5)),
            "image": [*references[:4], None],
            "many": [references[:2], [], None, [None, references[4]], references],
        }
    )
    failed = Features({"n": Value("int64"), "image": Value("string"), "many": ListOf(Value("string"))})
    distiset = Distiset(
        default=DatasetDict(train=rows.select(range(3)), test=rows.select([4, 3])),
        failed=Dataset.from_dict({"n": [5], "image": [None], "many": [None]}, features=failed),
    )
    distiset.citations = ["@misc{shapes, title={Shapes}}"]
    return distiset.transform_columns_to_image(["image", "many"])


def built(folder: Path, **settings: Any) -> Distiset:
    """What a build gives, its dataset in ``folder/dataset`` and its store beside it; without an orchestrator."""
    here = {"store": str(folder / "store"), "output": {"path": str(folder / "dataset")}}
    prompts = [f"a red circle {number}" for number in range(4)]
    recipe = {**drawn_by({"type": "procedural", "width": 32, "height": 32}, prompts), **here, **settings}
    return build_recipe(recipe)


def rows_of(dataset: Dataset) -> list[dict[str, Any]]:
    """Every row, with encoded bytes in place of images."""
    undecoded = {"image": Image(decode=False), "many": ListOf(Image(decode=False))}
    features = Features({**dataset.features, **{k: v for k, v in undecoded.items() if k in dataset.features}})
    return [{name: image_bytes(value) for name, value in row.items()} for row in dataset.cast(features)]


def image_bytes(value: Any) -> Any:
    """The bytes of an undecoded image, or of each of a list; anything else as it is."""
    if isinstance(value, list):
        return [image_bytes(each) for each in value]
    if isinstance(value, dict) and set(value) == {"bytes", "path"}:
        return value["bytes"] if value["bytes"] is not None else value["path"] and Path(value["path"]).read_bytes()
    return value
