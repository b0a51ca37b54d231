"""Checks reject blank, small and repeated images, and nothing else."""

import io
import re
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter
from pydantic import ValidationError

from tasks_lib.checks import Checks, DuplicateIndex, Inspection, NearDuplicates, inspect
from tests.built_folders import build_recipe
from tests.recipes import drawn_by

EVERY_CHECK: dict[str, Any] = {"min_side": 64, "blank": True, "near_duplicates": {"distance": 32}}
BLANK = Checks(blank=True)
NEAR = Checks(near_duplicates=NearDuplicates())
COLOURS = ["red", "blue", "green", "yellow", "black", "white"]


def encode(image: Image.Image, image_format: str = "PNG", **options: Any) -> bytes:
    """Encode an image."""
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def scene(ground: str = "white", colour: str = "red", x: float = 0.5, y: float = 0.4, side: int = 256) -> Image.Image:
    """Draw a disc with a bar beside it on a ground that gets darker downwards."""
    image = Image.new("RGB", (side, side), ground)
    shade = Image.linear_gradient("L").resize(image.size).point(lambda level: level // 3)
    image.paste((90, 90, 90), mask=shade)
    draw = ImageDraw.Draw(image)
    draw.ellipse([(x - 0.2) * side, (y - 0.2) * side, (x + 0.2) * side, (y + 0.2) * side], fill=colour)
    draw.rectangle([(x + 0.2) * side, (y - 0.1) * side, (x + 0.3) * side, (y + 0.3) * side], fill="grey")
    return image


def copies(image: Image.Image) -> Iterator[tuple[str, bytes]]:
    """Make copies that a person takes for the same image."""
    width, height = image.size
    yield "itself", encode(image)
    yield "JPEG", encode(image, "JPEG", quality=60)
    yield "WebP", encode(image, "WEBP", quality=60)
    yield "half the size", encode(image.resize((width // 2, height // 2)))
    yield "another size", encode(image.resize((300, 300), Image.Resampling.BICUBIC), "JPEG", quality=80)
    yield "cropped", encode(image.crop((2, 2, width - 2, height - 2)))
    yield "brighter", encode(ImageEnhance.Brightness(image).enhance(1.04))
    yield "less contrast", encode(ImageEnhance.Contrast(image).enhance(0.95))
    yield "blurred", encode(image.filter(ImageFilter.GaussianBlur(1)))


def signature(data: bytes) -> str:
    """Take the signature of an image that no check rejects."""
    found = inspect(data, NEAR)
    assert found.reason is None
    assert found.signature is not None
    return found.signature


def are_alike(one: bytes, other: bytes, distance: int = 4) -> bool:
    """Ask an index of one image for another."""
    index = DuplicateIndex(distance)
    assert index.add(signature(one), "one") is None
    return index.add(signature(other), "other") == "one"


def test_everything_is_off_by_default() -> None:
    """Without checks even an image that cannot be read passes, unread."""
    assert Checks().on == {}
    for data in (encode(Image.new("RGB", (1, 1))), b"<html>"):
        assert inspect(data, Checks()) == Inspection()


@given(st.tuples(*[st.integers(2, 253)] * 3), st.sampled_from(["PNG", "WEBP"]), st.integers(0, 2**32 - 1))
def test_one_colour_is_blank(colour: tuple[int, int, int], image_format: str, seed: int) -> None:
    """Pixels within two levels of a colour are blank, and the reason names the colour."""
    noise = numpy.random.default_rng(seed).integers(-2, 3, (40, 40, 3))
    pixels = (numpy.array(colour) + noise).clip(0, 255).astype(numpy.uint8)
    pixels[0, 0], pixels[0, 1] = numpy.array(colour) - 2, numpy.array(colour) + 2
    data = encode(Image.fromarray(pixels), image_format, **({"lossless": True} if image_format == "WEBP" else {}))
    assert inspect(data, BLANK).reason == f"blank: every pixel is within 2 levels of {colour}"
    pixels[20, 20, 1] = colour[1] + 3 if colour[1] < 128 else colour[1] - 3
    assert inspect(encode(Image.fromarray(pixels)), BLANK).reason is None


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("level", [0, 255])
def test_blank_is_found_in_every_mode(mode: str, level: int) -> None:
    """Black and white are blank however they are stored."""
    image = Image.new("L", (32, 32), level)
    data = encode(Image.new(mode, (32, 32), level * 257) if mode == "I;16" else image.convert(mode))
    assert inspect(data, BLANK).reason == f"blank: every pixel is within 2 levels of {(level, level, level)}"


def test_bright_sixteen_bit_grey_is_not_blank() -> None:
    """Levels of 16 bits are scaled, not clipped to white."""
    pixels = numpy.linspace(30_000, 65_535, 1024).reshape(32, 32).astype(numpy.uint16)
    assert inspect(encode(Image.fromarray(pixels)), BLANK).reason is None


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
def test_little_is_not_blank(image_format: str) -> None:
    """A thin line, a dot and a pattern finer than eight pixels keep an image."""
    line, dot = Image.new("RGB", (1024, 1024), "white"), Image.new("RGB", (1024, 1024), "white")
    ImageDraw.Draw(line).line((0, 500, 1023, 500), fill="black")
    dot.putpixel((3, 3), (0, 0, 0))
    checkers = numpy.indices((512, 512)).sum(axis=0) % 2 * 255
    pattern = Image.fromarray(checkers.astype(numpy.uint8)).convert("RGB")
    for image in (line, dot, pattern):
        assert inspect(encode(image, image_format, quality=90), BLANK).reason is None
    white = inspect(encode(Image.new("RGB", (1024, 1024), "white"), image_format), BLANK)
    assert white.reason == "blank: every pixel is within 2 levels of (255, 255, 255)"


def test_transparency_decides_what_is_blank() -> None:
    """A shape drawn in the alpha channel alone is not blank; an image nobody can see is."""
    shape = scene()
    hidden = shape.copy()
    hidden.putalpha(0)
    logo = Image.new("RGBA", shape.size, "black")
    logo.putalpha(shape.convert("L"))
    assert inspect(encode(hidden), BLANK).reason == "blank: every pixel is transparent"
    assert inspect(encode(logo), BLANK).reason is None


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 200))
def test_the_shorter_side_decides(width: int, height: int, least: int) -> None:
    """An image passes if both sides have enough pixels; if not, the reason names its size and the bound."""
    reason = inspect(encode(Image.new("RGB", (width, height))), Checks(min_side=least)).reason
    expected = f"min_side: the shorter side of {width} x {height} px is under {least} px"
    assert reason == (expected if min(width, height) < least else None)


@pytest.mark.parametrize("name", Checks.model_fields)
@pytest.mark.parametrize("data", [b"", b"<html>"])
def test_what_cannot_be_read_is_rejected(name: str, data: bytes) -> None:
    """Bytes that are no image are rejected with the decoder's reason, by the first check that looks, in its name."""
    names = list(Checks.model_fields)
    for together in ([name], names[names.index(name) :]):
        checks = Checks.model_validate({each: EVERY_CHECK[each] for each in together})
        assert re.fullmatch(rf"{name}: the image cannot be read: cannot identify .+", str(inspect(data, checks).reason))


@pytest.mark.parametrize("checks", [BLANK, NEAR])
def test_what_breaks_off_is_rejected_by_the_check_that_sees_it(checks: Checks) -> None:
    """Half an image has a size, so `min_side` keeps it; a check that needs its pixels rejects it in its own name."""
    data = encode(scene())
    data = data[: len(data) // 2]
    assert inspect(data, Checks(min_side=1)).reason is None
    (name,) = checks.on
    both = checks.model_copy(update={"min_side": 1})
    assert str(inspect(data, both).reason).startswith(f"{name}: the image cannot be read: ")


@pytest.mark.parametrize("name", Checks.model_fields)
def test_a_rejection_begins_with_the_name_of_its_setting(tmp_path: Path, name: str) -> None:
    """In a built dataset the reason, the report and the card name a check as the recipe's `checks` do."""
    model = {"type": "tests.custom_tasks:FlatColour"}
    recipe = drawn_by(model, [f"colour {'x' * (number % 9)}" for number in range(30)])
    places = {"store": str(tmp_path / "store"), "output": {"path": str(tmp_path / "dataset")}}
    distiset = build_recipe({**recipe, **places, "checks": {name: EVERY_CHECK[name]}})
    reasons = distiset["rejected"]["train"]["error"]
    assert {reason.partition(": ")[0] for reason in reasons} == {name}
    assert distiset.report is not None and distiset.report.rejections == {name: len(reasons)}
    assert f"| {name} | {len(reasons)} |" in (tmp_path / "dataset/README.md").read_text(encoding="utf-8")


def test_a_rejected_image_has_no_signature() -> None:
    """A rejected image cannot become the one that later images are near duplicates of."""
    checks = Checks(blank=True, near_duplicates=NearDuplicates())
    assert inspect(encode(Image.new("RGB", (64, 64))), checks).signature is None
    assert inspect(encode(scene()), checks).signature is not None
    assert inspect(encode(scene()), BLANK).signature is None


@pytest.mark.parametrize(("ground", "colour"), [*permutations(COLOURS, 2)])
def test_copies_are_near_duplicates(ground: str, colour: str) -> None:
    """Another format, quality or size and slight changes of light, sharpness and crop make no new image."""
    image = scene(ground, colour)
    assert [name for name, data in copies(image) if not are_alike(encode(image), data)] == []


@pytest.mark.parametrize(("ground", "colour"), [*permutations(COLOURS, 2)])
def test_other_scenes_are_not(ground: str, colour: str) -> None:
    """Another colour of the thing or its ground, or another place, makes a new image."""
    original = encode(scene(ground, colour))
    others = {f"colour {name}": scene(ground, name) for name in COLOURS if name not in (ground, colour)}
    others |= {f"ground {name}": scene(name, colour) for name in COLOURS if name not in (ground, colour)}
    others |= {f"moved to {x}, {y}": scene(ground, colour, x, y) for x, y in [(0.3, 0.4), (0.5, 0.6), (0.6, 0.5)]}
    assert [name for name, image in others.items() if are_alike(original, encode(image))] == []


def test_equal_luminance_is_told_apart_by_colour() -> None:
    """A red and a blue disc as bright as each other on one ground are two images."""
    red, blue = scene(colour="rgb(200, 40, 40)"), scene(colour="rgb(60, 80, 200)")
    levels = {colour.convert("L").getpixel((128, 100)) for colour in (red, blue)}
    assert len(levels) == 1
    assert not are_alike(encode(red), encode(blue), distance=32)


@pytest.mark.parametrize("colour", COLOURS)
def test_flat_images_are_stable(colour: str) -> None:
    """Noise in a flat image does not change its hash, and flat images of two colours differ."""
    flat = Image.new("RGB", (256, 256), colour)
    noise = numpy.random.default_rng(0).normal(0, 3, (256, 256, 3))
    noisy = Image.fromarray((numpy.asarray(flat) + noise).clip(0, 255).astype(numpy.uint8))
    assert are_alike(encode(flat), encode(noisy), distance=0)
    assert are_alike(encode(flat), encode(noisy, "JPEG", quality=50), distance=0)
    assert not any(
        are_alike(encode(flat), encode(Image.new("RGB", (256, 256), other))) for other in COLOURS if other != colour
    )


def test_what_transparency_shows_is_compared() -> None:
    """Two shapes drawn in black on nothing, or in white on nothing, are two images."""
    for ink in ("black", "white"):
        logos = []
        for x in (0.3, 0.6):
            logo = Image.new("RGBA", (256, 256), ink)
            logo.putalpha(scene("black", "white", x).convert("L"))
            logos.append(encode(logo))
        assert are_alike(logos[0], logos[0])
        assert not are_alike(logos[0], logos[1])


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60)), max_size=400), st.integers(0, 32))
def test_the_index_is_what_comparing_one_by_one_gives(entries: list[tuple[int, int]], distance: int) -> None:
    """The earliest image that looks alike is named; it stays, and the later one is forgotten."""
    index = DuplicateIndex(distance)
    kept: list[tuple[int, int, str]] = []
    for number, (bits, level) in enumerate(entries):
        hashed = (1 << bits) - 1
        expected = next((n for h, v, n in kept if (h ^ hashed).bit_count() <= distance and abs(v - level) <= 20), None)
        raw = hashed.to_bytes(8, "big") + bytes(100) + bytes([level]) + bytes(91)
        assert index.add(raw.hex(), str(number)) == expected
        if expected is None:
            kept.append((hashed, level, str(number)))


def test_the_index_keeps_what_it_was_given_beyond_its_first_size() -> None:
    """Thousands of images are all found again under their own names."""
    generator = numpy.random.default_rng(0)
    signatures = [generator.bytes(200).hex() for _ in range(3000)]
    index = DuplicateIndex(4)
    assert [index.add(each, str(number)) for number, each in enumerate(signatures)] == [None] * 3000
    assert [index.add(each, "again") for each in signatures] == [str(number) for number in range(3000)]


@pytest.mark.parametrize(
    "values", [{"min_side": 0}, {"near_duplicates": {"distance": 33}}, {"near_duplicates": {"distance": -1}}]
)
def test_settings_have_bounds(values: dict[str, Any]) -> None:
    """Settings that make no sense are refused with the recipe."""
    with pytest.raises(ValidationError):
        Checks(**values)
