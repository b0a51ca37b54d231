"""Rows that bite keep their place and their text, and no text of theirs does anything in the card or the gallery."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tasks_lib.recipe import load_recipe
from tests.endpoint import Endpoint
from tests.gallery_browser import Watched, headless_chromium, watched_page
from tests.recipes import FLAT, drawn_by, recipe_for

HTML = "</script><img src=x onerror=\"document.title='broken'\"><!-- <script>"
MARKDOWN = "![pixel](http://127.0.0.1:9/pixel.png) [here](javascript:alert(1)) `code` | cell <http://127.0.0.1:9/>"
YAML = "---\nlicense: evil\n---\n# evil"

ASKED = {
    "a number as text": "0042",
    "a word of YAML": "null",
    "100 KB": "a very long prompt, " * 5_000,
    "emoji": "\U0001f469\U0001f3fd\u200d\U0001f680 and \U0001f3f3\ufe0f\u200d\U0001f308",
    "right to left": "\u0642\u0637\u0629 \u202e\u05e1\u05d5\u05e1 \u202c",
    "null bytes": "a\0cat\0",
    "lines": "\ufeffa\r\nb\nc\u2028d\x85e\x1b[31mf",
    "composed": "caf\u00e9",
    "combining": "cafe\u0301",
    "YAML": YAML,
    "HTML": HTML,
    "Markdown": MARKDOWN,
    "Jinja": "{{ slow seconds=0 }} {{ 7 * 7 }} {% include 'x' %} {# x #}",
    "a data URI": "data:image/png;base64,AAAA",
    "a store reference": "imageloom+/etc/passwd",
    "once": "the same prompt",
    "twice": "the same prompt",
}
NOT_ASKED = {"empty": "", "blank": " \t\r\n\u2003", "null": None}
# The endpoint repeats the prompt in its error.
REJECTED = {"HTML in the error": "a cat {{429 times=<img/src=x/onerror=alert(1)>}}"}
PROMPTS: dict[str, str | None] = {**ASKED, **NOT_ASKED, **REJECTED}
COLUMNS: dict[str, Any] = {
    YAML: YAML,
    HTML: HTML,
    "": "a column without a name, as pandas writes them",
    "__proto__": "of JavaScript",
    "=": "=",
    "a | b `c`": {MARKDOWN: MARKDOWN},
    "file": {"bytes": 123, "path": "names that image columns use"},
}
ROWS = [{"label": label, "prompt": prompt, **COLUMNS} for label, prompt in PROMPTS.items()]


@dataclass(frozen=True)
class Built:
    """One dataset of everything that bites."""

    folder: Path
    prompts_sent: list[str]


@pytest.fixture(scope="module")
def built(prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """Built through the real flow, its model named by an injection too."""
    from flows.build_image_dataset import build_image_dataset

    with Endpoint() as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("inputs"))
        recipe = recipe_for(endpoint, ROWS, limits={"max_failure_rate": 1.0}, checks={"blank": True})
        recipe["task"]["image_generation_model"]["model_display_name"] = f"{MARKDOWN}\n{YAML}\n{HTML}"
        recipe["task"]["image_generation_model"]["generation_kwargs"] = {"negative_prompt": f"{MARKDOWN}\n{YAML}"}
        asyncio.run(build_image_dataset(load_recipe(recipe)))
        yield Built(Path("dataset").absolute(), [call.prompt for call in endpoint.calls])


def test_every_text_is_sent_and_kept_as_it_is(built: Built) -> None:
    """Prompts reach the endpoint and come back from load_dataset in order, character by character."""
    assert sorted(built.prompts_sent) == sorted([*ASKED.values(), *REJECTED.values()])
    rows = load_dataset(str(built.folder))["train"]
    assert dict(zip(rows["label"], rows["prompt"], strict=True)) == ASKED
    assert all(row[name] == value for row in rows for name, value in COLUMNS.items())
    once, twice = (row["generation"]["image_sha256"] for row in rows if row["prompt"] == "the same prompt")
    assert once != twice


def test_what_cannot_be_asked_keeps_its_place(built: Built) -> None:
    """Prompts without a text, and those that the endpoint rejects, stand in ``failed`` and ledger with the reason."""
    rows = load_dataset(str(built.folder), "failed")["train"]
    assert dict(zip(rows["label"], rows["prompt"], strict=True)) == {**NOT_ASKED, **REJECTED}
    assert rows["error"][:3] == ["the prompt is empty, so nothing was asked."] * 3
    assert "<img/src=x" in rows["error"][3]
    ledger = pq.read_table(built.folder / "ledger.parquet")
    assert ledger["row"].to_pylist() == list(range(len(ROWS)))
    assert ledger["status"].to_pylist() == ["ok" if label in ASKED else "failed" for label in PROMPTS]


def test_the_recipe_brings_every_text_back(built: Built) -> None:
    """``recipe.yaml`` holds the same rows, so that it rebuilds the dataset."""
    assert load_recipe(built.folder / "recipe.yaml").prompts == ROWS


def test_no_text_adds_to_the_metadata_of_the_card(built: Built) -> None:
    """The card's YAML has the keys that it has for harmless rows, and the columns by their names."""
    data = DatasetCard.load(built.folder / "README.md").data.to_dict()
    known = {"pretty_name", "tags", "task_categories", "size_categories", "configs", "dataset_info"}
    assert set(data) == known
    assert [feature["name"] for feature in data["dataset_info"][0]["features"]][2 : 2 + len(COLUMNS)] == list(COLUMNS)


