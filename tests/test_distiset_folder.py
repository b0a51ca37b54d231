"""A Distiset written as a dataset folder, read back by ``load_dataset``."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict, Features, Image, Value, get_dataset_config_names, load_dataset
from datasets import List as ListOf
from huggingface_hub import DatasetCard
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib import Distiset, ImageStore
from tasks_lib.distiset.embedding import embedded_groups
from tasks_lib.errors import ImageCellError, OutputError, UsageError
from tests.distisets import image_bytes, made_by_hand, png, rows_of

CELL = st.none() | st.binary(min_size=1, max_size=20)


def test_every_config_and_split_loads(tmp_path: Path) -> None:
    """``load_dataset`` gives every config and split with all rows and images, streaming too, without the store."""
    distiset = made_by_hand(ImageStore(tmp_path / "store"))
    expected = {split: rows_of(rows) for split, rows in distiset["default"].items()}
    folder = distiset.write_dataset_folder(tmp_path / "folder")
    shutil.rmtree(tmp_path / "store")
    loaded = load_dataset(str(folder))
    assert {split: rows_of(rows) for split, rows in loaded.items()} == expected
    assert load_dataset(str(folder), "failed")["train"][:] == {"n": [5], "image": [None], "many": [None]}
    streamed = load_dataset(str(folder), split="test", streaming=True)
    assert [row["image"] and row["image"].size for row in streamed] == [None, (8, 6)]


def test_the_card_is_valid(tmp_path: Path) -> None:
    """The card's YAML holds configs, splits, columns and sizes for the Hub, and its text the citations."""
    distiset = made_by_hand(ImageStore(tmp_path / "store"))
    card = DatasetCard.load(distiset.write_dataset_folder(tmp_path / "folder", name="me/shapes") / "README.md")
    assert [config["config_name"] for config in card.data.configs] == ["default", "failed"]
    assert card.data.configs[0]["data_files"] == [
        {"split": "train", "path": "data/train-*"},
        {"split": "test", "path": "data/test-*"},
    ]
    splits = [{split["name"]: split["num_examples"] for split in info["splits"]} for info in card.data.dataset_info]
    assert splits == [{"train": 3, "test": 2}, {"train": 1}]
    assert card.data.size_categories == ["n<1K"]
    assert 'load_dataset("me/shapes")' in card.text
    assert "```bibtex\n@misc{shapes, title={Shapes}}\n```" in card.text


def test_the_card_can_do_without_text(tmp_path: Path) -> None:
    """Without a generated card, README.md holds the YAML that ``load_dataset`` needs, and nothing else."""
    distiset = made_by_hand(ImageStore(tmp_path / "store"))
    folder = distiset.write_dataset_folder(tmp_path / "folder", generate_card=False)
    assert (folder / "README.md").read_text().endswith("\n---\n")
    assert load_dataset(str(folder), "failed")["train"].num_rows == 1


def test_nothing_escapes_in_the_card(tmp_path: Path) -> None:
    """Fences in a citation and markup in the name of a column or the dataset stay text."""
    distiset = Distiset({"a config": Dataset.from_dict({"<script>|`x`": [1]})})
    distiset.citations = ["@misc{a,\n```\n# heading\n}"]
    text = (distiset.write_dataset_folder(tmp_path / "folder", name="a\n# <b>") / "README.md").read_text()
    assert "````bibtex\n@misc{a,\n```\n# heading\n}\n````" in text
    body = DatasetCard(text).text
    assert "# a # (b)\n" in body
    assert "| `(script)/'x'` | `int64` |" in body
    assert 'load_dataset("a\\n# <b>", "a config")' in body


def test_the_same_datasets_give_the_same_bytes(tmp_path: Path) -> None:
    """Written twice, the folders are byte-identical, so that publishing again sends nothing."""
    distiset = made_by_hand(ImageStore(tmp_path / "store"))
    first, second = (distiset.write_dataset_folder(tmp_path / each / "folder") for each in "ab")
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def test_row_groups_are_small(tmp_path: Path) -> None:
    """Shards have row groups of at most 100 rows with image bytes uncompressed, as those of a build."""
    rows = Dataset.from_dict({"n": list(range(250)), "image": [png()] * 250}).cast_column("image", Image())
    folder = Distiset(default=rows).write_dataset_folder(tmp_path / "folder")
    shard = pq.ParquetFile(folder / "data/train-00000-of-00001.parquet").metadata
    assert [shard.row_group(n).num_rows for n in range(shard.num_row_groups)] == [100, 100, 50]
    kinds = {shard.row_group(0).column(n).path_in_schema: shard.row_group(0).column(n).compression for n in range(3)}
    assert kinds == {"n": "ZSTD", "image.bytes": "UNCOMPRESSED", "image.path": "UNCOMPRESSED"}


