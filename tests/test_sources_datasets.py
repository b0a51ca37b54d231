"""Rows come out of datasets as they stand there, or one error says why not."""

from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image

from tasks_lib.errors import SourceError
from tasks_lib.sources import DatasetPrompts, read_rows


@pytest.fixture
def dataset_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that `load_dataset` reads: two splits with an image column."""
    # The library reads it from the environment once, when it is imported.
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    features = datasets.Features({"prompt": datasets.Value("string"), "image": datasets.Image()})
    rows = {"prompt": ["a", None], "image": [Image.new("RGB", (4, 4), "red"), None]}
    folder = tmp_path / "folder"
    folder.mkdir()
    for split in ("train", "test"):
        datasets.Dataset.from_dict(rows, features=features).to_parquet(folder / f"{split}.parquet")
    return folder


def test_a_dataset_keeps_its_image_bytes(dataset_folder: Path) -> None:
    """Image columns come as encoded bytes, and the schema still says that they are images."""
    table = read_rows(DatasetPrompts(dataset=str(dataset_folder), split="test"))
    first, second = table.to_pylist()
    assert (first["prompt"], second) == ("a", {"prompt": None, "image": None})
    assert first["image"]["bytes"].startswith(b"\x89PNG")
    assert datasets.Features.from_arrow_schema(table.schema)["image"] == datasets.Image()


def test_a_dataset_gives_the_split_and_columns_asked_for(dataset_folder: Path) -> None:
    """`split` takes slices, and `columns` leaves the others out of the schema too."""
    table = read_rows(DatasetPrompts(dataset=str(dataset_folder), split="train[:1]", columns=["prompt"]))
    assert table.to_pylist() == [{"prompt": "a"}]
    assert set(datasets.Features.from_arrow_schema(table.schema)) == {"prompt"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "validation"}, 'Unknown split "validation"'),
        ({"config": "other"}, "'other' not found"),
        ({"columns": ["promt"]}, r"no column 'promt'; it has: prompt, image\. Did you mean 'prompt'"),
        ({"columns": ["image"]}, "no column 'prompt'; it has: image"),
    ],
)
def test_a_dataset_that_does_not_fit_is_one_clear_error(
    dataset_folder: Path, options: dict[str, Any], message: str
) -> None:
    """What is wrong with a dataset names it and what it has."""
    with pytest.raises(SourceError, match=message) as caught:
        read_rows(DatasetPrompts(dataset=str(dataset_folder), **options))
    assert str(dataset_folder) in str(caught.value)
