"""The README's code runs as it stands there."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks_lib.recipe import load_recipe
from tests.command import IMAGELOOM
from tests.recipes import drawn_by

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
RECIPE = re.search(r"^```yaml\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_python_blocks_run(number: int, tmp_path: Path, prefect_server: None) -> None:
    """Each block of Python in the README runs by itself, and prints what it says."""
    (tmp_path / "deployments").symlink_to(ROOT / "deployments")
    done = subprocess.run(
        [sys.executable, "-c", PYTHON[number]], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    expected = re.findall(r"print\(.*\)  # (.*)", PYTHON[number])
    assert all(line in done.stdout for line in expected), done.stdout


def test_the_recipe_is_valid(tmp_path: Path) -> None:
    """The recipe that the README shows is accepted, and its estimate names the cost."""
    assert RECIPE is not None
    (tmp_path / "my-dataset.yaml").write_text(RECIPE[1])
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a cat"}\n{"prompt": "a dog"}\n')
    done = subprocess.run(
        [IMAGELOOM, "estimate", "my-dataset.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "0.0120 USD" in done.stdout


def test_the_models_are_valid() -> None:
    """Each model that the README shows is accepted as it is written there."""
    lines = re.findall(r"^(image_generation_model: .*)$", README, flags=re.MULTILINE)
    kinds = [load_recipe(_with_model(yaml.safe_load(line))).task.image_generation_model.kind() for line in lines]
    assert kinds == ["inference_endpoints", "inference_endpoints", "openai", "openai", "diffusers"]


def _with_model(task: dict[str, Any]) -> dict[str, Any]:
    return drawn_by(task["image_generation_model"], ["a cat"])


def test_every_proof_exists() -> None:
    """Each guarantee in the README names a test that is there."""
    for name, path in re.findall(r"\[(test_\w+)(?:\.py)?\]\((tests/[\w/]+\.py)\)", README):
        text = (ROOT / path).read_text()
        assert f"def {name}(" in text or Path(path).stem == name, name
    links = re.findall(r"\]\(((?!http)[^)#]+)\)", README)
    assert not [link for link in links if not (ROOT / link).exists()]
