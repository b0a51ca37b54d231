"""The embedded model edits: it draws what the prompt names onto the source, and leaves the rest as it was."""

import asyncio
import io

import numpy as np
import pytest
from PIL import Image

from tasks_lib.errors import InvalidRequestError
from tasks_lib.models.base import ImageRequest
from tasks_lib.models.procedural import ProceduralImageGeneration
from tests.models.pixels import Pixels, blobs

SIDE = 128


def encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def source() -> Image.Image:
    """White, with a green square at the right."""
    image = Image.new("RGB", (SIDE, SIDE), "white")
    image.paste((0, 128, 0), (90, 50, 120, 80))
    return image


def edited(prompt: str, mask: Image.Image | None = None, seed: int = 3) -> Pixels:
    request = ImageRequest(prompt, seed=seed, images=(encoded(source()),), mask=mask and encoded(mask))
    answer = asyncio.run(ProceduralImageGeneration(width=512, height=512).agenerate(request))
    with Image.open(io.BytesIO(answer.data)) as image:
        assert image.size == (SIDE, SIDE)
        return np.asarray(image).astype(np.int64)


def before() -> Pixels:
    return np.asarray(source()).astype(np.int64)


def test_what_is_named_is_drawn_onto_the_source() -> None:
    """A red circle at the top left appears there, and what was in the image stays pixel for pixel."""
    after = edited("a small red circle in the top left corner")
    (circle,) = blobs(after, "red")
    assert circle.right <= SIDE / 2
    assert circle.bottom <= SIDE / 2
    assert (after[48:, :] == before()[48:, :]).all()


def test_a_named_background_takes_the_place_of_the_old_one() -> None:
    """Another background recolours what had the corner's colour and nothing else."""
    after = edited("a blue background")
    changed = (after != before()).any(axis=2)
    assert not changed[50:80, 90:120].any()
    assert changed.sum() == SIDE * SIDE - 30 * 30


def test_only_the_masked_part_changes() -> None:
    """Where the mask is black, nothing changes, whatever the prompt."""
    mask = Image.new("L", (SIDE, SIDE), 0)
    mask.paste(255, (0, 0, SIDE, 40))
    after = edited("a dream of falling leaves", mask)
    assert (after[40:] == before()[40:]).all()
    assert (after[:40] != before()[:40]).any()


def test_equal_edits_are_equal_and_seeds_differ() -> None:
    """The same source, prompt and seed give the same pixels, and another seed others."""
    prompt = "three small stars"
    assert (edited(prompt) == edited(prompt)).all()
    assert (edited(prompt) != edited(prompt, seed=4)).any()


def test_several_sources_and_broken_ones_are_refused() -> None:
    """The model takes one image that can be opened, and says so."""
    for images, found in [((encoded(source()),) * 2, "found 2"), ((b"no image",), "cannot be opened")]:
        with pytest.raises(InvalidRequestError, match=found):
            asyncio.run(ProceduralImageGeneration().agenerate(ImageRequest("a star", images=images)))
