"""The recipes of the benchmarks, as files."""

from pathlib import Path
from typing import Any

import yaml

__all__ = ["write_recipe"]


def write_recipe(
    folder: Path, rows: int, model: dict[str, Any], max_concurrency: int, name: str = "benchmark", store: str = "store"
) -> Path:
    """A recipe with ``rows`` prompts, whose store and dataset lie in ``folder``; gives its path.

    Args:
        folder: made if it is not there.
        rows: one image each.
        model: settings of the image generation model.
        max_concurrency: calls in flight.
        name: of the recipe's files and of its dataset.
        store: the name of the store's folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    prompts = folder / f"{name}.txt"
    prompts.write_text("".join(f"image {number}\n" for number in range(rows)))
    recipe = {
        "name": name,
        "prompts": {"path": str(prompts)},
        "task": {"type": "image_generation", "image_generation_model": model},
        "limits": {"max_concurrency": max_concurrency},
        "store": str(folder / store),
        "output": {"path": str(folder / "datasets" / name)},
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path
