"""Exports, read back by the libraries that they are made for: every row, column and byte, in order."""

import datetime
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from datasets import Dataset, Features, Image, List, Value, load_dataset
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.exports import export_dataset
from tasks_lib.exports.image_names import extension_of, safe_names
from tests.built_folders import build_folder, picture, read_rows, write_dataset

# webdataset leaves the tars that it has read to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings(
        r"ignore:Exception ignored in. <_io.FileIO .*\.tar:pytest.PytestUnraisableExceptionWarning"
    ),
    pytest.mark.filterwarnings(r"ignore:unclosed file .*\.tar:ResourceWarning"),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 rows in two splits and a failed one; values that a format or its reader might take for something else."""
    folder = tmp_path_factory.mktemp("built")
    rows: list[dict[str, Any]] = [
        {
            "prompt": f"../../etc/passwd\n{number} {{}} 'ü' \U0001f408 .png",
            "day": "2024-01-01",
            "note": "late" if number > 12 else None,
            "box": {"x.y": number, "tags": ["a", None]},
            "when": datetime.datetime(2026, 1, 2, 3, 4, 5, number),
            "raw": b"\x00\xff",
        }
        for number in range(24)
    ]
    pq.write_table(pa.Table.from_pylist([*rows, {**rows[0], "prompt": ""}]), folder / "prompts.parquet")
    return build_folder(folder, {"path": str(folder / "prompts.parquet")}, {"train": 0.8, "holdout": 0.2})


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `built` as JSON holds it, without its image."""
    others = {name: value for name, value in row.items() if name != "image"}
    return {**others, "when": row["when"].isoformat(), "raw": "AP8="}


