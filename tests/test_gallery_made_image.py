"""Which image of a row leads in gallery and card: the one that was made, not the source that it was made of."""

import io
from pathlib import Path
from typing import Any

import pytest
from datasets import Features
from datasets import Image as ImageFeature
from PIL import Image

from tasks_lib.gallery import write_gallery
from tests.built_folders import build_recipe, picture, write_dataset
from tests.gallery_dataset import data_of
from tests.recipes import drawn_by


@pytest.mark.usefixtures("in_folder")
@pytest.mark.parametrize("settings", [{}, {"num_generations": 2, "group_generations": True}])
def test_the_image_that_was_made_leads(settings: dict[str, Any]) -> None:
    """An edit leads its entry and is the card's sample, whatever its column is called; the source stands beside it."""
    columns = Features({"image": ImageFeature()})
    sources = [{"image": {"bytes": picture("white"), "path": None}}, {"image": None}]
    write_dataset(Path("source"), columns, sources)
    task = {"type": "image_editing", "instruction": "black", "output_mappings": {"edited_image": "after"}, **settings}
    recipe = drawn_by({"type": "tests.custom_tasks:DarkRoom"}, {"dataset": "source"}, task=task)
    build_recipe({**recipe, "limits": {"max_failure_rate": 1.0}})
    sample = io.BytesIO(Path("dataset/samples/0.webp").read_bytes())
    assert Image.open(sample).convert("L").getextrema()[1] < 8
    entries = data_of(Path("dataset/gallery.html"))["entries"]
    assert {(entry["status"], entry["name"], entry["picture"] is None) for entry in entries} == {
        ("ok", "after", False),
        ("failed", "after", True),
    }
    assert [each["name"] for each in entries[0]["further"]] == ["image"]


@pytest.mark.parametrize(("columns", "main"), [(["image", "mask"], "image"), (["photo", "drawing"], "drawing")])
def test_images_of_other_datasets(tmp_path: Path, columns: list[str], main: str) -> None:
    """Of a dataset that was not built here the column ``image`` leads, or else the last one that holds images."""
    cells = {name: {"bytes": picture("red"), "path": None} for name in columns}
    write_dataset(tmp_path, Features(dict.fromkeys(columns, ImageFeature())), [cells])
    (entry,) = data_of(write_gallery(tmp_path))["entries"]
    assert entry["name"] == main
