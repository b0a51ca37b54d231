"""The example of a flow that is made of flows."""

import asyncio
from pathlib import Path
from typing import Any

from datasets import load_dataset

from flows.build_image_variants import build_image_variants
from tasks_lib.recipe import load_recipe

RECIPES = Path(__file__).parents[1] / "deployments/recipes"


def test_images_and_their_variants_are_one_distiset(prefect_server: None, in_folder: Path) -> None:
    """Every image that the first recipe makes is edited by the second; both load as configs of one dataset folder."""
    places: dict[str, Any] = {"store": "./store"}
    images = load_recipe(RECIPES / "colour-shapes.yaml", {**places, "output.splits": {"train": 1.0}})
    variants = load_recipe(RECIPES / "recolour-shapes.yaml", places)
    both = asyncio.run(build_image_variants(images, variants, limit=5))
    assert {config: splits["train"].num_rows for config, splits in both.items()} == {"images": 5, "variants": 5}
    sources = both["variants"]["train"]["image"]
    assert [image.tobytes() for image in sources] == [image.tobytes() for image in both["images"]["train"]["image"]]
    both.write_dataset_folder("both")
    edited = load_dataset("both", "variants")["train"]["edited_image"]
    assert all(one.tobytes() != other.tobytes() for one, other in zip(sources, edited, strict=True))
