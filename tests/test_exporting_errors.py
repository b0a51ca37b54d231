"""What an export refuses, and that nothing is left of one that did not end."""

import os
import resource
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import DatasetDict, Features, Image, List, Value, load_dataset

from tasks_lib.errors import MissingExtraError, OutputError, UsageError
from tasks_lib.exports import ExportFormat, export_dataset
from tests.built_folders import build_folder, picture, write_dataset

FORMATS = [str(each) for each in ExportFormat]


@pytest.fixture(scope="module")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prompts = [*(f"a red circle {number}" for number in range(40)), ""]
    return build_folder(tmp_path_factory.mktemp("built"), prompts, {"train": 1.0, "test": 0.0})


@pytest.fixture
def dataset(built_once: Path, tmp_path: Path) -> Path:
    """A dataset of the test's own, alone in its folder."""
    return Path(shutil.copytree(built_once, tmp_path / "shapes"))


def left_beside(dataset: Path) -> set[str]:
    return {path.name for path in dataset.parent.iterdir()} - {dataset.name}


@pytest.mark.parametrize("format_", FORMATS)
def test_an_export_goes_beside_the_dataset(dataset: Path, format_: str) -> None:
    """Without an output the export stands beside the dataset under its name and the format's; empty splits are out."""
    report = export_dataset(dataset, format_)
    assert left_beside(dataset) == {f"shapes-{format_}"}
    assert report.folder == str(dataset.with_name(f"shapes-{format_}"))
    assert (report.rows, report.images) == ({"train": 40}, 40)
    assert report.headline.startswith("exported 40 rows with 40 images, 0.1 MB, to ")
    assert load_dataset(report.folder).num_rows == {"train": 40}


