"""The order of the gallery: by any number of the rows or the task, by cost and by time, up and down."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
from playwright.sync_api import Page, expect

from tasks_lib.gallery import write_gallery
from tests.gallery_browser import Watched
from tests.gallery_dataset import data_of, row, write_shard

SCORES = [0.5, None, 0.75, 0.5, -2.0, 0.125, float("nan"), 9.25]
BEST_FIRST = [7, 2, 0, 3, 5, 4, 1, 6]
WORST_FIRST = [4, 5, 0, 3, 2, 7, 1, 6]


def scored(folder: Path, scores: list[float | None]) -> Path:
    """A dataset folder whose rows have these scores."""
    rows = [row(number, score=score) for number, score in enumerate(scores)]
    write_shard(folder / "data/train-00000-of-00001.parquet", rows, score=pa.float64())
    return folder


def numbers(page: Page) -> list[int]:
    """The rows in the order of the sheet."""
    return [int(text) for text in page.locator("#sheet .number").all_text_contents()]


def test_numbers_are_orders(tmp_path: Path) -> None:
    """A column of different numbers is an order, and so are cost and seconds; text, flags and constants are none."""
    rows = [_costing(n, score=n / 8, rank=n, sharp=n % 2 == 0, one=1, text=str(n)) for n in range(4)]
    types = {"score": pa.float64(), "rank": pa.int64(), "sharp": pa.bool_(), "one": pa.int64(), "text": pa.string()}
    write_shard(tmp_path / "data/train-00000-of-00001.parquet", rows, **types)
    orders = data_of(write_gallery(tmp_path))["orders"]
    assert [order["label"] for order in orders] == ["score", "rank", "cost", "seconds"]


def test_the_sheet_is_ordered_by_score(tmp_path: Path, watched: Watched) -> None:
    """Highest first or lowest first, ties as the rows stand, what has no number last; each tile shows its score."""
    page = watched.open(write_gallery(scored(tmp_path, SCORES)))
    assert numbers(page) == list(range(8))
    page.get_by_role("combobox", name="Order").select_option("by score")
    assert numbers(page) == BEST_FIRST
    assert page.locator("#sheet .value").all_text_contents() == ["9.25", "0.75", "0.5", "0.5", "0.125", "-2", "", ""]
    page.get_by_role("button", name="highest first").click()
    assert numbers(page) == WORST_FIRST
    page.get_by_role("combobox", name="Order").select_option("in order of rows")
    assert numbers(page) == list(range(8))
    assert page.locator("#sheet .value").all_text_contents() == [""] * 8


def test_an_order_and_a_filter_hold_together(tmp_path: Path, watched: Watched) -> None:
    """Filters keep the order and the counts, steps of the detail view follow it, and Clear leaves it."""
    page = watched.open(write_gallery(scored(tmp_path, SCORES)))
    page.get_by_role("combobox", name="Order").select_option("by score")
    page.get_by_label("size", exact=True).select_option(label="size: small (4)")
    assert numbers(page) == [2, 0, 4, 6]
    assert page.locator("#count").text_content() == "4 of 8"
    page.locator("#sheet button").first.click()
    page.keyboard.press("ArrowRight")
    assert "number 0" in page.locator("#facts .prompt").inner_text()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Clear").click()
    assert numbers(page) == BEST_FIRST


def test_the_order_is_chosen_by_keys(tmp_path: Path, watched: Watched) -> None:
    """Tab reaches the order and its direction, and keys alone change both."""
    page = watched.open(write_gallery(scored(tmp_path, SCORES)))
    chooser = page.get_by_role("combobox", name="Order")
    for _ in range(12):
        page.keyboard.press("Tab")
        if chooser.evaluate("select => select === document.activeElement"):
            break
    expect(chooser).to_be_focused()
    page.keyboard.press("b")
    assert numbers(page) == BEST_FIRST
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="highest first")).to_be_focused()
    page.keyboard.press("Enter")
    assert numbers(page) == WORST_FIRST


def test_cost_and_seconds_are_orders(tmp_path: Path, watched: Watched) -> None:
    """What an image cost and how long it took order the sheet as well."""
    rows = [_costing(number) for number in (2, 0, 3, 1)]
    write_shard(tmp_path / "data/train-00000-of-00001.parquet", rows)
    page = watched.open(write_gallery(tmp_path))
    for name, last in (("by cost", [2, 0, 3, 1]), ("by seconds", [1, 3, 0, 2])):
        page.get_by_role("combobox", name="Order").select_option(name)
        assert numbers(page) == last


def test_pictures_still_come_when_they_are_near(tmp_path: Path, watched: Watched) -> None:
    """Ordered the other way round, the tiles that are now on top get their pictures, and those far below have none."""
    page = watched.open(write_gallery(scored(tmp_path, [float(number) for number in range(120)])))
    page.get_by_role("combobox", name="Order").select_option("by score")
    expect(page.locator("#sheet li:first-child img")).to_have_js_property("naturalWidth", 96)
    assert numbers(page)[:2] == [119, 118]
    assert page.locator("#sheet img:not([src])").count() > 0


def test_without_numbers_there_is_no_order(tmp_path: Path, watched: Watched) -> None:
    """Where no number tells rows apart, no order is offered."""
    write_shard(tmp_path / "data/train-00000-of-00001.parquet", [row(number) for number in range(3)])
    page = watched.open(write_gallery(tmp_path))
    assert page.locator("#ordering select").count() == 0
    assert re.fullmatch("3 in all", page.locator("#count").text_content() or "")


def _costing(number: int, **changed: Any) -> dict[str, Any]:
    """A row whose cost rises and whose time falls with its number."""
    made = row(number, **changed)
    return {**made, "generation": {**made["generation"], "cost_usd": number / 1000, "seconds": 9.0 - number}}
