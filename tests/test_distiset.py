"""The Distiset: columns become images, without a pixel touched."""

import base64
import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict, Image
from datasets import List as ListOf
from PIL import Image as Pillow

from tasks_lib import Distiset, ImageStore, image_to_str
from tasks_lib.errors import ImageCellError
from tasks_lib.report import BuildReport
from tests.distisets import png


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Pillow.linear_gradient("L").save(buffer, "JPEG")
    return buffer.getvalue()


def cells(tmp_path: Path) -> dict[str, Any]:
    """One image in every way a cell may hold it."""
    (tmp_path / "image.png").write_bytes(png())
    encoded = base64.b64encode(png()).decode()
    return {
        "base64": encoded,
        "data URI": f"data:image/png;base64,{encoded}",
        "bytes": png(),
        "path": str(tmp_path / "image.png"),
        "URL": (tmp_path / "image.png").as_uri(),
        "reference": ImageStore(tmp_path / "store").put_file(png(), "png"),
    }


@pytest.mark.parametrize("kind", ["base64", "data URI", "bytes", "path", "URL", "reference"])
def test_cells_of_every_kind_become_images(tmp_path: Path, kind: str) -> None:
    """Base64, data URIs, bytes, paths, URLs and store references become images, None stays None, order is kept."""
    values = [None, cells(tmp_path)[kind], None]
    distiset = Distiset(default=Dataset.from_dict({"n": [1, 2, 3], "picture": values}))
    assert distiset.transform_columns_to_image("picture") is distiset
    rows = distiset["default"]
    assert isinstance(rows.features["picture"], Image)
    assert [row["picture"] and row["picture"].getpixel((0, 0)) for row in rows] == [None, (255, 0, 0), None]
    assert rows["n"] == [1, 2, 3]


def test_bytes_are_kept_as_they_are() -> None:
    """An image's encoded bytes come out of the column exactly as they went in."""
    distiset = Distiset(default=Dataset.from_dict({"image": [image_to_str(jpeg()), image_to_str(png())]}))
    column = distiset.transform_columns_to_image(["image"])["default"].cast_column("image", Image(decode=False))
    assert [cell["bytes"] for cell in column["image"]] == [jpeg(), png()]


def test_configs_and_splits_are_all_transformed() -> None:
    """Plain and split datasets of several configs are transformed, and only where the column is."""
    rows = Dataset.from_dict({"image": [image_to_str(png())]})
    distiset = Distiset(a=DatasetDict(train=rows, test=rows), b=rows, c=Dataset.from_dict({"text": ["x"]}))
    distiset.transform_columns_to_image("image")
    assert isinstance(distiset["a"]["test"].features["image"], Image)
    assert isinstance(distiset["b"].features["image"], Image)
    assert distiset["c"].column_names == ["text"]


def test_lists_of_images_are_transformed() -> None:
    """A column of lists becomes a column of lists of images."""
    distiset = Distiset(default=Dataset.from_dict({"image": [[image_to_str(png()), None], [], None]}))
    rows = distiset.transform_columns_to_image("image")["default"]
    assert isinstance(rows.features["image"], ListOf)
    assert [image and image.size for image in rows[0]["image"]] == [(8, 6), None]
    assert not rows[1]["image"]


def test_transforming_twice_is_transforming_once() -> None:
    """A column that already holds images is left alone."""
    distiset = Distiset(default=Dataset.from_dict({"image": [image_to_str(png())]})).transform_columns_to_image("image")
    assert distiset.transform_columns_to_image("image")["default"][0]["image"].size == (8, 6)


def test_a_selection_is_transformed_as_it_stands() -> None:
    """A shuffled or filtered dataset keeps its selection."""
    rows = Dataset.from_dict({"n": [0, 1, 2], "image": [image_to_str(png(c)) for c in ("red", "lime", "blue")]})
    picked = Distiset(default=rows.select([2, 0])).transform_columns_to_image("image")["default"]
    assert [row["image"].getpixel((0, 0)) for row in picked] == [(0, 0, 255), (255, 0, 0)]
    assert picked["n"] == [2, 0]