@pytest.mark.filterwarnings(r"ignore:unclosed file .*\.tar:ResourceWarning")  # webdataset leaves it to the collector
@pytest.mark.parametrize("format_", FORMATS)
def test_what_is_said_of_an_export_reads_it(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    """The lines of the report read the rows where the export is, those of its card in the folder that holds it."""
    report = export_dataset(dataset, format_, tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    in_card = Path("out/README.md").read_text().split("```python\n")[1:]
    for lines in (report.loading, *(block.partition("```")[0] for block in in_card)):
        names: dict[str, Any] = {}
        exec(lines, names)
        read = names["dataset"]
        assert count(read["train"] if isinstance(read, DatasetDict) else read) == 40


def count(read: Any) -> int:
    return read.count_rows() if hasattr(read, "count_rows") else sum(1 for _ in read)


@pytest.mark.parametrize("format_", FORMATS)
def test_a_config_without_images_is_refused(dataset: Path, format_: str) -> None:
    """A config in which no row has an image is refused, by its name."""
    with pytest.raises(OutputError, match=r"config 'failed' of .* holds no image"):
        export_dataset(dataset, format_, config="failed")
    assert not left_beside(dataset)


def test_mistakes_are_told(dataset: Path, tmp_path: Path) -> None:
    """An unknown format, folder or config, and a folder that is no dataset, are told by name."""
    with pytest.raises(UsageError, match=r"no export to 'tfrecord'\. Choose one of webdataset, imagefolder, lance"):
        export_dataset(dataset, "tfrecord")
    with pytest.raises(OutputError, match=r"no folder .*nowhere"):
        export_dataset(tmp_path / "nowhere", "webdataset")
    with pytest.raises(OutputError, match=r"has no config 'rejected'; it has default, failed\."):
        export_dataset(dataset, "webdataset", config="rejected")
    (dataset / "README.md").unlink()
    with pytest.raises(OutputError, match=r"not a finished dataset folder: it has no README\.md"):
        export_dataset(dataset, "webdataset")
    (tmp_path / "empty").mkdir()
    with pytest.raises(OutputError, match="not a finished dataset folder"):
        export_dataset(tmp_path / "empty", "webdataset")


@pytest.mark.parametrize("format_", FORMATS)
def test_a_damaged_shard_is_named(dataset: Path, format_: str) -> None:
    """A shard whose pages are damaged is named, and nothing is left of the export."""
    shard = dataset / "data" / "train-00000-of-00001.parquet"
    shard.write_bytes(b"PAR1" + b"\xff" * 4000 + shard.read_bytes()[4004:])
    with pytest.raises(OutputError, match=r"shard .*train-00000-of-00001\.parquet cannot be read"):
        export_dataset(dataset, format_)
    assert not left_beside(dataset)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_missing_shards_are_counted(tmp_path: Path, missing: int) -> None:
    """A dataset of which not all shards are there is refused."""
    rows = [{"image": {"bytes": picture("red"), "path": None}}]
    dataset = write_dataset(tmp_path / "shapes", Features({"image": Image()}), rows, rows, rows)
    (dataset / "data" / f"train-{missing:05d}-of-00003.parquet").unlink()
    with pytest.raises(OutputError, match="2 found, 3 expected"):
        export_dataset(dataset, "webdataset")


def test_an_image_that_the_shards_do_not_hold_is_told(tmp_path: Path) -> None:
    """Where a shard names an image's file without its bytes, the export stops and names it."""
    rows = [{"image": {"bytes": None, "path": "/elsewhere/red.png"}}]
    dataset = write_dataset(tmp_path / "shapes", Features({"image": Image()}), rows)
    for format_ in FORMATS:
        with pytest.raises(OutputError, match=r"name the image '/elsewhere/red\.png'"):
            export_dataset(dataset, format_)


@pytest.mark.parametrize(
    ("format_", "column"), [("imagefolder", "file_name"), ("imagefolder", "mask_file_names"), ("lance", "a.b")]
)
def test_a_column_that_a_format_cannot_hold_is_refused(tmp_path: Path, format_: str, column: str) -> None:
    """A column whose name means something else to the format's reader is refused with the way out; tars take any."""
    rows = [{column: "x", "image": {"bytes": picture("red"), "path": None}}]
    features = Features({column: Value("string"), "image": Image()})
    dataset = write_dataset(tmp_path / "shapes", features, rows)
    with pytest.raises(OutputError, match=f"'{column}'.*export to webdataset"):
        export_dataset(dataset, format_)
    export_dataset(dataset, "webdataset")


def test_a_field_that_would_be_taken_for_an_image_is_refused(tmp_path: Path) -> None:
    """An image folder takes no struct or list with a field that its reader would take for the name of an image."""
    image = {"bytes": picture("red"), "path": None}
    for number, boxes in enumerate(({"file_name": Value("string")}, List({"file_name": Value("string")}))):
        rows = [{"boxes": {"file_name": "x"} if number == 0 else [{"file_name": "x"}], "image": image}]
        dataset = write_dataset(tmp_path / f"shapes{number}", Features({"boxes": boxes, "image": Image()}), rows)
        with pytest.raises(OutputError, match="'file_name'"):
            export_dataset(dataset, "imagefolder")


def test_an_export_replaces_nothing(dataset: Path, tmp_path: Path) -> None:
    """A folder with anything in it, a file and the dataset itself stay as they are."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    for taken in ("mine", "mine/thesis.txt", "shapes", "."):
        with pytest.raises(OutputError, match=r"there is something in|lies in the dataset"):
            export_dataset(dataset, "webdataset", tmp_path / taken)
    with pytest.raises(OutputError, match="lies in the dataset"):
        export_dataset(dataset, "webdataset", dataset / "tars")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "mine"
    assert left_beside(dataset) == {"mine"}
    assert not (dataset / "tars").exists()


@pytest.mark.parametrize("format_", FORMATS)
def test_a_folder_that_fills_up_meanwhile_is_left_alone(dataset: Path, tmp_path: Path, format_: str) -> None:
    """What comes into the output folder while the export runs is not replaced."""
    mine = tmp_path / "out" / "thesis.txt"

    def on_rows(done: int, total: int) -> None:
        mine.parent.mkdir(exist_ok=True)
        mine.write_text("mine")

    with pytest.raises(OutputError, match="there is something in"):
        export_dataset(dataset, format_, mine.parent, on_rows=on_rows)
    assert mine.read_text() == "mine"
    assert left_beside(dataset) == {"out"}


@pytest.mark.parametrize("format_", FORMATS)
def test_two_builds_are_never_mixed(dataset: Path, built_once: Path, format_: str) -> None:
    """An export during which a build replaces the dataset fails, and nothing is left of it."""

    def on_rows(done: int, total: int) -> None:
        if done == total:
            shutil.rmtree(dataset)
            shutil.copytree(built_once, dataset)

    with pytest.raises(OutputError, match="a build replaced the dataset"):
        export_dataset(dataset, format_, on_rows=on_rows)
    assert not left_beside(dataset)


@pytest.mark.parametrize("format_", FORMATS)
def test_a_full_disk_is_told(tmp_path: Path, format_: str) -> None:
    """Where the disk takes no more the export says so, and nothing is left of it."""
    rows = [{"prompt": os.urandom(40_000).hex(), "image": {"bytes": picture("red"), "path": None}}] * 3
    dataset = write_dataset(tmp_path / "shapes", Features({"prompt": Value("string"), "image": Image()}), rows)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow beyond it; writing answers as a full disk does, with another number.
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot be written to .*File too large"):
            export_dataset(dataset, format_)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not left_beside(dataset)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("kind", [KeyboardInterrupt, ZeroDivisionError])
def test_an_export_that_is_stopped_leaves_nothing(dataset: Path, format_: str, kind: type[BaseException]) -> None:
    """Ctrl-C, or a mistake in ``on_rows``, ends the export as itself, and nothing is left of it."""
    told: list[tuple[int, int]] = []

    def on_rows(done: int, total: int) -> None:
        told.append((done, total))
        raise kind

    with pytest.raises(kind):
        export_dataset(dataset, format_, on_rows=on_rows)
    assert told == [(16, 40)]
    assert not left_beside(dataset)


def test_a_missing_extra_is_named(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pylance an export to Lance says what to install."""
    monkeypatch.setitem(sys.modules, "lance", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'imageloom\[lance\]'"):
        export_dataset(dataset, "lance")
    assert not left_beside(dataset)
