"""Where a dataset may be put: what would not load or is not ours to replace is told before anything is spent."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, load_dataset

from tasks_lib import Distiset
from tasks_lib.errors import OutputError
from tasks_lib.exports import export_dataset
from tasks_lib.folder import StagedFolder
from tasks_lib.gallery import write_gallery
from tests.built_folders import build_folder, build_recipe
from tests.recipes import FLAT, drawn_by

ODD = {
    "s3://key:secret@bucket/x": r"begins with s3:/, but a dataset goes into a local folder\. Choose another place",
    "a::b": r"a::b has '::' in its name, for which load_dataset would not find",
    "run[1]/shapes": r"has '\[' in its name",
    "run*": r"has '\*' in its name",
    "what?": r"has '\?' in its name",
    "~nobody-of-that-name/x": r"~nobody-of-that-name/x cannot be found: Could not determine home",
}


def build_at(place: str, prompts: Any = ("a cat",)) -> Distiset:
    return build_recipe(drawn_by(FLAT, list(prompts), output={"path": place}))


def prompts_in(place: str) -> list[str]:
    return list(load_dataset(place)["train"]["prompt"])


@pytest.mark.parametrize("place", ODD)
def test_a_place_that_would_not_load_is_refused(in_folder: Path, place: str) -> None:
    """A URL, a pattern and an unknown home are refused by build, export and Distiset, without the key in a URL."""
    dataset = build_folder(in_folder, ["a cat"], {"train": 1.0})
    before = sorted(in_folder.rglob("*"))
    for write in (
        lambda: build_at(place),
        lambda: export_dataset(dataset, "webdataset", place),
        lambda: Distiset(default=Dataset.from_dict({"n": [1]})).write_dataset_folder(place),
    ):
        with pytest.raises(OutputError, match=ODD[place]) as caught:
            write()
        assert "secret" not in str(caught.value)
    assert sorted(in_folder.rglob("*")) == before


def test_a_tilde_is_the_home_folder(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` in an output is the home folder, as in a shell."""
    monkeypatch.setenv("HOME", str(in_folder / "home"))
    assert build_at("~/shapes").report.folder == str(in_folder / "home" / "shapes")  # type: ignore[union-attr]
    assert not Path("~").exists()


def test_a_link_stays_and_its_folder_gets_the_dataset(in_folder: Path) -> None:
    """Through a link to a folder, empty at first, builds replace the dataset in that folder, and the link stays."""
    Path("disk/shapes").mkdir(parents=True)
    Path("link").symlink_to("disk/shapes")
    for prompt in ("a cat", "a dog"):
        build_at("link", [prompt])
        assert Path("link").is_symlink() and not Path("disk/shapes").is_symlink()
        assert prompts_in("link") == prompts_in("disk/shapes") == [prompt]


def test_links_in_a_circle_are_told(in_folder: Path) -> None:
    """An output that leads to itself is told in a sentence."""
    Path("link").symlink_to("link")
    with pytest.raises(OutputError, match=r"link' cannot be written: "):
        build_at("link")


def test_a_mounted_volume_is_refused_at_once(in_folder: Path) -> None:
    """What no folder can take the place of, such as a volume of a container, is told before the first call."""
    with pytest.raises(OutputError, match=r"/ is where a disk or volume is mounted.* Name a folder in it"):
        build_at("/")
    assert not Path("store").exists()


def test_a_folder_that_cannot_be_put_in_place_is_told(in_folder: Path) -> None:
    """Where the last step fails, the message says why, and that what was paid for is kept."""
    staged = StagedFolder("shapes")
    shutil.rmtree(staged.path)
    with pytest.raises(OutputError, match=r"cannot be put at .*shapes: .*No such file.* is in the store"):
        staged.put_in_place()
    staged.abandon()


def test_what_comes_while_a_build_is_at_work_is_kept(in_folder: Path) -> None:
    """A folder that somebody puts at the output meanwhile is theirs, and no dataset takes its place."""
    staged = StagedFolder("shapes")
    Path("shapes").mkdir()
    Path("shapes/thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="shapes is a folder with other things in it"):
        staged.put_in_place()
    staged.abandon()
    assert Path("shapes/thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("mine", ["labels.csv", ".git/HEAD", "data/notes.txt", "data/more/train-0-of-1.parquet"])
def test_files_of_the_user_are_never_replaced(in_folder: Path, mine: str) -> None:
    """A file that imageloom did not write into a dataset's folder is named and kept; once it is moved, builds go on."""
    build_at("shapes")
    thesis = Path("shapes", mine)
    thesis.parent.mkdir(parents=True, exist_ok=True)
    thesis.write_text("mine")
    before = sorted(Path("store").rglob("*"))
    with pytest.raises(OutputError, match=rf"with it {mine}, which imageloom did not write\. Move that elsewhere"):
        build_at("shapes", ["a dog"])
    assert thesis.read_text() == "mine" and sorted(Path("store").rglob("*")) == before
    thesis.rename("mine")
    build_at("shapes", ["a dog"])
    assert prompts_in("shapes") == ["a dog"]


def test_a_link_of_the_user_is_never_replaced(in_folder: Path) -> None:
    """A link that somebody put beside the shards counts as theirs, also one to a folder."""
    build_at("shapes")
    Path("shapes/scans").symlink_to(in_folder)
    with pytest.raises(OutputError, match="with it scans, which"):
        build_at("shapes")


def test_what_our_tools_write_is_replaced(in_folder: Path) -> None:
    """A gallery, samples, every config's shards and what a file manager or an upload leaves are no reason to refuse."""
    prompts = ["a cat", ""]
    recipe = drawn_by(FLAT, prompts, checks={"min_side": 999}, limits={"max_failure_rate": 1.0})
    build_at("dataset")
    write_gallery(Path("dataset"))
    Path("dataset/data/.DS_Store").write_text("")
    Path("dataset/.cache/huggingface").mkdir(parents=True)
    for name in (".cache/huggingface/upload", ".gitattributes", "._README.md"):
        Path("dataset", name).write_text("")
    build_recipe(recipe)
    assert {"failed", "rejected"} <= {path.name for path in Path("dataset").iterdir()}
    build_at("dataset")
    assert prompts_in("dataset") == ["a cat"]
