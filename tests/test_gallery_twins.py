"""The gallery shows a near duplicate beside the image that it looks like, and an edit beside what was edited."""

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tasks_lib.gallery import write_gallery
from tests.built_folders import build_recipe
from tests.gallery_browser import Watched
from tests.gallery_dataset import IMAGE, data_of, drawing, row, write_folder, write_shard

Row = dict[str, Any]


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("max_rows", [2_000, 9])
def test_each_near_duplicate_of_a_build_has_its_twin(tmp_path: Path, grouped: bool, max_rows: int) -> None:
    """Across splits, with grouped generations and in a sampled page, the twin is the image that the check meant."""
    folder = _built(tmp_path, num_generations=2, group_generations=grouped)
    data = data_of(write_gallery(folder, max_rows=max_rows))
    on_page = {entry["generation"].get("fingerprint"): entry for entry in data["entries"]}
    looking = [entry for entry in data["entries"] if entry["status"] == "rejected" and (entry["image"] or [1])[0] == 1]
    assert looking
    for entry in looking:
        twin = {**data["twins"], **on_page}[entry["twin"]["fingerprint"]]
        assert f"it looks like {entry['twin']['name']}." in entry["error"]
        assert twin["status"] == "ok"
        assert _look_alike(entry, twin)
    assert not data["twins"].keys() & on_page.keys()
    assert bool(data["twins"]) == (max_rows == 9)


def test_only_the_first_image_of_a_group_has_a_twin(tmp_path: Path) -> None:
    """The check compares the first image of a row, so nothing is said to look like the others."""
    entries = data_of(write_gallery(_built(tmp_path, num_generations=2, group_generations=True)))["entries"]
    assert {entry["image"][0] for entry in entries if entry["twin"]} == {1}


def test_a_twin_that_cannot_be_found_is_left_out(tmp_path: Path) -> None:
    """Without a ledger the near duplicate stands alone with its reason; other rejections have no twin at all."""
    folder = write_folder(tmp_path)
    (folder / "ledger.parquet").unlink()
    blank = row(30, status="rejected", error="blank: every pixel is within 2 levels of (0, 0, 0)")
    write_shard(folder / "rejected/test-00000-of-00001.parquet", [blank])
    data = data_of(write_gallery(folder))
    assert {entry["twin"] is None for entry in data["entries"]} == {True}
    assert data["twins"] == {}


def test_a_near_duplicate_opens_beside_its_twin(tmp_path: Path, watched: Watched) -> None:
    """The detail view shows both side by side, each with what it is, and the reason; also by keys alone."""
    page = watched.open(write_gallery(write_folder(tmp_path)))
    page.get_by_label("Status").get_by_role("button", name="rejected").click()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    figures = page.locator("#stage figure")
    assert figures.locator("figcaption").all_text_contents() == [
        "this image",
        f"row 3, generation 0: {row(20)['prompt']}",
    ]
    assert figures.locator("img").last.get_attribute("alt") == row(20)["prompt"]
    assert "near_duplicates: it looks like row 3, generation 0." in page.locator("#facts").inner_text()
    _assert_side_by_side(figures)


def test_a_twin_that_is_not_on_the_page_is_shown_as_well(tmp_path: Path, watched: Watched) -> None:
    """In a sampled page the near duplicate brings the image that it looks like along."""
    folder = write_folder(tmp_path)
    page = watched.open(write_gallery(folder, max_rows=5))
    assert row(20)["prompt"] not in page.locator("#sheet").inner_text()
    page.get_by_role("button", name="number 24").click()
    assert row(20)["prompt"] in page.locator("#stage figcaption").last.inner_text()
    _assert_side_by_side(page.locator("#stage figure"))


def test_an_edit_opens_beside_its_source(tmp_path: Path, watched: Watched) -> None:
    """Before and after stand side by side at one width; a source whose edit failed stands beside the reason."""
    before = {"bytes": drawing("green", "large", 50, (64, 64)), "path": "before.png"}
    edits = [row(number, image=before, edited_image=row(number)["image"]) for number in range(2)]
    failed = row(2, image=before, edited_image=None, status="failed", error="three timeouts of 30 s", generation=None)
    write_shard(tmp_path / "data/train-00000-of-00001.parquet", edits, edited_image=IMAGE)
    write_shard(tmp_path / "failed/train-00000-of-00001.parquet", [failed], edited_image=IMAGE)
    page = watched.open(write_gallery(tmp_path))
    page.locator("#sheet button").first.click()
    figures = page.locator("#stage figure")
    assert figures.locator("figcaption").all_text_contents() == ["before", "after"]
    _assert_side_by_side(figures)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator("#stage figcaption").first.text_content() == "before"
    assert page.locator("#stage .reason").inner_text() == "failed\nthree timeouts of 30 s"


def _built(folder: Path, **task: Any) -> Path:
    """A folder of flat images in two splits; those whose colours are close are near duplicates."""
    recipe = {
        "name": "flat",
        "seed": 7,
        "prompts": [f"colour {'x' * (number % 9)}" for number in range(30)],
        "task": {
            "type": "image_generation",
            "image_generation_model": {"type": "tests.custom_tasks:FlatColour"},
            **task,
        },
        "checks": {"near_duplicates": {"distance": 4}},
        "store": str(folder / "store"),
        "output": {"path": str(folder / "flat"), "splits": {"train": 0.6, "test": 0.4}},
    }
    build_recipe(recipe)
    return folder / "flat"


def _look_alike(one: Row, other: Row) -> bool:
    colours = [_colour(entry["picture"]["uri"]) for entry in (one, other)]
    return all(abs(a - b) <= 20 for a, b in zip(*colours, strict=True))


def _colour(uri: str) -> tuple[int, ...]:
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        colour = image.convert("RGB").getpixel((0, 0))
    assert isinstance(colour, tuple)
    return colour


def _assert_side_by_side(figures: Any) -> None:
    images = figures.locator("img")
    assert images.evaluate_all("all => all.map(image => image.complete && image.naturalWidth > 0)") == [True, True]
    left, right = (images.nth(number).bounding_box() for number in (0, 1))
    assert left["x"] + left["width"] <= right["x"]
    assert left["width"] == pytest.approx(right["width"], abs=1)
    assert left["y"] < right["y"] + right["height"] and right["y"] < left["y"] + left["height"]
