"""Counts, colours, shapes, sizes and places: what the embedded model draws is what the prompt says.

All is told from pixels, never from the model's own report.
"""

from itertools import pairwise

import numpy as np
import pytest

from tasks_lib.models.procedural.colours import BASIC_COLOURS, COLOURS, colour_of
from tests.models.pixels import blobs, border, drawn

NUMBERS = ("one", "two", "three", "four", "5", "six", "seven", "8", "nine", "ten", "11", "twelve")


@pytest.mark.parametrize("count", range(1, 13))
def test_as_many_objects_are_drawn_as_the_prompt_says(count: int) -> None:
    """The number of connected red areas is the number named, in words or digits, whatever the seed."""
    for seed in range(4):
        assert len(blobs(drawn(f"{NUMBERS[count - 1]} red hearts", seed), "red")) == count


def test_a_hundred_objects_do_not_touch() -> None:
    """However many there are, objects of a group keep apart."""
    assert len(blobs(drawn("100 blue squares on white"), "blue")) == 100


@pytest.mark.parametrize(
    ("words", "least", "most"),
    [("a pair of", 2, 2), ("a few", 3, 4), ("several", 4, 6), ("many", 9, 13), ("a dozen", 12, 12)],
)
def test_loose_numbers_have_bounds(words: str, least: int, most: int) -> None:
    """A word such as "several" stands for a number within its bounds, and the seed chooses."""
    counts = {len(blobs(drawn(f"{words} green circles", seed), "green")) for seed in range(8)}
    assert counts <= set(range(least, most + 1))
    assert len(counts) > 1 or least == most


@pytest.mark.parametrize("name", sorted(COLOURS))
def test_the_named_colour_is_what_is_seen(name: str) -> None:
    """Of all colours with a name, those of the prompt are nearest to the two that cover most of the image."""
    ground = "black" if name == "white" else "white"
    pixels = drawn(f"a large {name} circle in the centre on a {ground} background").reshape(-1, 3)
    seen, counts = np.unique(pixels, axis=0, return_counts=True)
    two = seen[np.argsort(counts)[-2:]]
    names = {min(COLOURS, key=lambda other: int(((colour - COLOURS[other]) ** 2).sum())) for colour in two}
    assert names == {name, ground}


@pytest.mark.parametrize("name", sorted(BASIC_COLOURS))
def test_a_solid_keeps_its_colour_on_every_face(name: str) -> None:
    """The shading of cubes and spheres never makes another basic colour of their own."""
    ground = "turquoise"
    for solid in ("cube", "sphere"):
        pixels = drawn(f"a huge {name} {solid} in the centre on a {ground} background")[96:160, 96:160].reshape(-1, 3)
        table = np.array(list(BASIC_COLOURS.values()))
        nearest = ((pixels[:, None] - table[None]) ** 2).sum(axis=2).argmin(axis=1)
        assert (nearest == list(BASIC_COLOURS).index(name)).mean() > 0.9


@pytest.mark.parametrize(
    "phrase", ["on a {} background", "against a {} backdrop", "on {}", "under a {} sky", ". The background is {}."]
)
def test_the_background_has_the_named_colour(phrase: str) -> None:
    """The border shows the background's colour, however the prompt names it, and so does most of the image."""
    for name in ("yellow", "dark blue", "black", "light pink"):
        pixels = drawn("a small red circle " + phrase.format(name))
        assert (border(pixels) == colour_of(name)).all()
        assert (pixels == colour_of(name)).all(axis=2).mean() > 0.8


@pytest.mark.parametrize(
    ("shape", "extent", "proportion"),
    [
        ("circle", 0.785, 1.0),
        ("square", 1.0, 1.0),
        ("rectangle", 1.0, 1.667),
        ("triangle", 0.5, 1.111),
        ("diamond", 0.5, 0.76),
        ("ellipse", 0.785, 1.613),
        ("semicircle", 0.785, 2.0),
        ("octagon", 0.828, 1.0),
        ("ring", 0.503, 1.0),
        ("cross", 0.583, 1.0),
    ],
)
def test_shapes_have_their_measures(shape: str, extent: float, proportion: float) -> None:
    """A shape fills the share of its bounding box, and has the proportions, that geometry says."""
    (found,) = blobs(drawn(f"a large blue {shape} on white", side=512), "blue")
    assert found.extent() == pytest.approx(extent, abs=0.03)
    assert found.proportion() == pytest.approx(proportion, rel=0.04)


def test_the_remaining_shapes_differ_from_each_other() -> None:
    """Stars, hearts, crescents, arrows and lines fill clearly less of their box than a circle or a square."""
    for shape, least, most in [("star", 0.2, 0.45), ("heart", 0.5, 0.7), ("crescent", 0.2, 0.5), ("arrow", 0.3, 0.7)]:
        for seed in range(4):
            (found,) = blobs(drawn(f"a large blue {shape} on white", seed, side=512), "blue")
            assert least < found.extent() < most, shape


