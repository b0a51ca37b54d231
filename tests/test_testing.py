"""What users test their own recipes and tasks with."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tasks_lib import Distiset
from tasks_lib.recipe import load_recipe
from tests.recipes import drawn_by

README = (Path(__file__).parents[1] / "README.md").read_text()
HUB_MODEL = {"type": "inference_endpoints", "model_id": "black-forest-labs/FLUX.1-schnell", "price_per_image_usd": 0.01}


def test_a_recipe_for_a_paid_model_is_built_without_a_key(
    build_drawn: Callable[..., Distiset], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe's own task runs on its first rows with drawn images; no key, price or Hub is needed."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    task = {"type": "tests.custom_tasks:PosterTask", "style": "linocut"}
    prompts = [{"subject": subject} for subject in "abcdef"]
    recipe = drawn_by(
        HUB_MODEL,
        prompts,
        task=task,
        limits={"max_cost_usd": 1},
        secrets={"HF_TOKEN": "a-block"},
        output={"path": "./real", "push_to_hub": {"repo_id": "me/posters"}},
    )
    distiset = build_drawn(recipe)
    assert distiset["default"]["train"]["asked"] == [f"a linocut of {subject}" for subject in "abcd"]
    assert distiset["default"]["train"][0]["picture"].size == (64, 64)
    assert not Path("real").exists()


def test_overrides_win(build_drawn: Callable[..., Distiset]) -> None:
    """What the test itself overrides is built, be it the model."""
    recipe = load_recipe(drawn_by(HUB_MODEL, ["a cat"] * 9))
    distiset = build_drawn(recipe, limit=None, overrides={"task.image_generation_model.type": "procedural"})
    assert distiset.report is not None and distiset.report.counts == {"ok": 9}


def test_the_example_of_the_readme_passes(tmp_path: Path) -> None:
    """The three lines of the README test a recipe of one's own."""
    (block,) = [
        block
        for block in re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
        if "build_drawn" in block
    ]
    (tmp_path / "test_posters.py").write_text(block)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["flows.testing"]\n')
    (tmp_path / "posters.yaml").write_text(yaml.safe_dump(drawn_by(HUB_MODEL, [f"a poster of {n}" for n in range(9)])))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