def undecoded(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Rows with the bytes of each image, from wherever the reader keeps them."""

    def encoded(value: Any) -> Any:
        if isinstance(value, list):
            return [encoded(each) for each in value]
        if not isinstance(value, dict) or set(value) != {"bytes", "path"}:
            return value
        return value["bytes"] or Path(value["path"]).read_bytes()

    features = {
        name: List(Image(decode=False)) if isinstance(feature, List) and isinstance(feature.feature, Image) else feature
        for name, feature in dataset.features.items()
    }
    features |= {name: Image(decode=False) for name, feature in features.items() if isinstance(feature, Image)}
    for row in dataset.cast(Features(features)):
        yield {name: encoded(value) for name, value in row.items()}


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("split", ["train", "holdout"])
def test_webdataset_reads_the_tars(built: Path, tmp_path: Path, split: str) -> None:
    """The library finds each row under a key of its own, in order: the image's bytes, the prompt and all columns."""
    export_dataset(built, "webdataset", tmp_path / "out")
    tars = [str(path) for path in sorted((tmp_path / "out").glob(f"{split}-*.tar"))]
    samples = list(webdataset.WebDataset(tars, shardshuffle=False))
    rows = read_rows(built, split)
    assert rows and [sample["png"] for sample in samples] == [row["image"] for row in rows]
    assert [sample["txt"].decode() for sample in samples] == [row["prompt"] for row in rows]
    assert [json.loads(sample["json"]) for sample in samples] == [{**as_json(row), "image": "png"} for row in rows]
    assert len({sample["__key__"] for sample in samples}) == len(rows)


@pytest.mark.parametrize("streaming", [False, True])
def test_load_dataset_reads_the_tars_with_their_types(built: Path, tmp_path: Path, streaming: bool) -> None:
    """``load_dataset(folder)`` gives the tars' rows and splits, also where a column is empty in the first rows."""
    export_dataset(built, "webdataset", tmp_path / "out")
    read = load_dataset(str(tmp_path / "out"), streaming=streaming)
    assert list(read) == ["train", "holdout"]
    for split, dataset in read.items():
        rows = read_rows(built, split)
        found = list(dataset.decode(False) if streaming else undecoded(dataset))
        assert [row["json"] for row in found] == [{**as_json(row), "image": "png"} for row in rows]
        images = [row["png"]["bytes"] if streaming else row["png"] for row in found]
        assert images == [row["image"] for row in rows]


def test_tars_are_reproducible_and_split(tmp_path: Path) -> None:
    """The same rows give the same tars, which hold 10,000 rows each, and a reader of all finds every row in order."""
    image = {"bytes": picture("red"), "path": "red.png"}
    rows = [{"prompt": str(number), "image": image} for number in range(10_001)]
    features = Features({"prompt": Value("string"), "image": Image()})
    dataset = write_dataset(tmp_path / "dataset", features, rows[:4_000], rows[4_000:])
    for name in "ab":
        export_dataset(dataset, "webdataset", tmp_path / name)
    tars = sorted(str(path) for path in (tmp_path / "a").glob("*.tar"))
    assert [Path(tar).name for tar in tars] == ["train-000000.tar", "train-000001.tar"]
    samples = list(webdataset.WebDataset(tars, shardshuffle=False))
    assert [int(sample["txt"]) for sample in samples] == list(range(10_001))
    first, second = digests(tmp_path / "a"), digests(tmp_path / "b")
    assert {name: first[name] for name in first if name != "README.md"} == {
        name: second[name] for name in second if name != "README.md"
    }


def test_the_webdataset_loader_reads_the_tars(tmp_path: Path) -> None:
    """``load_dataset("webdataset", ...)``, which guesses types from five rows, reads images, prompts and columns."""
    rows = [{"prompt": str(each), "image": {"bytes": picture("red"), "path": None}} for each in range(20)]
    features = Features({"prompt": Value("string"), "image": Image()})
    export_dataset(write_dataset(tmp_path / "dataset", features, rows), "webdataset", tmp_path / "out")
    read = load_dataset("webdataset", data_files={"train": str(tmp_path / "out" / "train-*.tar")})["train"]
    assert isinstance(read.features["png"], Image)
    assert [row["png"] for row in undecoded(read)] == [row["image"] for row in read_rows(tmp_path / "dataset")]
    assert read["txt"] == [row["prompt"] for row in rows]
    assert [row["prompt"] for row in read["json"]] == read["txt"]


@pytest.mark.parametrize("split", ["train", "holdout"])
def test_an_image_folder_has_the_same_rows_and_columns(built: Path, tmp_path: Path, split: str) -> None:
    """``load_dataset(folder)`` of an image folder gives the dataset's own rows, columns and types."""
    export_dataset(built, "imagefolder", tmp_path / "out")
    read = load_dataset(str(tmp_path / "out"))[split]
    assert read.features == load_dataset(str(built))[split].features
    assert list(undecoded(read)) == read_rows(built, split)


def test_the_imagefolder_loader_reads_it(built: Path, tmp_path: Path) -> None:
    """``load_dataset("imagefolder", data_dir=...)`` reads the train split, whose images are plain files."""
    export_dataset(built, "imagefolder", tmp_path / "out")
    read = load_dataset("imagefolder", data_dir=str(tmp_path / "out"))["train"]
    rows = read_rows(built)
    assert list(undecoded(read)) == rows
    files = sorted((tmp_path / "out" / "train").glob("*.png"))
    assert [path.read_bytes() for path in files] == [row["image"] for row in rows]


@pytest.mark.parametrize("split", ["train", "holdout"])
def test_lance_has_the_same_rows(built: Path, tmp_path: Path, split: str) -> None:
    """A Lance table gives the dataset's rows and types, an image as its bytes, and so does ``load_dataset``."""
    export_dataset(built, "lance", tmp_path / "out")
    table = lance.dataset(str(tmp_path / "out" / f"{split}.lance")).to_table()
    assert table.to_pylist() == read_rows(built, split)
    assert table.schema.field("image").type == pa.large_binary()
    read = load_dataset(str(tmp_path / "out"))[split]
    assert read.features == load_dataset(str(built))[split].features
    assert list(undecoded(read)) == read_rows(built, split)


@pytest.mark.parametrize("format_", ["imagefolder", "lance"])
def test_many_rows_keep_their_order(tmp_path: Path, format_: str) -> None:
    """Rows of several shards, more than are written at once, come back in their order, each with its own image."""
    colours = [f"#{number:06x}" for number in range(1_030)]
    rows = [{"prompt": colour, "image": {"bytes": picture(colour), "path": None}} for colour in colours]
    features = Features({"prompt": Value("string"), "image": Image()})
    dataset = write_dataset(tmp_path / "dataset", features, rows[:500], rows[500:])
    export_dataset(dataset, format_, tmp_path / "out")
    read = load_dataset(str(tmp_path / "out"))["train"]
    assert list(undecoded(read)) == [{**row, "image": row["image"]["bytes"]} for row in rows]


ODD = Features({"a b": Image(), "A/B": Image(), "shots": List(Image()), "prompt": Value("string"), "n": Value("int32")})


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Columns whose names look alike in a path, several formats, images and prompts that are not there."""
    red, blue, web = ({"bytes": picture("red", kind), "path": None} for kind in ("PNG", "JPEG", "WEBP"))
    rows: list[dict[str, Any]] = [
        {"a b": red, "A/B": blue, "shots": [red, web], "prompt": "one", "n": 1},
        {"a b": None, "A/B": red, "shots": [], "prompt": None, "n": None},
        {"a b": web, "A/B": None, "shots": [None, blue, red], "prompt": "three", "n": 3},
    ]
    return write_dataset(tmp_path / "odd", ODD, rows)


@pytest.mark.parametrize("format_", ["imagefolder", "lance"])
def test_several_columns_of_images_keep_their_rows(odd: Path, tmp_path: Path, format_: str) -> None:
    """Several columns of images, lists of them, mixed formats and missing images come back as they were."""
    export_dataset(odd, format_, tmp_path / "out")
    read = load_dataset(str(tmp_path / "out"))["train"]
    assert read.features == ODD
    assert list(undecoded(read)) == read_rows(odd)


def test_several_columns_of_images_are_named_in_the_json(odd: Path, tmp_path: Path) -> None:
    """In a tar the JSON names each image's file by column, with the extension of its real format."""
    export_dataset(odd, "webdataset", tmp_path / "out")
    samples = list(webdataset.WebDataset(str(tmp_path / "out" / "train-000000.tar"), shardshuffle=False))
    rows = [json.loads(sample["json"]) for sample in samples]
    assert [row["a b"] for row in rows] == ["a_b.png", None, "a_b.webp"]
    assert [row["A/B"] for row in rows] == ["a_b-2.jpg", "a_b-2.png", None]
    assert [row["shots"] for row in rows] == [
        ["shots.0.png", "shots.1.webp"],
        [],
        [None, "shots.1.jpg", "shots.2.png"],
    ]

    def image(sample: dict[str, Any], name: Any) -> Any:
        return [image(sample, each) for each in name] if isinstance(name, list) else name and sample[name]

    found = [
        {**row, **{name: image(sample, row[name]) for name in ("a b", "A/B", "shots")}}
        for row, sample in zip(rows, samples, strict=True)
    ]
    assert found == read_rows(odd)
    read = load_dataset(str(tmp_path / "out"))["train"]
    assert [row["json"] for row in read] == rows
    assert [row["a_b.webp"] for row in undecoded(read)] == [None, None, read_rows(odd)[2]["a b"]]


@given(st.lists(st.text(), unique=True))
def test_names_in_paths_are_safe_and_distinct(columns: list[str]) -> None:
    """Whatever columns are called, each has a name of its own without dot, slash or capital."""
    names = safe_names(columns)
    assert list(names) == columns
    assert len(set(names.values())) == len(columns)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-") for name in names.values())


def test_an_extension_is_that_of_the_bytes() -> None:
    """Extensions come from the bytes; what is no image is ``bin``."""
    kinds = ("PNG", "JPEG", "WEBP", "GIF")
    assert [extension_of(picture("red", kind)) for kind in kinds] == ["png", "jpg", "webp", "gif"]
    assert extension_of(b"<html>") == "bin"