def test_sizes_are_ordered() -> None:
    """From tiny to huge, each size covers a clearly larger area than the one before, whatever the seed."""
    for seed in range(4):
        areas = [
            blobs(drawn(f"a {size} red circle", seed), "red")[0].area
            for size in ("tiny", "small", "medium", "large", "huge")
        ]
        assert all(after > 1.4 * before for before, after in pairwise(areas))


def test_sizes_hold_beside_each_other() -> None:
    """A large object stays larger than a small one where many others leave little room for both."""
    pixels = drawn("twelve huge red circles in the top left corner and a medium blue circle on the right on white")
    assert min(one.area for one in blobs(pixels, "red")) > 2 * blobs(pixels, "blue")[0].area


@pytest.mark.parametrize("row", ["top", "", "bottom"])
@pytest.mark.parametrize("column", ["left", "", "right"])
def test_places_are_where_they_are_called(row: str, column: str) -> None:
    """An object stands wholly in the part of the image the prompt names: a side, a corner, the centre."""
    place = f"in the {row} {column} corner" if row and column else f"on the {row or column or 'centre'} of the image"
    for seed in range(4):
        (found,) = blobs(drawn(f"a small red star {place}", seed), "red")
        bounds = {"left": (0, 128), "right": (128, 256), "top": (0, 128), "bottom": (128, 256)}
        least, most = bounds.get(column, (0, 256) if row else (64, 192))
        assert least <= found.left < found.right <= most
        least, most = bounds.get(row, (0, 256) if column else (64, 192))
        assert least <= found.top < found.bottom <= most


def test_each_place_gets_its_own_object() -> None:
    """Several places in one prompt hold at once, before or after what they are the places of."""
    prompt = (
        "a red star in the top left corner, a blue square in the bottom right corner and on the right a green heart"
    )
    for seed in range(4):
        pixels = drawn(prompt, seed)
        (red,), (blue,), (green,) = (blobs(pixels, name) for name in ("red", "blue", "green"))
        assert red.right <= 128 and red.bottom <= 128
        assert blue.left >= 128 and blue.top >= 128
        assert green.left >= 128 and green.bottom <= blue.top


def test_groups_do_not_overlap_unasked() -> None:
    """Without a relation that wants it, every object can be seen whole."""
    for seed in range(6):
        pixels = drawn("three red squares, a large blue square, five green squares and a black square on white", seed)
        for name, count in {"red": 3, "blue": 1, "green": 5, "black": 1}.items():
            found = blobs(pixels, name)
            assert len(found) == count
            assert all(one.extent() > 0.9 for one in found)


def test_colours_are_shared_out() -> None:
    """Two colours before a noun or after it mean objects of each, and a number is shared out among them."""
    for prompt, count in {
        "six red and blue circles": 3,
        "a red and a blue circle": 1,
        "two circles in red and blue": 1,
        "a circle that is red and a square that is blue": 1,
    }.items():
        pixels = drawn(prompt)
        assert (len(blobs(pixels, "red")), len(blobs(pixels, "blue"))) == (count, count), prompt


def test_an_odd_number_is_shared_out_whole() -> None:
    """Seven objects of two colours are seven objects."""
    pixels = drawn("seven red and blue circles")
    assert {len(blobs(pixels, "red")), len(blobs(pixels, "blue"))} == {3, 4}


def test_rows_columns_and_grids() -> None:
    """Objects in a row share a height, those in a column a width, and nine in a grid make three of each."""
    for prompt, heights, widths in [
        ("a row of five red circles", 1, 5),
        ("five red circles in a column", 5, 1),
        ("a grid of nine red circles", 3, 3),
    ]:
        found = blobs(drawn(prompt), "red")
        assert (len({one.top for one in found}), len({one.left for one in found})) == (heights, widths)


def test_shadows_are_faint() -> None:
    """Below an object the ground is hardly darker, so that it keeps its colour."""
    pixels = drawn("a huge red circle in the centre on white", side=512)
    (red,) = blobs(pixels, "red")
    below = pixels[red.bottom + 2 :]
    assert 225 <= below.min() < 255


def test_patterns_show_both_colours() -> None:
    """A striped object has stripes of its second colour on the first."""
    pixels = drawn("a large red and blue striped square on white")
    red, blue = blobs(pixels, "red"), blobs(pixels, "blue")
    assert len(red) > 3 and len(blue) > 3
    assert max(one.right for one in blue) <= max(one.right for one in red)


def test_half_understood_prompts_draw_the_other_half() -> None:
    """Beside a thing it cannot draw, the model draws the one it can, on a ground that is not flat."""
    pixels = drawn("two red circles next to a wooden robot")
    assert len(blobs(pixels, "red")) == 2
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
