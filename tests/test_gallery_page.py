"""The gallery in a real browser: filters, search, the detail view, keys, and what a prompt cannot do."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tasks_lib.gallery import write_gallery
from tests.gallery_browser import Watched
from tests.gallery_dataset import row, write_folder, write_shard

ATTACK = "</script><img src=x onerror=\"document.title='broken'\"><!-- <script>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with rows of every kind."""
    return write_folder(tmp_path)


def captions(page: Page) -> list[str]:
    """The prompts below the pictures, without the rows' numbers before them."""
    return [re.sub(r"^\d+", "", text) for text in page.locator("#sheet .caption").all_text_contents()]


def test_filter_and_search_narrow_the_sheet_and_the_counts(folder: Path, watched: Watched) -> None:
    """A label, words and a status together leave what matches all; counts follow; Clear brings everything back."""
    page = watched.open(write_gallery(folder))
    assert page.locator("#count").text_content() == "27 in all"
    page.get_by_label("colour").select_option(label="colour: red (6)")
    assert page.locator("#count").text_content() == "6 of 27"
    page.get_by_label("Search prompts").fill("DISC large")
    assert captions(page) == [row(number)["prompt"] for number in (5, 15, 25)]
    page.get_by_label("Search prompts").fill("")
    page.get_by_label("Status").get_by_role("button", name="refused").click()
    assert page.locator("#count").text_content() == "1 of 27"
    assert page.get_by_label("Status").get_by_role("button", name="all").text_content() == "all 6"
    page.get_by_role("button", name="Clear").click()
    assert page.locator("#sheet li").count() == 27


def test_a_split_narrows_the_sheet(folder: Path, watched: Watched) -> None:
    """Choosing a split leaves its rows; together with a status that it lacks nothing is left."""
    page = watched.open(write_gallery(folder))
    page.get_by_label("split").select_option(label="split: test (4)")
    assert captions(page) == [row(number)["prompt"] for number in range(20, 24)]
    page.get_by_label("Status").get_by_role("button", name="failed").click()
    assert page.locator("#count").text_content() == "0 of 27"


def test_search_without_a_match_says_so(folder: Path, watched: Watched) -> None:
    """When nothing matches, the page says so instead of showing a blank sheet."""
    page = watched.open(write_gallery(folder))
    page.get_by_label("Search prompts").fill("zebra")
    assert page.get_by_text("Nothing matches.").is_visible()
    assert page.locator("#count").text_content() == "0 of 27"


def test_the_detail_view_tells_how_an_image_came_about(folder: Path, watched: Watched) -> None:
    """A click opens the image large with prompt, exact seed, model, options, size, format, time and cost."""
    page = watched.open(write_gallery(folder))
    page.get_by_role("button", name=row(7)["prompt"]).click()
    facts = page.locator("#facts").inner_text()
    expected = [
        "number 7",
        str(2**62 + 7),
        "studio/painter-1",
        "guidance_scale",
        "3.5",
        "96 \u00d7 96 px",
        "png",
        "1.25 s",
    ]
    assert [text for text in [*expected, "0.003 USD", "ok"] if text not in facts] == []
    assert page.locator("#stage img").evaluate("image => image.complete && image.naturalWidth > 0")
    assert page.locator("#stage img").get_attribute("alt") == row(7)["prompt"]


def test_rows_without_an_image_show_their_reason(folder: Path, watched: Watched) -> None:
    """Failed rows stand in the sheet and in the detail view with status and reason."""
    page = watched.open(write_gallery(folder))
    tile = page.locator("#sheet li", has_text="three timeouts of 30 s")
    assert tile.locator("img").count() == 0
    tile.locator("button").click()
    assert "three timeouts of 30 s" in page.locator("#stage").inner_text()


def test_the_page_is_walked_by_keys(folder: Path, watched: Watched) -> None:
    """Arrows move, Enter opens, arrows step, Escape closes and returns, slash searches."""
    page = watched.open(write_gallery(folder))
    tile = page.locator("#sheet button")
    columns = page.locator("#sheet").evaluate("sheet => getComputedStyle(sheet).gridTemplateColumns.split(' ').length")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    expect(tile.nth(columns)).to_be_focused()
    page.keyboard.press("Enter")
    assert page.locator("#detail").is_visible()
    page.keyboard.press("ArrowRight")
    assert f"number {columns + 1}" in page.locator("#facts .prompt").inner_text()
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    expect(tile.nth(columns + 1)).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("End")
    expect(tile.nth(26)).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type("17 disc")
    assert captions(page) == [row(17)["prompt"]]
    page.keyboard.press("ArrowDown")
    expect(tile.first).to_be_focused()


