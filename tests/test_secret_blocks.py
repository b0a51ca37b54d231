"""Secrets may come from Prefect Secret blocks, which the recipe names."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.system import Secret

from tasks_lib import Distiset
from tasks_lib.errors import MissingSecretError
from tests.endpoint import Endpoint
from tests.recipes import recipe_for

Build = Callable[..., Distiset]
TOKEN = "hf_MARKEDxBLOCKx0123456789"


def recipe_with_secret(endpoint: Endpoint, prompts: list[str], block: str) -> dict[str, Any]:
    return {**recipe_for(endpoint, prompts, limits={"max_failure_rate": 1.0}), "secrets": {"HF_TOKEN": block}}


def test_a_block_becomes_the_token_of_the_run(build_dataset: Build, endpoint: Endpoint, in_folder: Path) -> None:
    """The endpoint gets the block's secret, the environment is as before, and no file of the build holds it."""
    Secret(value=TOKEN).save("imageloom-test-token", overwrite=True)
    build_dataset(recipe_with_secret(endpoint, ["a cat", "a dog {{500 times=inf}}"], "imageloom-test-token"))
    assert {call.headers["authorization"] for call in endpoint.calls} == {f"Bearer {TOKEN}"}
    assert "HF_TOKEN" not in os.environ
    written = b"".join(path.read_bytes() for path in in_folder.rglob("*") if path.is_file())
    assert TOKEN.encode() not in written
    assert b"imageloom-test-token" in written


def test_the_environment_comes_first(build_dataset: Build, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is set already needs no block, so the same recipe runs on a laptop."""
    monkeypatch.setenv("HF_TOKEN", "hf_own")
    build_dataset(recipe_with_secret(endpoint, ["a cat"], "no-such-block"))
    assert endpoint.calls[0].headers["authorization"] == "Bearer hf_own"
    assert os.environ["HF_TOKEN"] == "hf_own"


def test_a_missing_block_is_named_before_anything_is_asked(build_dataset: Build, endpoint: Endpoint) -> None:
    """A block that the server does not have is one error that names it, the variable and both ways out."""
    with pytest.raises(MissingSecretError, match=r"HF_TOKEN from the Prefect Secret block 'no-such-block'.*Create it"):
        build_dataset(recipe_with_secret(endpoint, ["a cat"], "no-such-block"))
    assert endpoint.calls == []
