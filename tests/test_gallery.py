"""The gallery: what stands in the page and how large it may be."""

import base64
import io
import json
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks_lib.errors import UsageError
from tasks_lib.gallery import write_gallery, write_samples
from tasks_lib.gallery.shards import evenly_spread
from tests.gallery_dataset import GENERATION, IMAGE, data_of, drawing, row, write_folder, write_shard

GOLDEN = Path(__file__).with_name("golden") / "gallery.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with rows of every kind."""
    return write_folder(tmp_path)


def test_every_row_is_in_the_page_with_its_facts(folder: Path) -> None:
    """The page's data holds every row of every config in order, with prompt, labels, generation and reason."""
    entries = data_of(write_gallery(folder))["entries"]
    places = [(entry["config"], entry["split"], entry["row"]) for entry in entries]
    assert places == [
        *(("default", "train", number) for number in range(20)),
        *(("default", "test", number) for number in range(4)),
        ("rejected", "train", 0),
        ("failed", "train", 0),
        ("failed", "train", 1),
    ]
    expected = row(13)
    generation = {**expected["generation"], "seed": str(expected["generation"]["seed"])}
    assert entries[13]["prompt"] == expected["prompt"]
    assert entries[13]["columns"] == {"size": expected["size"], "colour": expected["colour"], "score": 19 / 24}
    assert entries[13]["generation"] == generation
    assert [(entry["status"], entry["error"]) for entry in entries[-2:]] == [
        ("refused", "moderation said no"),
        ("failed", "three timeouts of 30 s"),
    ]
    assert all((entry["picture"] is None) == (entry["config"] == "failed") for entry in entries)


def test_the_data_is_the_golden_one(folder: Path) -> None:
    """Filters, orders and entries stand in the page as the golden file has them.

    After a wanted change: ``python -m tests.test_gallery`` writes the golden file anew.
    """
    assert _golden(write_gallery(folder)) == GOLDEN.read_text(encoding="utf-8")


def test_the_same_folder_gives_the_same_page(folder: Path) -> None:
    """Written twice, also over a page that is there, the gallery has the same bytes, and nothing else is left."""
    first = write_gallery(folder).read_bytes()
    assert write_gallery(folder).read_bytes() == first
    assert sorted(path.name for path in folder.iterdir()) == [
        "data",
        "failed",
        "gallery.html",
        "ledger.parquet",
        "rejected",
    ]


def test_filters_are_columns_that_group_rows(tmp_path: Path) -> None:
    """Columns with 2 to 30 values that repeat become filters, in order of their values; all others do not."""
    rows = [row(n, count=n % 3, sharp=n % 2 == 0, ratio=(n % 2) / 4, serial=n, one=1, many=n % 31) for n in range(40)]
    types = {name: pa.int64() for name in ("count", "serial", "one", "many")}
    write_shard(tmp_path / "data/train-00000-of-00001.parquet", rows, sharp=pa.bool_(), ratio=pa.float64(), **types)
    facets = {facet["name"]: facet["values"] for facet in data_of(write_gallery(tmp_path))["facets"]}
    assert facets == {
        "size": ["large", "small"],
        "colour": ["amber", "blue", "green", "plum", "red"],
        "count": [0, 1, 2],
        "sharp": [False, True],
        "ratio": [0.0, 0.25],
    }


def test_configs_of_any_name_are_shown(tmp_path: Path) -> None:
    """A dataset whose configs were named by its author is shown whole, and an unfinished shard is not."""
    for config in ("images", "variants"):
        write_shard(tmp_path / config / "train-00000-of-00001.parquet", [row(1)])
    write_shard(tmp_path / "images" / "train-00001.parquet.part", [row(2)])
    entries = data_of(write_gallery(tmp_path))["entries"]
    assert [(entry["config"], entry["status"]) for entry in entries] == [("images", "ok"), ("variants", "ok")]


def test_a_column_of_unique_values_is_no_filter(tmp_path: Path) -> None:
    """A column that gives each row a value of its own, as an id does, is not offered as a filter."""
    rows = [row(number, serial=number) for number in range(8)]
    write_shard(tmp_path / "data/train-00000-of-00001.parquet", rows, serial=pa.int64())
    assert "serial" not in [facet["name"] for facet in data_of(write_gallery(tmp_path))["facets"]]


