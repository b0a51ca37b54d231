"""Asks a local model, and sees what its denoising network is asked."""

import gc
import io
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from numpy.typing import NDArray
from PIL import Image

from tasks_lib.generation import Generation
from tasks_lib.generator import ImageGenerator
from tasks_lib.models import ImageGenerationModel, ImageRequest

__all__ = ["SMALL", "NetworkCalls", "ask", "networks_in_memory", "pixels", "requests_for"]

SMALL: dict[str, Any] = {"width": 32, "height": 32, "num_inference_steps": 2}


class NetworkCalls:
    """The calls of networks of some classes."""

    def __init__(self, classes: tuple[type[torch.nn.Module], ...]) -> None:
        self.count = 0
        self.begun = threading.Event()
        self._classes = classes

    def note(self, module: torch.nn.Module, *_: Any) -> None:
        if isinstance(module, self._classes):
            self.count += 1
            self.begun.set()


def ask(model: ImageGenerationModel, requests: Sequence[ImageRequest]) -> list[Generation]:
    """Load a model, ask it, and unload it."""
    model.load()
    try:
        return ImageGenerator(model).generate(requests)
    finally:
        model.unload()


def requests_for(prompts: Sequence[str], **options: Any) -> list[ImageRequest]:
    """One small image for each prompt, with the seeds 0, 1, 2, ..."""
    return [ImageRequest(prompt, {**SMALL, **options}, seed=seed) for seed, prompt in enumerate(prompts)]


def pixels(generation: Generation) -> NDArray[np.int16]:
    """Of an image that came."""
    assert generation.data is not None, generation.error
    with Image.open(io.BytesIO(generation.data)) as image:
        return np.asarray(image.convert("RGB")).astype(np.int16)


def networks_in_memory() -> int:
    gc.collect()
    return sum(type(each) is UNet2DConditionModel for each in gc.get_objects())
