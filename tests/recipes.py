"""Recipes for tests, as mappings."""

from typing import Any

from tests.endpoint import Endpoint

__all__ = ["drawn_by", "recipe_for"]


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