def test_values_that_json_or_a_browser_would_spoil_arrive_whole(tmp_path: Path) -> None:
    """Big integers, not-a-number, bytes and nested values are text that says what they are."""
    rows = [row(0, big=2**60, ratio=float("nan"), blob=b"12345", tags=["a", "b"])]
    types = {"big": pa.int64(), "ratio": pa.float64(), "blob": pa.binary(), "tags": pa.list_(pa.string())}
    write_shard(tmp_path / "data/train-00000-of-00001.parquet", rows, **types)
    columns = data_of(write_gallery(tmp_path))["entries"][0]["columns"]
    del columns["size"], columns["colour"]
    assert columns == {"big": str(2**60), "ratio": "nan", "blob": "5 bytes", "tags": '["a", "b"]'}


def test_grouped_generations_and_further_images_are_shown(tmp_path: Path) -> None:
    """A row with a list of images has an entry for each, with its generation and score; other images come along."""
    two = [row(0), row(1)]
    grouped = {
        **two[0],
        "image": [each["image"] for each in two],
        "generation": [each["generation"] for each in two],
        "sketch": {"bytes": drawing("red", "small", 9), "path": "sketch.png"},
        "score": [0.25, 0.75],
    }
    types = {
        "image": pa.list_(IMAGE),
        "generation": pa.list_(GENERATION),
        "sketch": IMAGE,
        "score": pa.list_(pa.float64()),
    }
    write_shard(tmp_path / "data/train-00000-of-00001.parquet", [grouped], **types)
    entries = data_of(write_gallery(tmp_path))["entries"]
    assert [entry["image"] for entry in entries] == [[1, 2], [2, 2]]
    assert [entry["generation"]["seed"] for entry in entries] == [str(2**62), str(2**62 + 1)]
    assert [[each["name"] for each in entry["further"]] for entry in entries] == [["sketch"], ["sketch"]]
    assert "sketch" not in entries[0]["columns"]
    assert [entry["columns"]["score"] for entry in entries] == [0.25, 0.75]


def test_damaged_images_are_told_and_stop_nothing(tmp_path: Path) -> None:
    """Bytes that are no image, half an image and absent bytes become entries that say so; sampling skips them."""
    cells = [b"<html>", drawing("red", "small", 1)[:800], None]
    rows = [row(n, image={"bytes": cell, "path": "x.png"}) for n, cell in enumerate(cells)]
    write_shard(tmp_path / "data/train-00000-of-00001.parquet", [*rows, row(3)])
    pictures = [entry["picture"] for entry in data_of(write_gallery(tmp_path))["entries"]]
    assert ["trouble" in picture for picture in pictures] == [True, True, True, False]
    assert "object at 0x" not in json.dumps(pictures)
    assert write_samples(tmp_path) == ["samples/0.webp"]


def test_pictures_are_as_large_as_the_size_allows(tmp_path: Path) -> None:
    """Pictures are the images where those fit, else 512 px, 384 or 224; what is left out is told."""
    rows = [row(number, (640, 480), "JPEG") for number in range(24)]
    write_shard(tmp_path / "data/train-00000-of-00001.parquet", rows)
    sides = []
    for max_bytes in (20_000_000, 180_000, 130_000, 90_000, 60_000):
        page = write_gallery(tmp_path, max_bytes=max_bytes)
        assert page.stat().st_size <= max_bytes
        entries = data_of(page)["entries"]
        sides.append(max(entry["picture"]["width"] for entry in entries))
    assert sides == [640, 512, 384, 224, 224]
    shown = [entry["row"] for entry in entries]
    gaps = {later - earlier for earlier, later in pairwise(shown)}
    assert 5 < len(shown) < 24
    assert max(gaps) - min(gaps) <= 2
    assert f"Showing {len(shown)} of 24 rows, sampled evenly" in page.read_text(encoding="utf-8")


def test_small_images_are_in_the_page_byte_for_byte(folder: Path) -> None:
    """Where they fit, the page holds the images themselves, so that a click shows the full image and no copy."""
    entries = data_of(write_gallery(folder))["entries"]
    picture = entries[5]["picture"]
    assert picture["original"]
    assert base64.b64decode(picture["uri"].partition(",")[2]) == row(5)["image"]["bytes"]


