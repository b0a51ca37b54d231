"""Recipes for tests, as mappings."""

from collections.abc import Callable
from typing import Any

from tasks_lib import Distiset
from tests.endpoint import Endpoint

__all__ = ["FLAT", "Build", "drawn_by", "recipe_for"]

Build = Callable[..., Distiset]
"""What the fixture ``build_dataset`` is."""
FLAT = {"type": "tests.custom_tasks:FlatColour"}
"""The quickest model."""


def recipe_for(endpoint: Endpoint, prompts: Any, **settings: Any) -> dict[str, Any]:
    """A recipe that asks the endpoint; ``task`` and other settings are merged in."""
    return drawn_by({"type": "inference_endpoints", "base_url": endpoint.url}, prompts, **settings)


def drawn_by(model: dict[str, Any], prompts: Any, **settings: Any) -> dict[str, Any]:
    """The same for any model."""
    task = {"type": "image_generation", **settings.pop("task", {}), "image_generation_model": model}
    return {
        "name": "test",
        "prompts": prompts,
        "task": task,
        "store": "./store",
        "output": {"path": "./dataset"},
        **settings,
    }
