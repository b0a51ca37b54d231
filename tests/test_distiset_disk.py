"""A Distiset saved and loaded: in a folder, in memory, on S3; whole, or told to be not."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from datasets import Dataset, DatasetDict, Features, Image, disable_progress_bars, enable_progress_bars

from tasks_lib import Distiset, ImageStore
from tasks_lib.errors import ImageCellError, OutputError, UsageError
from tests.distisets import built, made_by_hand, png, rows_of

pytest_plugins = ["tests.store_locations"]

SAVE_FOR_EVER = """
import os, sys
from datasets import Dataset, Features, Image
from tasks_lib import Distiset
cells = [{"bytes": b"0", "path": None}] * 200 + [{"bytes": None, "path": sys.argv[1]}]
rows = Dataset.from_dict({"image": cells}, features=Features({"image": Image()}))
try:
    Distiset(first=rows.select(range(3)), second=rows).save_to_disk(sys.argv[2])
finally:  # a pipe that nobody reads would hold up the test
    os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK)
"""


def content(distiset: Distiset) -> dict[str, Any]:
    """Every row of every split, images as bytes."""
    splits = {config: value if isinstance(value, dict) else {None: value} for config, value in distiset.items()}
    return {config: {split: rows_of(rows) for split, rows in each.items()} for config, each in splits.items()}


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lost(path: Path) -> Dataset:
    """An image that is not where its row says."""
    return Dataset.from_dict({"image": [{"bytes": None, "path": str(path)}]}, features=Features({"image": Image()}))


def test_it_comes_back_whole(tmp_path: Path, location: str) -> None:
    """Configs, splits, rows, images, citations and report come back from every kind of place, without the store."""
    distiset = made_by_hand(ImageStore(tmp_path / "images"))
    distiset.report = built(tmp_path / "built", marking="none").report
    expected = content(distiset)
    distiset.save_to_disk(f"{location}-saved")
    shutil.rmtree(tmp_path / "images")
    loaded = Distiset.load_from_disk(f"{location}-saved")
    assert content(loaded) == expected
    assert isinstance(loaded["failed"], Dataset) and isinstance(loaded["default"], DatasetDict)
    assert (loaded.citations, loaded.report) == (distiset.citations, distiset.report)
    assert loaded["default"]["train"][2]["image"].getpixel((0, 0)) == (0, 0, 255)


def test_images_of_any_store_are_put_in(location: str, tmp_path: Path) -> None:
    """Images that lie in a store of any kind are in what was saved."""
    distiset = made_by_hand(ImageStore(location))
    distiset.save_to_disk(tmp_path / "saved")
    files = fsspec.core.url_to_fs(location)[0]
    files.rm(location, recursive=True)
    rows = rows_of(Distiset.load_from_disk(tmp_path / "saved")["default"]["test"])
    assert [row["image"] for row in rows] == [None, png("white")]
    assert rows[0]["many"] == [png(colour) for colour in ("red", "lime", "blue", "white", "black")]


@pytest.fixture
def s3_forgotten() -> Iterator[None]:
    """File systems made without an environment are not used by the next test."""
    yield
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_storage_options_say_the_way(
    s3_server: str, s3_forgotten: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With storage options alone it goes to S3 and back; without them, the error says that they are missing."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    options = {"key": "test", "secret": "test", "client_kwargs": {"endpoint_url": s3_server, "region_name": "eu"}}
    bucket = tmp_path.name.replace("_", "-").lower()
    fsspec.filesystem("s3", **options).mkdir(bucket)
    distiset = Distiset(default=Dataset.from_dict({"n": [1, 2]}))
    distiset.save_to_disk(f"s3://{bucket}/saved", storage_options=options)
    assert Distiset.load_from_disk(f"s3://{bucket}/saved", storage_options=options)["default"]["n"][:] == [1, 2]
    with pytest.raises(OutputError, match=r"cannot be loaded from s3://.*credentials\. Keys and endpoints come from"):
        Distiset.load_from_disk(f"s3://{bucket}/saved")


def test_files_are_used_where_they_lie(tmp_path: Path) -> None:
    """A loaded dataset is mapped from the files that were saved, which are as large as its images."""
    rows = Dataset.from_dict({"image": [os.urandom(100_000)] * 10}).cast_column("image", Image())
    Distiset(default=rows).save_to_disk(tmp_path / "saved")
    loaded = Distiset.load_from_disk(tmp_path / "saved")["default"]
    assert [Path(each["filename"]).parent for each in loaded.cache_files] == [tmp_path / "saved/default"]
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 1_010_000
    in_memory = Distiset.load_from_disk(tmp_path / "saved", keep_in_memory=True)["default"]
    assert not in_memory.cache_files and in_memory.data.nbytes > 1_000_000


def test_a_place_in_use_is_left_alone(location: str) -> None:
    """Where there is something, nothing is saved and nothing is changed."""
    first = Distiset(default=Dataset.from_dict({"n": [1]}))
    first.save_to_disk(location)
    with pytest.raises(OutputError, match="never replaces anything"):
        Distiset(default=Dataset.from_dict({"n": [2]})).save_to_disk(location)
    assert Distiset.load_from_disk(location)["default"]["n"][:] == [1]


def test_a_killed_save_leaves_nothing(tmp_path: Path) -> None:
    """A save killed -9 in the middle leaves nothing at its place, and the next one there takes its leftovers away."""
    pipe, place = tmp_path / "pipe.png", tmp_path / "saved"
    os.mkfifo(pipe)
    saving = subprocess.Popen([sys.executable, "-c", SAVE_FOR_EVER, pipe, place])
    with pipe.open("wb"):  # opens when the last image is being read
        assert list(tmp_path.glob(".saved.building-*/first/state.json"))
        saving.kill()
        saving.wait(30)
    assert not place.exists()
    Distiset(default=Dataset.from_dict({"n": [1]})).save_to_disk(place)
    assert {path.name for path in tmp_path.iterdir()} == {"pipe.png", "saved"}


def test_a_save_that_failed_leaves_nothing(tmp_path: Path) -> None:
    """Where an image is gone, the error names it, and nothing is left behind."""
    with pytest.raises(ImageCellError, match=r"cannot be read: .*gone\.png"):
        Distiset(default=lost(tmp_path / "gone.png")).save_to_disk(tmp_path / "saved")
    assert not list(tmp_path.iterdir())


def test_half_of_one_is_told(tmp_path: Path) -> None:
    """What a save that ended early left on object storage is named as not whole, with what it lacks."""
    fsspec.filesystem("memory").store.clear()
    rows = Dataset.from_dict({"image": [png()]}).cast_column("image", Image())
    distiset = Distiset(default=DatasetDict(train=rows, test=lost(tmp_path / "gone.png")))
    with pytest.raises(ImageCellError):
        distiset.save_to_disk("memory://half")
    with pytest.raises(OutputError, match=r"not whole: of 2 splits, default/test is missing\. Saving it did not end"):
        Distiset.load_from_disk("memory://half")


def test_what_distilabel_saved_is_loaded(tmp_path: Path) -> None:
    """A Distiset saved by distilabel, whose folders say nothing about each other, is loaded."""
    rows = Dataset.from_dict({"n": [1, 2]})
    disable_progress_bars()
    DatasetDict(train=rows).save_to_disk(tmp_path / "saved/step_a")
    rows.save_to_disk(tmp_path / "saved/step_b")
    enable_progress_bars()
    (tmp_path / "saved/distiset_configs").mkdir()
    (tmp_path / "saved/distiset_configs/README.md").write_text("a card")
    loaded = Distiset.load_from_disk(tmp_path / "saved")
    assert content(loaded) == {"step_a": {"train": [{"n": 1}, {"n": 2}]}, "step_b": {None: [{"n": 1}, {"n": 2}]}}


def test_datasets_loads_each_config(tmp_path: Path) -> None:
    """Each config is a folder that ``datasets`` itself loads, with split, description and format."""
    from datasets import load_from_disk

    rows = Dataset.from_dict({"n": [1], "m": [2]}, split="train")
    rows.info.description = "told"
    Distiset(default=rows.with_format("numpy", columns=["n"])).save_to_disk(tmp_path / "saved")
    loaded = load_from_disk(tmp_path / "saved/default")
    assert (str(loaded.split), loaded.info.description, loaded.format["type"]) == ("train", "told", "numpy")
    assert list(loaded[0]) == ["n"]


def test_a_format_that_is_a_function_is_left_behind(tmp_path: Path) -> None:
    """A dataset with a transform is saved as its rows are."""
    rows = Dataset.from_dict({"n": [1]}).with_transform(lambda batch: {"n": [2]})
    Distiset(default=rows).save_to_disk(tmp_path / "saved")
    assert Distiset.load_from_disk(tmp_path / "saved")["default"][0] == {"n": 1}


def test_a_dataset_folder_is_loaded(tmp_path: Path) -> None:
    """The folder of a build, or any with a card and shards, is loaded with all its configs."""
    made_by_hand(ImageStore(tmp_path / "store")).write_dataset_folder(tmp_path / "folder")
    loaded = Distiset.load_from_disk(tmp_path / "folder")
    assert {config: list(splits) for config, splits in loaded.items()} == {
        "default": ["train", "test"],
        "failed": ["train"],
    }
    assert loaded["default"]["train"][0]["image"].getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("place", "error", "said"),
    [
        ("nowhere", OutputError, "no folder at .*nowhere"),
        ("file", OutputError, "no folder at .*file"),
        ("empty", OutputError, "holds no Distiset"),
        ("memory://nowhere", OutputError, "no folder at memory://nowhere"),
        ("memory://shards", OutputError, r"is a dataset folder \(Parquet\), which is loaded from a local folder only"),
        ("no-such-kind://x", OutputError, "cannot be loaded from no-such-kind://x: Protocol not known"),
        ("abfs://x/y", UsageError, "A Distiset at abfs://.*not installed: .*adlfs"),
    ],
)
def test_what_is_none_is_told(in_folder: Path, place: str, error: type[Exception], said: str) -> None:
    """Loading what is no Distiset is one sentence that says what was found."""
    Path("file").touch()
    Path("empty").mkdir()
    fsspec.filesystem("memory").store.clear()
    fsspec.filesystem("memory").pipe_file("/shards/data/train-00000-of-00001.parquet", b"")
    with pytest.raises(error, match=said):
        Distiset.load_from_disk(place)


@pytest.mark.parametrize(
    ("configs", "said"),
    [
        ({}, "has no config"),
        ({"a/b": ["train"]}, "the config 'a/b' cannot be a folder's name"),
        ({"..": ["train"]}, r"the config '\.\.' cannot be"),
        ({"a": ["my-split"]}, "no split 'my-split'"),
        ({"a": []}, "the config 'a' has no split"),
        ({"distiset_configs": ["train"]}, "the name of a folder that every save has"),
    ],
)
def test_names_that_would_not_load_are_refused(in_folder: Path, configs: dict[str, list[str]], said: str) -> None:
    """A Distiset that could not be loaded again is refused before anything is written."""
    rows = Dataset.from_dict({"n": [1]})
    distiset = Distiset({config: DatasetDict(dict.fromkeys(splits, rows)) for config, splits in configs.items()})
    with pytest.raises(UsageError, match=said):
        distiset.save_to_disk("saved")
    assert not list(in_folder.iterdir())


def test_a_place_that_cannot_be_written_is_told(in_folder: Path) -> None:
    """A file where a folder goes is one sentence, and the file stays."""
    Path("file").write_text("mine")
    with pytest.raises(OutputError, match="file"):
        Distiset(default=Dataset.from_dict({"n": [1]})).save_to_disk("file/saved")
    with pytest.raises(OutputError, match="file"):
        Distiset(default=Dataset.from_dict({"n": [1]})).save_to_disk("file")
    assert Path("file").read_text() == "mine"


def test_it_goes_with_a_card(tmp_path: Path) -> None:
    """A card beside the datasets names place, splits, columns and citations, unless it is not wanted."""
    distiset = made_by_hand(ImageStore(tmp_path / "store"))
    distiset.save_to_disk(tmp_path / "saved")
    card = (tmp_path / "saved/distiset_configs/README.md").read_text()
    for part in ('Distiset.load_from_disk("saved")', "| `default` | `train` | 3 |", "| `many` | `list of Image` |"):
        assert part in card
    assert "```bibtex\n@misc{shapes, title={Shapes}}\n```" in card
    distiset.save_to_disk(tmp_path / "plain", save_card=False)
    assert "distiset_configs/README.md" not in files_below(tmp_path / "plain")
