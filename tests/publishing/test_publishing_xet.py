"""Publishing by the Xet protocol, as the real ``hf_xet`` speaks it: what arrives, and what a killed run sends again."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub_repository import TOKEN
from tests.hub_xet import XetHub

SHARD_BYTES = 20 * 1024 * 1024
SHARDS = 4
CODE = "import sys; from tasks_lib.publishing import publish_folder; publish_folder(sys.argv[1], 'me/shapes')"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """What looks like a dataset to a publication: shards of noise, which no protocol makes smaller."""
    folder = tmp_path / "dataset"
    (folder / "data").mkdir(parents=True)
    data = "{split: train, path: data/train-*}"
    (folder / "README.md").write_text(f"---\nconfigs: [{{config_name: default, data_files: [{data}]}}]\n---\n")
    for number in range(SHARDS):
        noise = random.Random(number).randbytes(SHARD_BYTES)
        (folder / f"data/train-{number:05}-of-{SHARDS:05}.parquet").write_bytes(noise)
    return folder


def test_killed_it_goes_on_and_sends_no_shard_twice(dataset: Path, tmp_path: Path) -> None:
    """Killed -9 in the third shard, nothing is visible; the next run sends the rest, and of the first two no chunk."""
    with XetHub() as hub:
        settings = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "home")}
        environment = {**os.environ, **settings, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        command = [sys.executable, "-c", CODE, str(dataset)]
        hub.stall_after = 2
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as publishing:
            assert hub.stalled.wait(60)
            publishing.kill()
        assert len(hub.objects) == 2
        assert set(hub.repositories["me/shapes"].files) == {".gitattributes"}
        hub.release()
        hub.xorb_bytes = 0
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert hub.xorb_bytes < (SHARDS - 2) * SHARD_BYTES * 1.02
        files = hub.repositories["me/shapes"].files
        assert {path: files[path].content for path in files if path.startswith("data/")} == {
            f"data/{path.name}": path.read_bytes() for path in (dataset / "data").iterdir()
        }
