"""How a Distiset shows itself: as text in the form of distilabel, and in a notebook."""

import base64
import io
import random
import re
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict, Features, Image, Value
from PIL import Image as Pillow

from tasks_lib import Distiset, ImageStore, image_to_str
from tests.distisets import built, made_by_hand, png


def pictures(distiset: Distiset) -> list[Pillow.Image]:
    """The images of the strip, decoded."""
    found = re.findall(r'<img src="data:image/\w+;base64,([^"]+)"', distiset._repr_html_())
    return [Pillow.open(io.BytesIO(base64.b64decode(each))) for each in found]


def test_its_text_is_that_of_distilabel() -> None:
    """The text names every config with its splits, columns and rows, indented as distilabel's."""
    rows = Dataset.from_dict({"n": [1, 2]})
    expected = [
        "Distiset({",
        "    default: DatasetDict({",
        "        train: Dataset({",
        "            features: ['n'],",
        "            num_rows: 2",
        "        })",
        "    })",
        "    failed: Dataset({",
        "        features: ['n'],",
        "        num_rows: 2",
        "    })",
        "})",
    ]
    assert repr(Distiset(default=DatasetDict(train=rows), failed=rows)).splitlines() == expected


def test_it_is_a_table_and_a_strip() -> None:
    """In a notebook it is a table of configs, splits and rows with eight of its images, names escaped."""
    rows = Dataset.from_dict({"image": [image_to_str(png())] * 20})
    distiset = Distiset({"<b>": DatasetDict(train=rows)}).transform_columns_to_image("image")
    assert "<td>&lt;b&gt;</td><td>train</td><td>20</td>" in distiset._repr_html_()
    assert [each.size for each in pictures(distiset)] == [(8, 6)] * 8


def test_huge_images_are_shown_small() -> None:
    """Eight images of 3 MB each make a page of less than 200 KB."""
    buffer = io.BytesIO()
    Pillow.frombytes("RGB", (1000, 1000), random.Random(1).randbytes(3_000_000)).save(buffer, "PNG")
    rows = Dataset.from_dict({"image": [buffer.getvalue()] * 8}).cast_column("image", Image())
    distiset = Distiset(default=rows)
    assert [max(each.size) for each in pictures(distiset)] == [192] * 8
    assert len(distiset._repr_html_()) < 200_000


def test_images_of_all_configs_are_looked_for(tmp_path: Path) -> None:
    """Configs and splits without an image, or with ``None``, show nothing, and those after them do."""
    distiset = made_by_hand(ImageStore(tmp_path / "store"))
    nothing = Dataset.from_dict({"image": [None]}, features=Features({"image": Image()}))
    mixed = Distiset(nothing=nothing, text=Dataset.from_dict({"n": [1]}), **distiset)
    assert len(pictures(mixed)) == 4
    assert mixed._repr_html_().count("<tr>") == 1 + 2 + 3


def test_lists_of_images_are_shown(tmp_path: Path) -> None:
    """A column of lists shows the images in its lists."""
    distiset = made_by_hand(ImageStore(tmp_path / "store"))
    lists = Distiset(default=distiset["default"]["test"].select_columns("many"))
    assert len(pictures(lists)) == 6


@pytest.mark.parametrize("what", ["gone", "damaged"])
def test_images_that_cannot_be_shown_are_left_out(tmp_path: Path, what: str) -> None:
    """An image that is gone or damaged is left out, and the others are shown."""
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    paths[0].write_bytes(png()[:40])
    if what == "gone":
        paths[0].unlink()
    paths[1].write_bytes(png())
    cells = [{"bytes": None, "path": str(path)} for path in paths]
    rows = Dataset.from_dict({"image": cells}, features=Features({"image": Image()}))
    assert len(pictures(Distiset(default=rows))) == 1


def test_made_images_are_shown_rather_than_sources(tmp_path: Path) -> None:
    """Of several image columns, the one that the build made is shown."""
    distiset = built(tmp_path)
    rows = distiset["default"]["train"]
    source = Dataset.from_dict({"source": [png()] * len(rows)}).cast_column("source", Image())
    columns = {"source": source["source"], "image": rows["image"]}
    both = Dataset.from_dict(columns, features=Features({"source": Image(), "image": Image()}))
    distiset["default"] = DatasetDict(train=both)
    assert {each.size for each in pictures(distiset)} == {(32, 32)}


def test_without_images_it_is_a_table() -> None:
    """A Distiset without an image column, or without anything, is a table."""
    assert Distiset(default=Dataset.from_dict({"n": [1]}))._repr_html_().endswith("</table>")
    assert Distiset()._repr_html_().endswith("</table>")
    empty = Dataset.from_dict({"n": [], "image": []}, features=Features({"n": Value("int64"), "image": Image()}))
    assert "<img" not in Distiset(default=empty)._repr_html_()
