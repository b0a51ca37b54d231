"""Editing and inpainting with a local pipeline, computed for real with random weights."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks_lib.models import ImageRequest
from tasks_lib.models.diffusers import DiffusersImageGeneration
from tests.local.network import ask, networks_in_memory, pixels

STEPS: dict[str, Any] = {"num_inference_steps": 4}


def picture(width: int = 32, height: int = 32, colour: str = "red", orientation: int | None = None) -> bytes:
    image = Image.new("RGB", (width, height), colour)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    return buffer.getvalue()


def edit(prompt: str, source: bytes, mask: bytes | None = None, **options: Any) -> ImageRequest:
    return ImageRequest(prompt, {**STEPS, **options}, seed=1, images=(source,), mask=mask)


@pytest.mark.parametrize("family", ["stable_diffusion", "flux"])
def test_source_prompt_and_strength_change_the_image(family: str, request: pytest.FixtureRequest) -> None:
    """An edited image depends on its source, its prompt and the strength, and comes again with the same bytes."""
    local = DiffusersImageGeneration(model_id=request.getfixturevalue(family), device="cpu")
    asked = [
        edit("a cat", picture(), strength=0.5),
        edit("a dog", picture(), strength=0.5),
        edit("a cat", picture(colour="blue"), strength=0.5),
        edit("a cat", picture(), strength=1.0),
    ]
    answers = ask(local, asked)
    assert len({each.data for each in answers}) == len(asked)
    assert [each.data for each in ask(local, asked)] == [each.data for each in answers]


def test_what_the_mask_leaves_black_stays(stable_diffusion: str) -> None:
    """Under a black mask no prompt changes anything; under a white one it does."""
    local = DiffusersImageGeneration(model_id=stable_diffusion, device="cpu")
    black, white = picture(colour="black"), picture(colour="white")
    kept = ask(local, [edit(prompt, picture(), black) for prompt in ("a cat", "a dog")])
    changed = ask(local, [edit(prompt, picture(), white) for prompt in ("a cat", "a dog")])
    assert np.array_equal(pixels(kept[0]), pixels(kept[1]))
    assert not np.array_equal(pixels(changed[0]), pixels(changed[1]))


@pytest.mark.parametrize("masked", [False, True])
def test_an_edited_image_is_as_large_as_its_source(stable_diffusion: str, masked: bool) -> None:
    """Sources of different sizes keep theirs, upright, in whole steps of the pipeline, unless options say otherwise."""
    local = DiffusersImageGeneration(model_id=stable_diffusion, device="cpu", batch_size=4)
    mask = picture(colour="white") if masked else None
    asked = [
        edit("a cat", picture(48, 32), mask),
        edit("a cat", picture(32, 51), mask),
        edit("a cat", picture(48, 32, orientation=6), mask),
        edit("a cat", picture(48, 32), mask, width=24, height=40),
    ]
    assert [pixels(each).shape[:2] for each in ask(local, asked)] == [(32, 48), (48, 32), (48, 32), (40, 24)]


def test_sources_of_one_size_share_a_call(stable_diffusion: str) -> None:
    """Edits of equally large sources are computed together, whatever else is asked between them."""
    local = DiffusersImageGeneration(model_id=stable_diffusion, device="cpu", batch_size=2)
    asked = [edit("a cat", picture(side, 32, colour)) for colour in ("red", "blue") for side in (32, 48)]
    answers = ask(local, asked)
    assert [each.record.metadata["images_in_call"] for each in answers if each.record] == [2, 2, 2, 2]
    assert len({each.data for each in answers}) == 4


def test_generating_and_editing_share_the_weights(stable_diffusion: str) -> None:
    """Text, edits and masks are answered by one network in memory, and all of it is freed."""
    local = DiffusersImageGeneration(model_id=stable_diffusion, device="cpu")
    twin = DiffusersImageGeneration(model_id=stable_diffusion, device="cpu")
    twin.load()
    text = ImageRequest("a cat", {**STEPS, "width": 32, "height": 32}, seed=1)
    asked = [text, edit("a cat", picture()), edit("a cat", picture(), picture(colour="white"))]
    assert [each.status for each in ask(local, asked)] == ["ok"] * 3
    assert networks_in_memory() == 1
    twin.unload()
    assert networks_in_memory() == 0


def test_images_that_cannot_be_edited_fail_their_row_alone(stable_diffusion: str) -> None:
    """A damaged source, two sources, a mask without a source: a failure each that says so; the next row is answered."""
    local = DiffusersImageGeneration(model_id=stable_diffusion, device="cpu", batch_size=4)
    asked = [
        edit("a cat", picture()[:60]),
        ImageRequest("a cat", STEPS, seed=1, images=(picture(), picture())),
        ImageRequest("a cat", STEPS, seed=1, mask=picture()),
        edit("a cat", picture(), mask=b"no image"),
        edit("a cat", picture()),
    ]
    answers = ask(local, asked)
    assert [each.status for each in answers] == ["failed"] * 4 + ["ok"]
    words = ["source image of 60 bytes", "2 source images", "no source image", "mask of 8 bytes"]
    assert [word in str(each.error) for word, each in zip(words, answers, strict=False)] == [True] * 4
