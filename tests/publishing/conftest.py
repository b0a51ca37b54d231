"""A Hub on loopback, and a finished dataset to publish there."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.hub_repository import HubRepository, hub_to_publish_to
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
    """The Hub, with a token in the environment."""
    with hub_to_publish_to(monkeypatch) as running:
        yield running


@pytest.fixture
def hub_by_default(hub: HubRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same Hub is the one that is meant where none is named, and in processes that the test starts."""
    for name, value in {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1"}.items():
        monkeypatch.setenv(name, value)
    # The library reads it from the environment once, when it is imported.
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
