"""The embedded model as a model: its options, its determinism, its report, and that any text will do."""

import asyncio
import hashlib
import os
import subprocess
import sys
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from tasks_lib.errors import InvalidRequestError
from tasks_lib.models.base import ImageAnswer, ImageRequest
from tasks_lib.models.procedural import ProceduralImageGeneration

PROMPTS = (
    "two small red circles above a large blue square on a yellow background",
    "several striped stars and a cube next to a wooden robot",
    "a fox in the snow",
    "peace",
    "freedom",
    "gravity",
    "the taste of lemon",
    "",
)
WORDS = (
    "a|the|two|no|9999|red|small|striped|circle|circles|cube|above|inside|behind|between|left of|in the top left|on|it|"
    "and|with|of|is|background|image|in a row|a grid of|.|,|robot"
)
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(WORDS.split("|")), max_size=30).map(" ".join))
IN_ANOTHER_PROCESS = """
import asyncio, hashlib, sys
from tasks_lib.models.base import ImageRequest
from tasks_lib.models.procedural import ProceduralImageGeneration
model = ProceduralImageGeneration(width=96, height=64)
for prompt in sys.argv[1:]:
    print(hashlib.sha256(asyncio.run(model.agenerate(ImageRequest(prompt, seed=5))).data).hexdigest())
"""


def answer(prompt: str, seed: int | None = 0, **options: object) -> ImageAnswer:
    model = ProceduralImageGeneration(width=64, height=48)
    return asyncio.run(model.agenerate(ImageRequest(prompt, options=options, seed=seed)))


def test_equal_requests_give_equal_bytes_in_every_process() -> None:
    """Another process with another hash seed draws the same bytes."""
    model = ProceduralImageGeneration(width=96, height=64)
    here = [
        hashlib.sha256(asyncio.run(model.agenerate(ImageRequest(prompt, seed=5))).data).hexdigest()
        for prompt in PROMPTS
    ]
    for hash_seed in ("1", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", IN_ANOTHER_PROCESS, *PROMPTS],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == here


@pytest.mark.parametrize("prompt", PROMPTS)
def test_seeds_vary_the_image(prompt: str) -> None:
    """Different seeds give different images of the same prompt, and no seed is seed 0."""
    assert len({answer(prompt, seed).data for seed in range(8)}) == 8
    assert answer(prompt, None).data == answer(prompt, 0).data


def test_a_request_decides_its_size() -> None:
    """Options of a request win over the model's own width and height."""
    with Image.open(BytesIO(answer("a red circle", width=40, height=300).data)) as image:
        assert (image.format, image.size, image.mode) == ("PNG", (40, 300), "RGB")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"steps": 4}, "'steps'"),
        ({"width": 15}, "'width'"),
        ({"height": 4097}, "'height'"),
        ({"width": "64"}, "'width'"),
        ({"height": True}, "'height'"),
        ({"width": 64.0}, "'width'"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], named: str) -> None:
    """An unknown option or a size out of bounds is an invalid request that says which, and what is known."""
    with pytest.raises(InvalidRequestError, match=named) as caught:
        answer("a red circle", **options)
    assert "width" in str(caught.value) and "height" in str(caught.value)


@pytest.mark.parametrize("size", [{"width": 15}, {"height": 4097}, {"width": "64"}])
def test_bad_settings_are_refused(size: dict[str, object]) -> None:
    """The model's own size has the same bounds."""
    with pytest.raises(ValidationError):
        ProceduralImageGeneration.model_validate(size)


def test_it_is_free_and_says_what_it_is() -> None:
    """It costs nothing, its name holds its version, and its size is part of its identity."""
    model = ProceduralImageGeneration(width=128)
    assert (model.price_per_image_usd, model.model_name) == (0.0, "imageloom/procedural-1")
    assert model.identity() == {"type": "procedural", "settings": {"width": 128}, "schema": 1}
    assert answer("peace").cost_usd == 0.0


def test_the_answer_says_what_was_understood() -> None:
    """The metadata lists what was drawn, and whether that is all the prompt asks for."""
    assert answer(PROMPTS[0]).metadata == {
        "understood": True,
        "objects": ["2 small red circle", "1 large blue square"],
        "relations": ["0 above 1"],
        "background": "yellow",
    }
    half = answer("a red cube next to a wooden robot").metadata
    assert (half["understood"], half["objects"]) == (False, ["1 red cube"])
    for prompt in ("a fox in the snow", "an abstract painting with blue, red and black", "an orange"):
        nothing = answer(prompt).metadata
        assert (nothing["understood"], nothing["objects"], nothing["background"]) == (False, [], None)


def test_contradictions_are_not_claimed() -> None:
    """Of relations that cannot hold together, those left out make the prompt not understood."""
    report = answer("a red circle above a blue square. The blue square is above the red circle.").metadata
    assert (report["understood"], report["relations"]) == (False, ["0 above 1"])


@settings(max_examples=150)
@given(TEXTS, st.integers(-(2**70), 2**70), st.integers(16, 96), st.integers(16, 96))
def test_any_text_gives_an_image(prompt: str, seed: int, width: int, height: int) -> None:
    """Any text and seed give one complete PNG of the size asked for."""
    with Image.open(BytesIO(answer(prompt, seed, width=width, height=height).data)) as image:
        image.load()
        assert (image.format, image.size) == ("PNG", (width, height))


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "\0\0",
        "🦊🎨",
        "\ud800",
        "دائرة حمراء",
        "9" * 100_000,
        "red circle " * 9_000,
        "above " * 9_000,
        "🦊" * 25_000,
    ],
    ids=["empty", "nulls", "emoji", "lone surrogate", "right to left", "digits", "shapes", "relations", "many emoji"],
)
def test_odd_texts_give_images(prompt: str) -> None:
    """Texts of a hundred kilobytes, without letters or outside Unicode's rules are drawn as well."""
    with Image.open(BytesIO(answer(prompt).data)) as image:
        image.load()
        assert image.size == (64, 48)
