"""The card of a dataset folder: every fact of the build, in Markdown and in the YAML that the Hub reads."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from datasets import Features, Image, Value, load_dataset
from huggingface_hub import DatasetCard
from markdown_it import MarkdownIt

from tasks_lib.card import write_card
from tasks_lib.checks import Checks
from tasks_lib.errors import RecipeError
from tasks_lib.recipe import load_recipe
from tasks_lib.report import BuildReport
from tasks_lib.shard_names import ShardName, split_folder
from tasks_lib.shards import SplitSize
from tests.built_folders import build_recipe
from tests.recipes import FLAT, drawn_by

GOLDEN = Path(__file__).with_name("golden") / "card.md"
TEXT = {
    "description": "Shapes, for *tests*.",
    "license": "cc0-1.0",
    "language": ["en"],
    "tags": ["shapes"],
    "citations": ["@misc{shapes,\n  title = {Shapes}\n}"],
}


def test_the_card_is_the_golden_one(tmp_path: Path) -> None:
    """Counts, splits, checks, columns, model, options, seeds, days, price, cost, licence and citation: all are there.

    After a wanted change: ``python -m tests.test_card`` writes the golden file anew.
    """
    assert _card(tmp_path, TEXT).read_text(encoding="utf-8") == GOLDEN.read_text(encoding="utf-8").replace(
        "VERSION", version("imageloom")
    )


def test_a_check_of_tomorrow_stands_in_the_card(tmp_path: Path) -> None:
    """Every check that is on has its line under the name of its setting, also one that this code does not know."""

    class Tomorrow(Checks):
        """With one check more, which has a setting and turned down nothing, and one that is off."""

        sharpness: float | None = None
        text: bool = False

    card = _card(tmp_path, TEXT, Tomorrow(blank=True, sharpness=0.5)).read_text(encoding="utf-8")
    assert "| blank | 2 |\n| sharpness | 0 |\n\n" in card
    assert "text |" not in card


def test_the_hub_reads_its_metadata(tmp_path: Path) -> None:
    """Licence, language and tags of the recipe are in the metadata that huggingface_hub reads."""
    data = DatasetCard.load(_card(tmp_path, TEXT)).data
    assert (data.license, data.language, data.tags) == (
        "cc0-1.0",
        ["en"],
        ["synthetic", "imageloom", "text-to-image", "shapes"],
    )
    assert [config["config_name"] for config in data.configs] == ["default", "rejected"]


def test_without_good_images_the_first_config_is_what_loads(in_folder: Path) -> None:
    """A dataset of which nothing came and passed loads without a config's name, and its card promises no other."""
    checks, limits = {"min_side": 999}, {"max_failure_rate": 1.0}
    report = build_recipe(drawn_by(FLAT, ["a cat", ""], checks=checks, limits=limits)).report
    assert report is not None and sorted(report.splits) == ["failed", "rejected"]
    loaded = load_dataset("dataset", split="train")
    assert loaded["status"] == load_dataset("dataset", next(iter(report.splits)), split="train")["status"]
    card = Path("dataset/README.md").read_text(encoding="utf-8")
    assert "`rejected` config holds" in card and "`failed` config holds" in card and "`default` config" not in card


def test_the_card_says_where_the_images_of_a_group_are(in_folder: Path) -> None:
    """Of a group of which one image was refused, the others are in the config ``failed``, and the card says that."""
    grouped = {"num_generations": 2, "group_generations": True}
    build_recipe(drawn_by({"type": "tests.custom_tasks:OneCatOnly"}, ["a cat", "a dog"], task=grouped))
    (row,) = load_dataset("dataset", "failed", split="train")
    assert [image is None for image in row["image"]] == [False, True] and row["status"] == "refused"
    card = Path("dataset/README.md").read_text(encoding="utf-8")
    assert "3 synthetic images, made from 2 prompts" in card
    assert "The `default` config holds the rows whose images all came and passed the checks" in card
    assert "The `failed` config holds the rows that lack an image, with the images that came and the reason" in card


def test_a_citation_stays_in_its_fence(tmp_path: Path) -> None:
    """Backticks in a citation do not end the block that shows it."""
    card = _card(tmp_path, {"citations": ["@misc{x}\n```\n# owned\n~~~"]})
    tokens = MarkdownIt().parse(card.read_text(encoding="utf-8"))
    (shown,) = [token for token in tokens if token.type == "fence" and token.info == "bibtex"]
    assert shown.content == "@misc{x}\n```\n# owned\n~~~\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ({"license": "CC0 1.0"}, r"card\.license"),
        ({"language": ["English"]}, r"card\.language\.0"),
        ({"tags": ["a\nb"]}, r"card\.tags\.0"),
        ({"licence": "cc0-1.0"}, r"did you mean 'license'"),
    ],
)
def test_what_the_hub_would_refuse_is_refused_at_once(tmp_path: Path, text: dict[str, Any], sentence: str) -> None:
    """A licence, language or tag that the Hub's metadata does not know is named before anything is asked."""
    with pytest.raises(RecipeError, match=sentence):
        _card(tmp_path, text)


def _card(folder: Path, text: dict[str, Any], checks: Checks | None = None) -> Path:
    recipe = load_recipe(
        {
            "name": "shapes",
            "seed": 7,
            "prompts": ["a red circle", "a blue square"],
            "task": {
                "type": "image_generation",
                "image_generation_model": {"type": "procedural", "width": 64, "height": 64},
            },
            "checks": checks or {"blank": True, "near_duplicates": {"distance": 4}},
            "card": text,
            "output": {"path": str(folder / "shapes"), "splits": {"train": 0.5, "test": 0.5}},
        }
    )
    report = BuildReport(
        name="shapes",
        folder=str(folder / "shapes"),
        rows=1500,
        generations=1500,
        counts={"ok": 1498, "rejected": 2},
        from_store=500,
        asked=1000,
        spent_usd=1.0,
        total_usd=1.5,
        seconds=12.0,
        splits={"default": {"train": 1000, "test": 498}, "rejected": {"train": 2}},
        rejections={"blank": 2},
        made=("2026-11-20", "2026-11-22"),
    )
    features = Features({"prompt": Value("string"), "image": Image(), "generation": {"seed": Value("int64")}})
    sizes = {
        "default": {"train": SplitSize(1000, 100_000, 120_000), "test": SplitSize(498, 49_800, 60_000)},
        "rejected": {"train": SplitSize(2, 200, 1_000)},
    }
    for config, splits in sizes.items():
        for split in splits:
            shard = folder / split_folder(config) / str(ShardName(split, 0, 1))
            shard.parent.mkdir(exist_ok=True)
            shard.write_text(f"stands for the rows of {config} {split}")
    return write_card(folder, recipe, report, features, sizes, ["samples/0.webp"])


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as temporary:
        text = _card(Path(temporary), TEXT).read_text(encoding="utf-8")
    GOLDEN.write_text(text.replace(f"imageloom {version('imageloom')} ", "imageloom VERSION "), encoding="utf-8")
