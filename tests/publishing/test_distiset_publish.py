"""A Distiset on its way to the Hub: the folder of its build, or what was made of it since."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from datasets import DatasetDict, Image

from tasks_lib import Distiset, ImageStore
from tasks_lib.distiset.built_folder import holds_still
from tasks_lib.errors import MissingSecretError, UsageError
from tasks_lib.marking import UNTRAINED_SOURCE_TYPE
from tests.distisets import built, made_by_hand
from tests.hub_repository import TOKEN, HubRepository

# The library sends files by a name of the parameter that its own client has given up.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

NAME = "me/shapes"
READ = """
from datasets import get_dataset_config_names, load_dataset
for config in get_dataset_config_names("me/shapes"):
    for split, rows in load_dataset("me/shapes", config).items():
        print(config, split, [row["image"] and row["image"].getpixel((0, 0)) for row in rows])
"""


def paths_of(hub: HubRepository) -> set[str]:
    return set(hub.repositories[NAME].at("main")[1])


def same(distiset: Distiset) -> bool:
    assert distiset.report is not None
    return holds_still(distiset.report, distiset)


def test_a_build_is_published_as_its_folder(tmp_path: Path, hub: HubRepository) -> None:
    """What a build gave is published with its card, gallery, recipe and ledger, byte for byte."""
    distiset = built(tmp_path)
    report = distiset.push_to_hub(NAME, private=True, endpoint=hub.url)
    assert report.changed and hub.repositories[NAME].private
    assert {"README.md", "gallery.html", "recipe.yaml", "ledger.parquet"} <= paths_of(hub)
    _, files = hub.repositories[NAME].at("main")
    shard = "data/train-00000-of-00001.parquet"
    assert files[shard].content == (tmp_path / "dataset" / shard).read_bytes()


def test_nothing_is_sent_in_a_dry_run(tmp_path: Path, hub: HubRepository) -> None:
    """Settings of the publication are handed on: a dry run changes nothing."""
    assert built(tmp_path).push_to_hub(NAME, endpoint=hub.url, dry_run=True).dry_run
    assert not hub.writes


def test_anything_else_is_written_and_published(tmp_path: Path, hub: HubRepository) -> None:
    """A Distiset made by hand is published with its images inside, and every config loads from the Hub."""
    distiset = made_by_hand(ImageStore(tmp_path / "store"))
    distiset.push_to_hub(NAME, endpoint=hub.url)
    place = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", READ], env=place, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == [
        "default train [(255, 0, 0), (0, 255, 0), (0, 0, 255)]",
        "default test [None, (255, 255, 255)]",
        "failed train [None]",
    ], done.stderr


def test_publishing_again_sends_nothing(tmp_path: Path, hub: HubRepository) -> None:
    """The same Distiset published twice makes one commit."""
    distiset = made_by_hand(ImageStore(tmp_path / "store"))
    distiset.push_to_hub(NAME, endpoint=hub.url)
    assert not distiset.push_to_hub(NAME, endpoint=hub.url).changed


def split_again(distiset: Distiset) -> None:
    distiset.train_test_split(0.5)


def filtered(distiset: Distiset) -> None:
    distiset["default"]["train"] = distiset["default"]["train"].select([2, 0])


def without_a_column(distiset: Distiset) -> None:
    distiset["default"] = distiset["default"].remove_columns("error")


def with_images_of_another_column(distiset: Distiset) -> None:
    rows = distiset["default"]["train"]
    distiset["default"]["train"] = rows.add_column("other", [None] * len(rows))
    distiset.transform_columns_to_image("other")


def with_another_config(distiset: Distiset) -> None:
    distiset["more"] = DatasetDict(distiset["default"])


def without_a_config(distiset: Distiset) -> None:
    del distiset["default"]


def with_another_split(distiset: Distiset) -> None:
    distiset["default"]["test"] = distiset["default"].pop("train")


@pytest.mark.parametrize(
    "change",
    [
        split_again,
        filtered,
        without_a_column,
        with_images_of_another_column,
        with_another_config,
        without_a_config,
        with_another_split,
    ],
)
def test_a_change_is_noticed(tmp_path: Path, change: Callable[[Distiset], None]) -> None:
    """What was changed after the build is not taken for what its folder holds."""
    distiset = built(tmp_path)
    assert same(distiset)
    change(distiset)
    assert not same(distiset)


def test_looking_changes_nothing(tmp_path: Path) -> None:
    """Copies, transforming again and looking leave it what its folder holds, whatever its configs are."""
    distiset = built(tmp_path, checks={"min_side": 64})
    assert set(distiset) == {"rejected"}
    assert distiset.transform_columns_to_image("image")._repr_html_()
    assert same(distiset) and same(distiset.copy())


def test_another_build_in_the_folder_is_noticed(tmp_path: Path) -> None:
    """When the folder holds another build's dataset, or none, it is not published for the first one."""
    first = built(tmp_path)
    second = built(tmp_path, seed=8)
    assert not same(first) and same(second)
    (tmp_path / "dataset").rename(tmp_path / "moved")
    assert not same(second)


@pytest.mark.parametrize("marking", ["iptc", "none"])
def test_what_was_split_after_a_build_is_marked_as_its_folder_is(tmp_path: Path, marking: str) -> None:
    """Images of a Distiset that was changed are written and saved with the marking of the recipe, pixels untouched."""
    distiset = built(tmp_path, marking=marking).train_test_split(0.5, shuffle=False)
    distiset.write_dataset_folder(tmp_path / "written")
    distiset.save_to_disk(tmp_path / "saved")
    for found in (Distiset.load_from_disk(tmp_path / "written"), Distiset.load_from_disk(tmp_path / "saved")):
        rows = found["default"]["train"].cast_column("image", Image(decode=False))["image"]
        assert {UNTRAINED_SOURCE_TYPE.encode() in row["bytes"] for row in rows} == {marking == "iptc"}
        pixels = [image.tobytes() for image in distiset["default"]["train"]["image"]]
        assert [image.tobytes() for image in found["default"]["train"]["image"]] == pixels


def test_signed_images_are_taken_from_their_folder(tmp_path: Path) -> None:
    """Of a build whose images are signed, nothing unsigned is written; the error says where the signed ones are."""
    distiset = built(tmp_path).train_test_split(0.5)
    assert distiset.report is not None
    distiset.report = replace(distiset.report, marking="c2pa")
    with pytest.raises(UsageError, match=r"signed in its folder only.*Distiset\.load_from_disk"):
        distiset.write_dataset_folder(tmp_path / "written")
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize(("name", "token", "error"), [("shapes", TOKEN, UsageError), (NAME, None, MissingSecretError)])
def test_what_cannot_work_is_told_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, token: str | None, error: type[Exception]
) -> None:
    """A name that cannot be, or a missing token, is an error before any image is read."""
    distiset = made_by_hand(ImageStore(tmp_path / "store"))
    for path in (tmp_path / "store").rglob("*.png"):
        path.unlink()
    with pytest.raises(error):
        distiset.push_to_hub(name, token=token)
