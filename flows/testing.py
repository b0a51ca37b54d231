"""Fixtures with which users test their own recipes, tasks and flows: a real build, without keys and without cost.

A ``conftest.py`` takes them by ``pytest_plugins = ["flows.testing"]``.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tasks_lib.distiset import Distiset
from tasks_lib.recipe import Recipe, load_recipe

__all__ = ["build_drawn", "prefect_server"]

DRAWN = {
    "task.image_generation_model": {"type": "procedural", "width": 64, "height": 64},
    "marking": "iptc",
    "output.push_to_hub": None,
    "secrets": {},
}
"""In place of what needs keys, certificates or the Hub."""


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A real Prefect server for the session, over a database of its own; flows called in tests use it.

    So do commands that a test starts, by ``PREFECT_API_URL``.
    """
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180), pytest.MonkeyPatch.context() as environment:
        environment.setenv("PREFECT_API_URL", str(PREFECT_API_URL.value()))
        yield


@pytest.fixture
def build_drawn(prefect_server: None, tmp_path: Path) -> Callable[..., Distiset]:
    """Builds the first rows of a recipe through the real flow; the embedded model draws, whatever model it names.

    Call it with a recipe (its path, its settings or a :class:`Recipe`), perhaps ``limit`` (rows, 4 by default) and
    ``overrides`` (settings by dotted key). Store and dataset land in the test's ``tmp_path``.
    """
    from flows.build_image_dataset import build_image_dataset

    def build(
        recipe: Recipe | Mapping[str, Any] | str | os.PathLike[str],
        limit: int | None = 4,
        overrides: Mapping[str, Any] | None = None,
    ) -> Distiset:
        places = {"store": str(tmp_path / "store"), "output.path": str(tmp_path / "dataset")}
        drawn = load_recipe(recipe, {**DRAWN, **places, **(overrides or {})})
        return asyncio.run(build_image_dataset(drawn, limit=limit))

    return build
