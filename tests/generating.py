"""What the tests of the generator share: a model of their own, a generator, and looks at what was asked and kept."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from tasks_lib.generator import ImageGenerator
from tasks_lib.limits import Limits
from tasks_lib.models import ImageAnswer, ImageGenerationModel, ImageRequest
from tasks_lib.store import ImageStore
from tests.endpoint_images import image_for

__all__ = ["ScriptedModel", "generator_with", "kept_in", "requests_for"]

IMAGE = image_for("a cat", image_format="png")


class ScriptedModel(ImageGenerationModel):
    """Answers by the prompt, in this process: "wait" waits for `released`, "type" and "text" are mistakes."""

    _released: threading.Event = PrivateAttr(default_factory=threading.Event)
    _asked: list[str] = PrivateAttr(default_factory=list)

    @property
    def model_name(self) -> str:
        return "test"

    async def agenerate(self, request: ImageRequest) -> ImageAnswer | bytes:
        self._asked.append(request.prompt)
        if request.prompt.startswith("type"):
            raise TypeError("a mistake in the model")
        if request.prompt.startswith("text"):
            return "an image, as text"  # type: ignore[return-value]
        if request.prompt.startswith("wait"):
            await asyncio.to_thread(self._released.wait, 10)
        return IMAGE


@contextmanager
def generator_with(model: ImageGenerationModel, folder: Path, **limits: Any) -> Iterator[ImageGenerator]:
    """A generator while the block runs, of a model that is loaded for it, with a store in the folder."""
    model.load()
    generator = ImageGenerator(model, ImageStore(folder / "store"), Limits(**limits))
    try:
        yield generator
    finally:
        generator.close()


def requests_for(prompt: str, count: int) -> list[ImageRequest]:
    return [ImageRequest(prompt, seed=number, number=number) for number in range(count)]


def kept_in(generator: ImageGenerator) -> int:
    assert generator.store is not None
    assert generator.store.verify() == {}
    return generator.store.stats().images
