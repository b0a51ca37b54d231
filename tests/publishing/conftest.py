"""A Hub on loopback, and a finished dataset to publish there."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import disable_progress_bars

from tests.hub_repository import TOKEN, HubRepository
from tests.publishing.folders import built


@pytest.fixture(scope="module")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("built"))


@pytest.fixture
def dataset(built_once: Path, tmp_path: Path) -> Path:
    """A finished dataset of the test's own."""
    return Path(shutil.copytree(built_once, tmp_path / "dataset"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubRepository]:
    """The Hub, with a token in the environment; large files go the way of LFS."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with disable_progress_bars(), HubRepository() as running:
        yield running