def test_a_format_that_browsers_do_not_know_is_copied_at_full_size(tmp_path: Path) -> None:
    """A TIFF becomes a WebP with as many pixels, and is not called the original."""
    write_shard(tmp_path / "data/train-00000-of-00001.parquet", [row(0, (300, 200), "TIFF")])
    (entry,) = data_of(write_gallery(tmp_path))["entries"]
    assert entry["picture"]["uri"].startswith("data:image/webp;base64,")
    assert [entry["picture"][name] for name in ("width", "height", "original")] == [300, 200, False]


@pytest.mark.parametrize(("limits", "most"), [({"max_bytes": 700_000}, 700_000), ({"max_rows": 50}, 20_000_000)])
def test_a_page_of_very_many_images_stays_small(tmp_path: Path, limits: dict[str, int], most: int) -> None:
    """3,000 images make a page within its limits, which says how many it shows."""
    one = row(0)
    rows = [{**one, "prompt": f"number {number}"} for number in range(3000)]
    write_shard(tmp_path / "data/train-00000-of-00001.parquet", rows)
    page = write_gallery(tmp_path, **limits)
    shown = len(data_of(page)["entries"])
    assert 20 < shown <= limits.get("max_rows", 3000)
    assert page.stat().st_size <= most
    assert f"Showing {shown:,} of 3,000 rows" in page.read_text(encoding="utf-8")


def test_a_size_no_page_fits_is_refused(folder: Path) -> None:
    """A `max_bytes` below the empty page is a usage error that names the size it takes; so is a missing folder."""
    with pytest.raises(UsageError, match=r"without images takes [\d,]+"):
        write_gallery(folder, max_bytes=5_000)
    with pytest.raises(UsageError, match="no folder"):
        write_gallery(folder / "elsewhere")


@given(total=st.integers(0, 5_000), count=st.integers(0, 500))
def test_even_samples(total: int, count: int) -> None:
    """An even sample has the size asked for, no position twice, and gaps that differ by one at most."""
    positions = evenly_spread(total, count)
    assert len(positions) == min(total, count)
    assert all(0 <= position < total for position in positions)
    gaps = [later - earlier for earlier, later in pairwise(positions)]
    assert not gaps or (min(gaps) > 0 and max(gaps) - min(gaps) <= 1)


def test_samples_are_small_webps_of_good_images(tmp_path: Path) -> None:
    """Samples are six WebP of at most 224 pixels, spread over the default config; a small config gives fewer."""
    rows = [row(number, (640, 480), "JPEG") for number in range(24)]
    write_shard(tmp_path / "large/data/train-00000-of-00001.parquet", rows)
    samples = [(tmp_path / "large" / name).read_bytes() for name in write_samples(tmp_path / "large")]
    images = [Image.open(io.BytesIO(data)) for data in samples]
    assert [(image.format, max(image.size)) for image in images] == [("WEBP", 224)] * 6
    assert len(set(samples)) == 6
    write_shard(tmp_path / "small/data/train-00000-of-00001.parquet", rows[:2])
    assert write_samples(tmp_path / "small") == ["samples/0.webp", "samples/1.webp"]
    assert write_samples(tmp_path / "elsewhere") == []


def _golden(page: Path) -> str:
    """The page's data, a line for each entry; what an encoder of images decides is left out."""
    data = data_of(page)
    for entry in data["entries"]:
        if entry["picture"]:
            entry["picture"]["uri"] = entry["picture"]["uri"].partition(",")[0]
            entry["generation"]["image_sha256"] = "IMAGE_SHA256"
    lines = {name: ",\n".join(map(json.dumps, data.pop(name))) for name in ("facets", "orders", "entries")}
    rest = json.dumps(data)[1:-1]
    return "{" + ",\n".join(f'"{name}": [\n{text}\n]' for name, text in lines.items()) + f",\n{rest}" + "}\n"


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as temporary:
        GOLDEN.write_text(_golden(write_gallery(write_folder(Path(temporary)))), encoding="utf-8")
