"""``load_dataset`` keeps what it read of a local folder in a cache; it must never take one dataset for another."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, load_dataset

from tasks_lib import Distiset
from tasks_lib.exports import ExportFormat, export_dataset
from tests.built_folders import build_folder

LABELS = ([7, 8], [8, 7])
"""Of the same types, sizes and number."""


def built(folder: Path, labels: list[int]) -> Path:
    prompts = [{"prompt": f"a red circle {number}", "label": label} for number, label in enumerate(labels)]
    return build_folder(folder, prompts, {"train": 1.0})


def written(folder: Path, labels: list[int]) -> Path:
    shutil.rmtree(folder / "written", ignore_errors=True)
    return Distiset(default=Dataset.from_dict({"label": labels})).write_dataset_folder(folder / "written")


def exported(folder: Path, labels: list[int], to: ExportFormat) -> Path:
    shutil.rmtree(folder / f"exported-{to}", ignore_errors=True)
    return Path(export_dataset(built(folder, labels), to, folder / f"exported-{to}").folder)


def labels_in(folder: Path) -> list[int]:
    rows: Any = load_dataset(str(folder), split="train")
    return [row["label"] for row in (rows["json"] if "json" in rows.features else rows)]


WAYS: dict[str, Callable[[Path, list[int]], Path]] = {
    "build": built,
    "write_dataset_folder": written,
    **{str(to): lambda folder, labels, to=to: exported(folder, labels, to) for to in ExportFormat},  # type: ignore[misc]
}


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_that_was_written_anew_gives_its_new_rows(tmp_path: Path, way: str) -> None:
    """After two labels are swapped and the folder is written again, ``load_dataset`` gives them as they are now."""
    for labels in LABELS:
        assert labels_in(WAYS[way](tmp_path, labels)) == labels


@pytest.mark.parametrize("way", WAYS)
def test_folders_of_one_name_are_told_apart(tmp_path: Path, way: str) -> None:
    """Two folders with the same last name, columns and sizes load each with its own rows."""
    for number, labels in enumerate(LABELS):
        (tmp_path / str(number)).mkdir()
        assert labels_in(WAYS[way](tmp_path / str(number), labels)) == labels


def test_the_card_of_the_same_data_is_the_same(tmp_path: Path) -> None:
    """What tells datasets apart is made from the data alone: built again, the card's YAML is what it was."""
    cards = [(built(tmp_path, labels) / "README.md").read_text().split("---")[1] for labels in (*LABELS, LABELS[0])]
    assert cards[0] == cards[2] != cards[1]
