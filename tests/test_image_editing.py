"""Image editing: rows with an image and a prompt become rows with both images."""

import io
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, Features, Value, load_dataset
from datasets import Image as ImageFeature
from PIL import Image

from tasks_lib import ImageEditing, ImageStore, ProceduralImageGeneration, image_from_str, image_to_str
from tasks_lib.errors import RecipeError, SourceError
from tasks_lib.recipe import load_recipe
from tests.endpoint import Endpoint
from tests.recipes import Build, drawn_by, recipe_for

PROCEDURAL = {"type": "procedural"}
EDIT = {"type": "image_editing"}


def picture(colour: str, side: int = 64) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()


def editing(**settings: Any) -> ImageEditing:
    task = ImageEditing(image_generation_model=ProceduralImageGeneration(), **settings)
    task.load()
    return task


@pytest.mark.parametrize("kind", ["bytes", "base64", "path", "cell", "pil", "list"])
def test_a_source_may_be_any_image_cell(tmp_path: Path, kind: str) -> None:
    """Bytes, base64, a path, a datasets cell, a PIL image or a list of one give the same edit."""
    data = picture("white")
    path = tmp_path / "source.png"
    path.write_bytes(data)
    cells = {
        "bytes": data,
        "base64": image_to_str(data),
        "path": str(path),
        "cell": {"bytes": None, "path": str(path)},
        "pil": Image.open(io.BytesIO(data)),
        "list": [data],
    }
    task = editing()
    (row,) = next(task.process([{"image": cells[kind], "prompt": "a red circle"}]))
    (expected,) = next(editing().process([{"image": data, "prompt": "a red circle"}]))
    assert row["edited_image"] == expected["edited_image"]
    assert image_from_str(row["edited_image"]).size == (64, 64)


def test_rows_without_a_usable_image_keep_their_place(build_dataset: Build, endpoint: Endpoint) -> None:
    """A missing, broken or unreadable source is a failed row with its reason; nothing is asked for it."""
    rows: list[dict[str, Any]] = [
        {"image": picture("white"), "prompt": "make it night"},
        {"image": None, "prompt": "make it day"},
        {"image": b"no image at all", "prompt": "make it dusk"},
        {"image": picture("black"), "prompt": " "},
    ]
    Dataset.from_list(
        [{**row, "image": {"bytes": row["image"], "path": None} if row["image"] else None} for row in rows],
        features=Features({"image": {"bytes": Value("binary"), "path": Value("string")}, "prompt": Value("string")}),
    ).to_parquet("rows.parquet")
    recipe = recipe_for(endpoint, {"path": "rows.parquet"}, task=EDIT, limits={"max_failure_rate": 1.0})
    distiset = build_dataset(recipe)
    assert distiset["default"]["train"]["prompt"] == ["make it night"]
    failed = distiset["failed"]["train"]
    assert failed["prompt"] == ["make it day", "make it dusk", " "]
    reasons = ["the row has no source image. So nothing was asked.", "source image cannot be used", "prompt is empty"]
    assert all(reason in found for reason, found in zip(reasons, failed["error"], strict=True))
    assert len(endpoint.calls) == 1


def test_the_source_is_part_of_the_request(build_dataset: Build, endpoint: Endpoint) -> None:
    """The endpoint gets the source's bytes; a rerun asks nothing, and another source is another image."""

    def recipe(colour: str) -> dict[str, Any]:
        Dataset.from_dict(
            {"image": [{"bytes": picture(colour), "path": None}], "prompt": ["make it night"]},
            features=Features({"image": ImageFeature(), "prompt": Value("string")}),
        ).to_parquet("source/train.parquet")
        return recipe_for(endpoint, {"dataset": "source"}, task=EDIT)

    Path("source").mkdir()
    for colour in ("white", "white", "black"):
        build_dataset(recipe(colour))
    assert [call.asked.source for call in endpoint.calls] == [image_to_str(picture(c)) for c in ("white", "black")]
    row = load_dataset("dataset", split="train")[0]
    assert row["image"].getpixel((0, 0)) == (0, 0, 0)
    assert row["edited_image"].size[0] > 0
    assert len(ImageStore("store").verify()) == 0


def test_a_recipe_edits_the_dataset_of_another(build_dataset: Build) -> None:
    """``recolour-shapes`` edits what ``colour-shapes`` built: both images in each row, the sources unchanged."""
    root = Path(__file__).parents[1] / "deployments/recipes"
    small = {"store": "./store", "prompts.limit": 6}
    build_dataset(load_recipe(root / "colour-shapes.yaml", small).model_dump(mode="json"))
    edited = build_dataset(load_recipe(root / "recolour-shapes.yaml").model_dump(mode="json"))
    sources = load_dataset("datasets/colour-shapes", split="train")
    rows = load_dataset("datasets/recolour-shapes", split="train")
    assert len(rows) == len(sources) == len(edited["default"]["train"])
    untouched = sources.cast_column("image", ImageFeature(decode=False))["image"]
    assert [each["bytes"] for each in rows.cast_column("image", ImageFeature(decode=False))["image"]] == [
        each["bytes"] for each in untouched
    ]
    assert "image-to-image" in Path("datasets/recolour-shapes/README.md").read_text()
    for row, source in zip(rows, sources, strict=True):
        assert row["image"].tobytes() == source["image"].tobytes() != row["edited_image"].tobytes()
        assert row["shape"] == source["shape"]


def test_a_folder_of_images_is_a_source(build_dataset: Build) -> None:
    """An ``imagefolder`` with one instruction for all needs no prompt column."""
    for label in ("cats", "dogs"):
        Path("photos", label).mkdir(parents=True)
        Path("photos", label, "one.png").write_bytes(picture("white"))
    task = {**EDIT, "instruction": "a red circle"}
    distiset = build_dataset(drawn_by(PROCEDURAL, {"dataset": "photos"}, task=task))
    rows = distiset["default"]["train"]
    assert sorted(rows.column_names)[:3] == ["edited_image", "error", "generation"]
    assert len(rows) == 2
    assert rows[0]["image"].size == rows[0]["edited_image"].size


def test_the_instruction_takes_columns() -> None:
    """Names in braces are the row's columns, and one that is missing is named with those there are."""
    row = {"image": picture("white"), "colour": "red"}
    assert editing(instruction="a {colour} star").format_input(row)["prompt"] == "a red star"
    with pytest.raises(SourceError, match="'size' is no column; found 'image', 'colour'"):
        editing(instruction="a {size} star").format_input(row)


def test_a_model_that_cannot_edit_is_named_when_the_recipe_is_read(endpoint: Endpoint) -> None:
    """A model for text only is refused before anything is asked, by the recipe."""
    model = {"type": "inference_endpoints", "model_id": "a/b", "provider": "nscale"}
    with pytest.raises(RecipeError, match="'a/b' makes images from text only; name one that edits images"):
        load_recipe(drawn_by(model, ["x"], task=EDIT))