def test_no_text_is_markup_in_the_card(built: Built) -> None:
    """Names and options stand in the card as code: no heading, image, link or HTML but the card's own."""
    tokens = markdown_of(built.folder / "README.md")
    assert {token.type for token in tokens} & {"image", "link_open", "hr", "html_block"} == set()
    ours = '<img src="samples/'
    assert [token.content for token in tokens if token.type == "html_inline" and ours not in token.content] == []
    assert not [token for token in tokens if token.type == "inline" and token.content == "evil"]
    code = "\n".join(token.content for token in tokens if token.type == "code_inline")
    assert code.count("![pixel](http://127.0.0.1:9/pixel.png)") == 4


def test_the_name_of_the_folder_is_no_markup_in_the_card(in_folder: Path, prefect_server: None) -> None:
    """A folder named by an injection stays inside the card's example, which is still a line of Python."""
    from flows.build_image_dataset import build_image_dataset

    name = f'a"\n```\n{HTML}'.replace("/", "")
    asyncio.run(build_image_dataset(load_recipe(drawn_by(FLAT, ["a cat"], output={"path": name}))))
    tokens = markdown_of(in_folder / name / "README.md")
    fences = [token.content for token in tokens if token.type == "fence"]
    assert fences[0].splitlines()[2] == f"dataset = load_dataset({json.dumps(name)})"
    assert len(fences) == 2
    compile(fences[0], "the example", "exec")


def markdown_of(path: Path) -> list[Token]:
    """The tokens of a card below its YAML, as CommonMark with tables reads them."""
    blocks = MarkdownIt("commonmark").enable("table").parse(DatasetCard.load(path).text)
    return [token for block in blocks for token in [block, *(block.children or [])]]


@pytest.fixture
def watched() -> Iterator[Watched]:
    """A page of a browser of its own: while one is open, no flow can be run beside it."""
    with headless_chromium() as chromium, watched_page(chromium) as watched:
        yield watched


def test_no_text_runs_in_the_gallery(built: Built, watched: Watched) -> None:
    """In a browser each text is shown as it is; no script of theirs runs and nothing is asked for."""
    page = watched.open(built.folder / "gallery.html")
    assert page.title() == "test"
    order = [*ASKED, *NOT_ASKED, *REJECTED]
    assert page.locator("#sheet li").count() == len(order)
    page.locator("#sheet button").first.click()
    for label in order:
        assert page.locator("#facts .prompt").text_content() == (PROMPTS[label] or "")
        assert HTML in page.locator("#facts").text_content()
        page.keyboard.press("ArrowRight")
    assert "times=<img/src=x" in page.locator("#stage").text_content()
    assert page.title() == "test"
    assert page.locator("img[src=x], a, iframe, body > script:not([type]) ~ *").count() == 0


def test_an_output_elsewhere_is_where_it_says(in_folder: Path, prefect_server: None) -> None:
    """``output.path`` is the user's own choice, also upwards; nothing lands anywhere else."""
    from flows.build_image_dataset import build_image_dataset

    (in_folder / "work").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir("work")
        recipe = drawn_by(FLAT, ["a cat"], output={"path": "../elsewhere/../dataset"})
        asyncio.run(build_image_dataset(load_recipe(recipe)))
    assert (in_folder / "dataset" / "README.md").exists()
    assert sorted(path.name for path in in_folder.rglob("*.md")) == ["README.md"]