def test_a_missing_column_is_named() -> None:
    """A column that no config has is named, with those that are there, and nothing is changed."""
    distiset = Distiset(default=Dataset.from_dict({"image": [image_to_str(png())]}))
    with pytest.raises(ImageCellError, match=r"no config has the column 'picture'; found 'image'"):
        distiset.transform_columns_to_image(["image", "picture"])
    assert distiset["default"].features["image"].dtype == "string"


def test_other_columns_and_facts_survive() -> None:
    """Metadata columns, the split's name and what is known about a dataset survive the transformation."""
    metadata = [{"raw_output_image_0": {"images": ["abc"]}, "raw_input_image_0": [{"role": "user"}]}, None]
    columns = {"image": [image_to_str(png()), None], "distilabel_metadata": metadata}
    rows = Dataset.from_dict(columns, split="train")
    rows.info.description = "told"
    found = Distiset(default=rows).transform_columns_to_image("image")["default"]
    assert found["distilabel_metadata"][:] == rows["distilabel_metadata"][:]
    assert (found.info.description, str(found.split)) == ("told", "train")
    assert isinstance(found.info.features["image"], Image)


def test_a_split_without_any_image_is_transformed() -> None:
    """A split whose cells are all ``None``, or that has no row, gets the same column as the others."""
    rows = Dataset.from_dict({"image": [image_to_str(png())]})
    nothing = Dataset.from_dict({"image": [None, None]}, features=rows.features)
    splits = DatasetDict(train=rows, failed=nothing, empty=nothing.select([]))
    default = Distiset(default=splits).transform_columns_to_image("image")["default"]
    assert default["train"].features == default["failed"].features == default["empty"].features
    assert default["failed"]["image"][:] == [None, None]


@pytest.mark.parametrize("kind", ["copy.copy", "copy.deepcopy", "Distiset.copy", "pickle"])
def test_copies_keep_everything(kind: str) -> None:
    """Copies and pickles are Distisets with the same rows, report and citations."""
    report = BuildReport("name", "folder", 1, 1, {"ok": 1}, 0, 1, None, None, 1.5, {"default": {"train": 1}})
    distiset = Distiset(default=Dataset.from_dict({"n": [1]}))
    distiset.report, distiset.citations = report, ["@misc{a}"]
    ways: dict[str, Callable[[Distiset], Distiset]] = {
        "copy.copy": copy.copy,
        "copy.deepcopy": copy.deepcopy,
        "Distiset.copy": Distiset.copy,
        "pickle": lambda each: pickle.loads(pickle.dumps(each)),
    }
    other = ways[kind](distiset)
    assert isinstance(other, Distiset) and other is not distiset
    assert (other["default"]["n"][:], other.report, other.citations) == ([1], report, ["@misc{a}"])
    other.citations.append("@misc{b}")
    assert distiset.citations == ["@misc{a}"]


def test_without_a_build_there_is_nothing_to_tell() -> None:
    """A Distiset made by hand has no report and no citations."""
    assert (Distiset().report, Distiset().citations) == (None, [])


@pytest.mark.parametrize("side", [1, 20, 30, 40])
def test_base64_as_long_as_a_file_name_is_no_path(side: int) -> None:
    """Text too long for a file name and too short for a large image is base64 all the same."""
    buffer = io.BytesIO()
    Pillow.effect_noise((side, side), 90).save(buffer, "PNG")
    distiset = Distiset(default=Dataset.from_dict({"image": [image_to_str(buffer.getvalue())]}))
    assert distiset.transform_columns_to_image("image")["default"][0]["image"].size == (side, side)


def test_a_slice_of_lists_is_transformed() -> None:
    """Lists of images in a part of a dataset are transformed as in the whole."""
    rows = Dataset.from_dict({"image": [[image_to_str(png("red"))], [image_to_str(png("blue"))] * 2]})
    part = Distiset(default=rows.select(range(1, 2))).transform_columns_to_image("image")["default"]
    assert [image.getpixel((0, 0)) for image in part[0]["image"]] == [(0, 0, 255)] * 2
