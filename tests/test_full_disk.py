"""A full disk under the dataset: one clear error, whatever was being written, and nothing paid for is lost."""

import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from datasets import Dataset, Features, Value, load_dataset

from tasks_lib import Distiset, ImageStore
from tasks_lib.errors import OutputError
from tasks_lib.parquet_shards import ParquetShards
from tests.built_folders import build_recipe
from tests.command import imageloom
from tests.endpoint import Endpoint
from tests.recipes import recipe_for

pytest_plugins = ["tests.small_disk"]

ROWS = 12


def recipe_on(disk: Path) -> dict[str, Any]:
    """A recipe that writes twelve images of 40 KB to the disk; its store is elsewhere."""
    with Endpoint(image_bytes=40_000) as endpoint:
        prompts = [f"image {number}" for number in range(ROWS)]
        recipe = recipe_for(endpoint, prompts, output={"path": str(disk / "dataset")}, marking="none")
        build_recipe({**recipe, "output": {"path": "elsewhere"}})
    # From here on nobody answers: what a build needs is in the store.
    return recipe


def leave(disk: Path, room: int) -> None:
    """Fill the disk but for so many bytes."""
    (disk / "ballast").unlink(missing_ok=True)
    (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - room))


@pytest.mark.usefixtures("in_folder")
def test_wherever_a_disk_is_full(small_disk: Path) -> None:
    """Whether ledger, shards, card or gallery find the disk full, the error says so and nothing is left behind."""
    recipe, room = recipe_on(small_disk), 0
    while not (small_disk / "dataset").exists():
        leave(small_disk, room)
        try:
            build_recipe(recipe)
        except OutputError as error:
            assert f"cannot be written to {small_disk}/dataset: " in str(error)
            assert "No space left on device. Make room there" in str(error)
            assert [path.name for path in small_disk.iterdir()] == ["ballast"]
            room += 60_000
    assert room > 8 * 60_000
    assert len(load_dataset(str(small_disk / "dataset"), split="train")) == ROWS


def test_a_build_on_a_full_disk_is_one_sentence(small_disk: Path, prefect_server: None, in_folder: Path) -> None:
    """The command ends in one sentence and with exit code 2; with room it builds what is in the store."""
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe_on(small_disk)))
    leave(small_disk, 200_000)
    done = imageloom("build", "recipe.yaml")
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("imageloom: ")]
    assert "No space left on device. Make room there, or choose another place" in line
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (2, "", False)
    (small_disk / "ballast").unlink()
    assert imageloom("build", "recipe.yaml").returncode == 0
    assert ImageStore("store").stats().images == ROWS


def test_a_distiset_on_a_full_disk(small_disk: Path) -> None:
    """Writing a Distiset as a dataset folder tells of a full disk in the same way, and ends nothing else."""
    chance = random.Random(7)
    distiset = Distiset({"default": Dataset.from_dict({"data": [chance.randbytes(300_000) for _ in range(20)]})})
    with pytest.raises(OutputError, match="No space left on device"):
        distiset.write_dataset_folder(small_disk / "dataset")


@pytest.mark.parametrize(("size", "at_end"), [(2_000_000, False), (10, True)])
def test_a_shard_that_is_not_whole_is_told(small_disk: Path, size: int, at_end: bool) -> None:
    """A shard of which anything is not on the disk is an error, at the row group or at its end, whatever fits later."""
    shards = ParquetShards(small_disk, "train", Features({"data": Value("binary")}))
    leave(small_disk, 0)
    group = pa.table({"data": [random.Random(7).randbytes(size)]})
    if at_end:
        shards.write(group, size)
    with pytest.raises(OSError, match="No space left on device"):
        shards.close() if at_end else shards.write(group, size)
    shards.abandon()
