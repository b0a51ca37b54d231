"""A build that is cancelled while it asks."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from flows.build_image_dataset import build_image_dataset
from tasks_lib.recipe import Recipe, load_recipe
from tests.endpoint import Endpoint
from tests.processes import wait_until

__all__ = ["calls_when_cancelled"]


def calls_when_cancelled(recipe: Mapping[str, Any], endpoint: Endpoint) -> int:
    """Build a recipe, cancel the flow after sixteen calls, wait for its end, and give how many calls there were then.

    Args:
        recipe: one that asks ``endpoint`` for many more images.
        endpoint: whose calls are counted.
    """
    return asyncio.run(_cancelled(load_recipe(recipe), endpoint))


async def _cancelled(recipe: Recipe, endpoint: Endpoint) -> int:
    building = asyncio.ensure_future(build_image_dataset(recipe))
    await asyncio.to_thread(wait_until, lambda: len(endpoint.calls) >= 16, 60, "16 calls")
    building.cancel()
    calls = len(endpoint.calls)
    with pytest.raises(asyncio.CancelledError):
        await building
    return calls