def test_empty_splits_are_left_out(tmp_path: Path) -> None:
    """Splits without a row, which ``load_dataset`` cannot read, are left out, and the others load."""
    rows = Dataset.from_dict({"n": [1]})
    distiset = Distiset(default=rows, nothing=rows.select([])).train_test_split()
    folder = distiset.write_dataset_folder(tmp_path / "folder")
    assert load_dataset(str(folder)).num_rows == {"train": 1}
    assert get_dataset_config_names(str(folder)) == ["default"]
    with pytest.raises(UsageError, match="has no row"):
        Distiset(default=rows.select([])).write_dataset_folder(tmp_path / "other")


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        (ListOf(Value("int64"), length=2), [1, 2]),
        (ListOf({"a": Value("string"), "b": ListOf(Value("float64"))}), [{"a": "x", "b": [0.5]}]),
        ({"raw": {"deep": Value("string")}}, {"raw": {"deep": "x"}}),
        (Value("large_string"), "x"),
        (Value("null"), None),
    ],
)
def test_columns_of_every_type_are_kept(tmp_path: Path, feature: Any, value: Any) -> None:
    """Nested, fixed-size, large and empty columns come back with their types and values."""
    rows = Dataset.from_dict({"column": [value, None]}, features=Features({"column": feature}))
    distiset = Distiset(default=rows)
    loaded = load_dataset(str(distiset.write_dataset_folder(tmp_path / "folder")), split="train")
    assert (loaded.features, loaded[:]) == (rows.features, rows[:])
    distiset.save_to_disk(tmp_path / "saved")
    saved = Distiset.load_from_disk(tmp_path / "saved")["default"]
    assert (saved.features, saved[:]) == (rows.features, rows[:])


@given(st.lists(st.tuples(CELL, st.none() | st.lists(CELL, max_size=3)), max_size=220), st.integers(0, 9))
def test_embedding_changes_nothing(cells: list[tuple[bytes | None, list[bytes | None] | None]], start: int) -> None:
    """Whatever the cells and the selection, portions hold the same rows in the same order."""
    columns = {
        "image": [one and {"bytes": one, "path": None} for one, _ in cells],
        "many": [many and [one and {"bytes": one, "path": None} for one in many] for _, many in cells],
    }
    features = Features({"image": Image(decode=False), "many": ListOf(Image(decode=False))})
    every = Dataset.from_dict(columns, features=features)
    rows = every.select(range(start, len(cells))) if start < len(cells) else every.select([])
    tables = list(embedded_groups(rows))
    assert all(len(table) <= 100 for table in tables)
    found = [row for table in tables for row in table.to_pylist()]
    assert image_bytes([list(row.values()) for row in found]) == [[one, many] for one, many in cells[start:]]


def test_a_full_folder_is_left_alone(tmp_path: Path) -> None:
    """Where there are files, nothing is written."""
    (tmp_path / "mine").touch()
    with pytest.raises(OutputError, match="is not empty"):
        Distiset(default=Dataset.from_dict({"n": [1]})).write_dataset_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_lost_image_is_told(tmp_path: Path) -> None:
    """An image that is not where its row says is named."""
    cells = [{"bytes": None, "path": str(tmp_path / "gone.png")}]
    rows = Dataset.from_dict({"image": cells}, features=Features({"image": Image()}))
    with pytest.raises(ImageCellError, match=r"cannot be read: .*gone\.png.* put it back"):
        Distiset(default=rows).write_dataset_folder(tmp_path / "folder")


def test_a_distiset_without_a_default_config_loads(tmp_path: Path) -> None:
    """Where no config is called default, ``load_dataset(folder)`` gives the first, and each by its name."""
    folder = Distiset({name: Dataset.from_dict({"n": [n]}) for n, name in enumerate("ba")}).write_dataset_folder(
        tmp_path / "folder"
    )
    assert [load_dataset(str(folder), *name)["train"]["n"] for name in ([], ["b"], ["a"])] == [[0], [0], [1]]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"n": ["one"]}, r"column 'n': Value\('int64'\) in the split 'train', Value\('string'\) in 'test'"),
        ({"n": [1], "m": [1]}, r"column 'm': nothing in the split 'train', Value\('int64'\) in 'test'"),
        ({"m": [1]}, r"column 'n': .* nothing in 'test'"),
    ],
)
def test_splits_with_other_columns_are_refused(tmp_path: Path, other: dict[str, list[Any]], told: str) -> None:
    """Splits of a config whose columns differ, which would not load again, are refused by the column's name."""
    splits = DatasetDict(train=Dataset.from_dict({"n": [1]}), test=Dataset.from_dict(other))
    with pytest.raises(UsageError, match=rf"splits of the config 'default' differ in the {told}"):
        Distiset(default=splits).write_dataset_folder(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    other_config = Distiset(default=splits["train"], other=splits["test"]).write_dataset_folder(tmp_path / "configs")
    assert load_dataset(str(other_config), "other", split="train")[:] == other


def test_configs_share_no_folder(tmp_path: Path) -> None:
    """Configs whose shards would lie in one folder are refused."""
    rows = Dataset.from_dict({"n": [1]})
    with pytest.raises(UsageError, match="'default' and 'data' would share"):
        Distiset(default=rows, data=DatasetDict(test=rows)).write_dataset_folder(tmp_path / "folder")
