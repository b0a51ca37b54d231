"""A built dataset folder in the hands of everything that people read Parquet with: rows, columns and bytes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Image, load_dataset

from tests.built_folders import build_folder

SPLITS = ["train", "test"]
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 rows in two splits with a struct of their own, and rows that failed."""
    prompts = [
        {"prompt": f"a red circle {number} ü", "box": {"left": number, "tags": ["a", None]}} for number in range(30)
    ]
    failing = [{"prompt": "", "box": {"left": number, "tags": []}} for number in range(6)]
    return build_folder(tmp_path_factory.mktemp("built"), [*prompts, *failing], {"train": 0.7, "test": 0.3})


def table_of(dataset: Path, split: str, config: str = "data") -> pa.Table:
    """What pyarrow reads, to which every other reader is held."""
    return pa.concat_tables(map(pq.read_table, sorted((dataset / config).glob(f"{split}-*.parquet"))))


def shards(dataset: Path, split: str) -> str:
    return str(dataset / "data" / f"{split}-*.parquet")


def with_pandas(dataset: Path, split: str) -> Rows:
    (path,) = (dataset / "data").glob(f"{split}-*.parquet")
    # Arrow's types: with its own, pandas makes NaN of what is missing and arrays of lists.
    return list(pd.read_parquet(path, dtype_backend="pyarrow").to_dict("records"))


def with_polars(dataset: Path, split: str) -> Rows:
    return list(pl.read_parquet(shards(dataset, split)).to_dicts())


def with_polars_lazily(dataset: Path, split: str) -> Rows:
    return list(pl.scan_parquet(shards(dataset, split)).collect().to_dicts())


def with_duckdb(dataset: Path, split: str) -> Rows:
    return list(duckdb.sql(f"select * from read_parquet('{shards(dataset, split)}')").to_arrow_table().to_pylist())


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("read", [with_pandas, with_polars, with_polars_lazily, with_duckdb])
def test_readers_of_parquet_see_the_same_rows(dataset: Path, split: str, read: Callable[[Path, str], Rows]) -> None:
    """pandas, polars and DuckDB read the rows that pyarrow reads: in order, with structs and the images' bytes."""
    expected = table_of(dataset, split).to_pylist()
    assert expected and all(row["image"]["bytes"] for row in expected)
    found = read(dataset, split)
    assert [list(row) for row in found] == [list(row) for row in expected]
    assert found == expected


def test_a_query_finds_rows_without_the_images(dataset: Path) -> None:
    """DuckDB and polars filter by a field of a struct over all splits at once."""
    expected = {row["prompt"] for split in SPLITS for row in table_of(dataset, split).to_pylist()}
    everywhere = str(dataset / "data" / "*.parquet")
    found = duckdb.sql(f"select prompt from '{everywhere}' where generation.width = 32 and box.\"left\" >= 15")
    lazy = pl.scan_parquet(everywhere).filter(
        (pl.col("generation").struct.field("width") == 32) & (pl.col("box").struct.field("left") >= 15)
    )
    wanted = {prompt for prompt in expected if int(prompt.split()[3]) >= 15}
    assert len(wanted) == 15
    assert {prompt for (prompt,) in found.fetchall()} == set(lazy.collect()["prompt"]) == wanted


def as_pyarrow(split: Any) -> Rows:
    """A split's rows with its images undecoded, as pyarrow has them."""
    return list(split.cast_column("image", Image(decode=False)))


@pytest.mark.parametrize("streaming", [False, True])
def test_load_dataset_reads_the_folder(dataset: Path, streaming: bool) -> None:
    """``load_dataset(folder)`` gives every split with its images, and the failed rows under their config."""
    read = load_dataset(str(dataset), streaming=streaming)
    assert list(read) == SPLITS
    for split in SPLITS:
        assert isinstance(read[split].features["image"], Image)
        assert next(iter(read[split]))["image"].size == (32, 32)
        assert as_pyarrow(read[split]) == table_of(dataset, split).to_pylist()
    failed = load_dataset(str(dataset), "failed", streaming=streaming)
    expected = {split: table_of(dataset, split, "failed").to_pylist() for split in failed}
    assert {split: list(failed[split]) for split in failed} == expected
    rows = [row for split in failed for row in expected[split]]
    assert len(rows) == 6
    assert all(row["image"] is None and row["error"] for row in rows)


@pytest.mark.parametrize("streaming", [False, True])
def test_load_dataset_reads_the_shards(dataset: Path, streaming: bool) -> None:
    """``load_dataset("parquet", data_files=...)`` knows the image column from the shards alone."""
    files = {split: shards(dataset, split) for split in SPLITS}
    read = load_dataset("parquet", data_files=files, streaming=streaming)
    for split in SPLITS:
        assert isinstance(read[split].features["image"], Image)
        assert as_pyarrow(read[split]) == table_of(dataset, split).to_pylist()