def test_prompts_cannot_inject(tmp_path: Path, watched: Watched) -> None:
    """Markup in prompts, labels, errors and titles is shown as the text that it is."""
    attacks = [ATTACK, "<b>bold</b>", "'\"><svg onload=alert(1)>", "\u2028${alert(1)} {{ 7 * 7 }}"]
    rows = [row(n, prompt=text, colour=text, error=text, model_name=text) for n, text in enumerate(attacks * 2)]
    write_shard(tmp_path / "data/train-00000-of-00001.parquet", rows)
    page = watched.open(write_gallery(tmp_path, title=ATTACK))
    assert page.locator("h1").text_content() == ATTACK
    assert page.locator("#sheet .caption").first.text_content() == f"0{ATTACK}"
    page.locator("#sheet button").first.click()
    assert page.locator("#facts .prompt").text_content() == ATTACK
    assert page.title() == ATTACK
    assert page.locator("img[src=x], #sheet b:not(:text('ok')), svg").count() == 0


def test_nothing_but_the_page_s_own_script_and_style_may_run(folder: Path, chromium: Browser) -> None:
    """The content security policy holds: an inline script or handler put in later is refused, as is any request."""
    page = chromium.new_page()
    page.goto(write_gallery(folder).as_uri())
    policy = page.locator("meta[http-equiv]").get_attribute("content") or ""
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "document.title = 'broken'";
            document.body.append(script);
        }"""
    )
    assert page.title() == folder.name
    assert page.evaluate("fetch('data:text/plain,x').then(() => 'sent', () => 'refused')") == "refused"
    page.close()


def test_pictures_are_decoded_when_they_come_near(tmp_path: Path, watched: Watched) -> None:
    """Far below the fold tiles have no picture yet; scrolled to, they get it."""
    write_shard(tmp_path / "data/train-00000-of-00001.parquet", [row(number) for number in range(120)])
    page = watched.open(write_gallery(tmp_path))
    expect(page.locator("#sheet li:first-child img")).to_have_js_property("naturalWidth", 96)
    last = page.locator("#sheet li:last-child img")
    assert last.get_attribute("src") is None
    last.scroll_into_view_if_needed()
    expect(last).to_have_js_property("naturalWidth", 96)


def test_an_empty_dataset_says_so(tmp_path: Path, watched: Watched) -> None:
    """A folder without rows gives a page that says so and offers no filters."""
    write_shard(tmp_path / "data/train-00000-of-00001.parquet", [])
    page = watched.open(write_gallery(tmp_path, title="nothing yet"))
    assert page.get_by_text("This dataset has no rows.").is_visible()
    assert not page.locator("#tools").is_visible()


def test_a_dataset_of_failures_says_so(tmp_path: Path, watched: Watched) -> None:
    """When no row has an image, the page says so and shows each reason."""
    rows = [row(n, image=None, generation=None, status="failed", error=f"reason {n}") for n in range(3)]
    write_shard(tmp_path / "failed/train-00000-of-00001.parquet", rows)
    page = watched.open(write_gallery(tmp_path))
    assert page.get_by_text("No row has an image.").is_visible()
    assert page.get_by_text("reason 2").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(folder: Path, chromium: Browser, scheme: Any) -> None:
    """Quiet text has a contrast of at least 4.5 to 1 with the paper (WCAG 2.2, 1.4.3), light and dark."""
    page = chromium.new_page(color_scheme=scheme)
    page.goto(write_gallery(folder).as_uri())
    colours = page.locator(".caption").first.evaluate(
        "caption => [getComputedStyle(caption).color, getComputedStyle(document.body).backgroundColor]"
    )
    page.close()
    lighter, darker = sorted((_luminance(colour) for colour in colours), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def _luminance(colour: str) -> float:
    """Relative luminance of a CSS colour (WCAG 2.2)."""
    channels = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
