"""A Distiset cut into train and test."""

from pathlib import Path

import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib import Distiset
from tasks_lib.errors import UsageError

SHARES = st.floats(0, 1, exclude_min=True, exclude_max=True)


def numbers(count: int) -> Dataset:
    return Dataset.from_dict({"n": list(range(count))})


@given(count=st.integers(0, 40), share=SHARES, shuffle=st.booleans(), seed=st.integers(0, 9))
def test_each_row_is_in_one_split(count: int, share: float, shuffle: bool, seed: int) -> None:
    """Every row is in train or in test, in each of them at least one of several, and a single one in train."""
    both = Distiset(default=numbers(count)).train_test_split(share, shuffle, seed)["default"]
    assert sorted([*both["train"]["n"], *both["test"]["n"]]) == list(range(count))
    assert len(both["train"]) >= min(count, 1)
    assert len(both["test"]) >= (count > 1)


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_rows_are_those_of_datasets(shuffle: bool) -> None:
    """The same share and seed give the rows that ``Dataset.train_test_split`` gives, in the same order."""
    expected = numbers(17).train_test_split(train_size=0.8, shuffle=shuffle, seed=3)
    found = Distiset(default=numbers(17)).train_test_split(0.8, shuffle, 3)["default"]
    assert {split: list(each["n"]) for split, each in found.items()} == {k: list(v["n"]) for k, v in expected.items()}


def test_every_config_is_cut() -> None:
    """Plain and split configs all become a train and a test, of 80 % and 20 % by default, in the same Distiset."""
    distiset = Distiset(a=numbers(10), b=DatasetDict(train=numbers(5)), c=DatasetDict(test=numbers(1)))
    assert distiset.train_test_split() is distiset
    assert {config: both.num_rows for config, both in distiset.items()} == {
        "a": {"train": 8, "test": 2},
        "b": {"train": 4, "test": 1},
        "c": {"train": 1, "test": 0},
    }


def test_what_is_split_already_is_named() -> None:
    """Configs with several splits are named with them, and nothing is cut."""
    distiset = Distiset(a=numbers(4), b=DatasetDict(train=numbers(2), validation=numbers(2)))
    with pytest.raises(UsageError, match=r"split already is 'b' into train, validation\. Join"):
        distiset.train_test_split(0.5)
    assert isinstance(distiset["a"], Dataset)


@pytest.mark.parametrize("share", [0, 1, 1.5, -0.2])
def test_a_share_out_of_bounds_is_refused(share: float) -> None:
    """A share that leaves one split empty, or is none, is one sentence."""
    with pytest.raises(UsageError, match=f"train_size is {share}; it is the share"):
        Distiset(default=numbers(4)).train_test_split(share)


def test_nothing_is_copied(tmp_path: Path) -> None:
    """Splits of 2 MB take a few KB of memory, and no file is written beside those of a saved Distiset."""
    Distiset(default=Dataset.from_dict({"data": [bytes(100_000)] * 20})).save_to_disk(tmp_path / "saved")
    files = sorted((tmp_path / "saved").rglob("*"))
    loaded = Distiset.load_from_disk(tmp_path / "saved")
    before = pa.total_allocated_bytes()
    assert len(loaded.train_test_split(0.5, seed=1)["default"]["test"]) == 10
    assert pa.total_allocated_bytes() - before < 10_000
    assert sorted((tmp_path / "saved").rglob("*")) == files
