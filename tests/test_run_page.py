"""What a run leaves behind for people and for automations: artifacts, events and assets on a real server."""

import asyncio
import base64
import io
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks_lib.publishing.report import PublishReport
from tasks_lib.run_page import (
    ProgressArtifact,
    artifact_key,
    contact_sheet,
    escaped,
    history_key,
    show_publication,
    show_report,
)
from tests.endpoint import Endpoint
from tests.prefect_contents import asked
from tests.recipes import FLAT, Build, drawn_by, recipe_for

ATTACK = "<img src=/a.png> ![x](/b.png) | **bold** `code` &amp;"
"""Short, since a caption is cut."""
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
MARKUP = ["~~a~~", "**b**", "_c_", "`d`", "<b>", "![x](/y)", "[x](/y)", "<http://e.f>", "&amp;", "|", "\\"]
PICTURE = re.compile(r"!\[\]\(data:image/(\w+);base64,([^)]*)\)")


def artifacts(name: str) -> dict[str, Any]:
    """The latest artifacts of a recipe by their key."""
    found = asked("/artifacts/latest/filter", {"artifacts": {"key": {"like_": f"{name}-%"}}})
    return {artifact["key"].removeprefix(f"{name}-"): artifact for artifact in found}


def pictures(sheet: str) -> list[Image.Image]:
    return [Image.open(io.BytesIO(base64.b64decode(data))) for _, data in PICTURE.findall(sheet)]


@given(st.lists(st.sampled_from(MARKUP) | st.text(max_size=20), max_size=8).map("".join))
def test_escaped_text_is_no_markup(text: str) -> None:
    """Whatever a prompt holds, Markdown renders it as one run of plain text."""
    line = escaped(text)
    children = MARKDOWN.parseInline(line)[0].children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    shown = "".join(child.content for child in children)
    assert shown == " ".join("".join(one if one.isprintable() else " " for one in text).split())


def test_the_artifacts_tell_the_run(build_dataset: Build, endpoint: Endpoint) -> None:
    """Counts with shares, failures with reasons, pictures with prompts and the way to the folder stand on the page."""
    prompts = ["a cat", ATTACK, "a dog", "a gun {{refused-openai}}"]
    build_dataset(recipe_for(endpoint, prompts, name="Told.run_1"))
    told = artifacts("told-run-1")
    assert set(told) == {"progress", "counts", "failures", "contact-sheet", "report"}
    assert told["progress"]["data"] == 100
    assert json.loads(told["counts"]["data"]) == [
        {"status": "ok", "images": 3, "share": "75.0%"},
        {"status": "refused", "images": 1, "share": "25.0%"},
        {"status": "all", "images": 4, "share": "100.0%"},
    ]
    assert told["counts"]["description"] == "3 of 4 images, 1 refused, cost unknown"
    assert told["failures"]["data"].startswith("- **1 image:** http")
    assert "safety system" in told["failures"]["data"]
    sheet = told["contact-sheet"]["data"]
    assert [picture.size for picture in pictures(sheet)] == [(64, 64)] * 3
    assert "a cat |" in sheet
    html = MARKDOWN.render(told["report"]["data"])
    assert "<td>3 of 4</td>" in html
    for name in ("dataset", "dataset/README.md", "dataset/gallery.html"):
        assert f"<td>{Path(name).absolute()}</td>" in html


def test_no_text_of_a_prompt_becomes_markup(build_dataset: Build, endpoint: Endpoint) -> None:
    """HTML and Markdown in prompts and in endpoints' errors are shown as they are; nothing is loaded for them."""
    prompts = [ATTACK, "a cow {{429 times=<hr/>}}"]
    recipe = recipe_for(endpoint, prompts, name="attacked", limits={"max_failure_rate": 1.0})
    build_dataset(recipe)
    markdown = [each["data"] for each in artifacts("attacked").values() if each["type"] == "markdown"]
    html = "".join(MARKDOWN.render(text) for text in markdown)
    assert html.count("<img") == html.count('<img src="data:image/') == 1
    assert "times=&lt;hr/&gt;" in html
    assert "&lt;img src=/a.png&gt;" in html
    assert not {"<hr", "<code>code", "<strong>bold"} & set(re.findall(r"<hr|<code>code|<strong>bold", html))


def test_a_contact_sheet_keeps_its_bound(build_dataset: Build) -> None:
    """At most 24 pictures of at most 128 px, evenly over the dataset, within the characters that are allowed."""
    noise = {"type": "procedural", "width": 200, "height": 100}
    build_dataset(drawn_by(noise, [f"{number} red circles on a blue background" for number in range(60)]))
    sheet = contact_sheet(Path("dataset"))
    assert sheet is not None
    assert len(sheet) <= 150_000
    assert [picture.size for picture in pictures(sheet)] == [(128, 64)] * 24
    smaller = contact_sheet(Path("dataset"), most_characters=len(sheet) // 3)
    assert smaller is not None
    assert len(smaller) <= len(sheet) // 3
    assert 4 <= len(pictures(smaller)) < 24
    assert contact_sheet(Path("store")) is None


def test_a_server_that_fails_costs_the_page_only(
    build_dataset: Build, in_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A dataset that cannot be shown, or a server that is gone, is a warning in the log; the run goes on."""
    report = build_dataset(drawn_by(FLAT, ["a", "b"], name="shown")).report
    assert report is not None
    next(Path("dataset/data").glob("*.parquet")).write_bytes(b"damaged")

    async def show_everything() -> None:
        await ProgressArtifact("shown").show(0.5)
        await show_report(report)
        await show_publication(PublishReport("me/shown", "https://hub/me/shown", 1, 1, 1, 0, 0, "abc", True))

    @flow
    async def showing() -> str:
        await show_report(report)
        with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
            await asyncio.to_thread(asyncio.run, show_everything())
        return "went on"

    logger = logging.getLogger("prefect.flow_runs")
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level("WARNING", logger=logger.name):
            assert asyncio.run(showing()) == "went on"
    finally:
        logger.removeHandler(caplog.handler)
    of_a_build, of_a_publication = (
        ("pictures", "counts", "report", "progress"),
        ("publication", "link to the repository"),
    )
    for what in of_a_build + of_a_publication:
        assert f"This run's page lacks the {what}" in caplog.text


@pytest.mark.parametrize(
    ("name", "key"), [("colour-shapes", "colour-shapes-report"), ("A_b..C-", "a-b-c-report"), ("X", "x-report")]
)
def test_a_key_is_one_that_prefect_takes(name: str, key: str) -> None:
    """A recipe's name becomes lower-case letters, digits and dashes."""
    assert artifact_key(name, "report") == key


def test_a_history_is_of_one_recipe() -> None:
    """Recipes whose names differ in punctuation or case alone are not compared with each other."""
    keys = {history_key(name, "canary") for name in ("cx_v1", "cx-v1", "CX-v1")}
    assert len(keys) == 3
    assert all(re.fullmatch(r"cx-v1-canary-[0-9a-f]{8}", key) for key in keys)
