"""Relations: where the embedded model's objects stand to each other, told from pixels."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks_lib.models.procedural.colours import colour_of
from tests.models.pixels import blobs, border, drawn

INK = ("red", "green", "blue", "purple", "black")
PAPER = ("white", "yellow", "light blue", "turquoise")
NUMBERS = ("a", "two", "three", "4", "five", "six")
RELATIONS = {
    "above": lambda one, other: one.bottom <= other.top,
    "on top of": lambda one, other: one.bottom <= other.top,
    "below": lambda one, other: one.top >= other.bottom,
    "under": lambda one, other: one.top >= other.bottom,
    "to the left of": lambda one, other: one.right <= other.left,
    "right of": lambda one, other: one.left >= other.right,
    "next to": lambda one, other: one.right <= other.left or one.left >= other.right,
    "inside": lambda one, other: (
        other.left < one.left < one.right < other.right and other.top < one.top < one.bottom < other.bottom
    ),
}


@st.composite
def scenes(draw: st.DrawFn) -> tuple[str, dict[str, int], str, str, str, str]:
    """A prompt of two groups with a relation, and its facts."""
    first, second = draw(st.permutations(INK))[:2]
    paper, relation = draw(st.sampled_from(PAPER)), draw(st.sampled_from(sorted(RELATIONS)))
    counts = draw(st.integers(1, 6)), 1 if relation == "inside" else draw(st.integers(1, 6))
    shapes = draw(st.sampled_from(["circle", "star", "heart", "triangle"])), draw(st.sampled_from(["square", "circle"]))
    sizes = draw(st.tuples(*[st.sampled_from(["", "small ", "large "])] * 2))
    one, other = (
        f"{NUMBERS[count - 1]} {size}{colour} {shape}{'s' if count > 1 else ''}"
        for count, size, colour, shape in zip(counts, sizes, (first, second), shapes, strict=True)
    )
    prompt = f"{one} {relation} {other} on a {paper} background"
    return prompt, {first: counts[0], second: counts[1]}, first, relation, second, paper


@settings(max_examples=60)
@given(scenes(), st.integers(0, 2**64 - 1))
def test_composed_prompts_come_true(scene: tuple[str, dict[str, int], str, str, str, str], seed: int) -> None:
    """Whatever is composed from the grammar, numbers, relation and background hold for every object."""
    prompt, counts, first, relation, second, paper = scene
    pixels = drawn(prompt, seed)
    found = {colour: blobs(pixels, colour) for colour in counts}
    assert {colour: len(areas) for colour, areas in found.items()} == counts
    assert all(RELATIONS[relation](one, other) for one in found[first] for other in found[second])
    assert (border(pixels) == colour_of(paper)).all()


def test_relations_chain() -> None:
    """Two relations of one prompt hold at once, and so does one to "it"."""
    for seed in range(4):
        pixels = drawn("a red circle above a blue square left of a green star. A black heart is below it.", seed)
        (red,), (blue,), (green,), (black,) = (blobs(pixels, name) for name in ("red", "blue", "green", "black"))
        assert red.bottom <= blue.top
        assert blue.right <= green.left
        assert green.bottom <= black.top


def test_between_is_between() -> None:
    """What is between two others has one on each side along some axis."""
    for seed in range(8):
        pixels = drawn("a small red star between two blue squares on white", seed)
        (red,), (one, other) = blobs(pixels, "red"), sorted(blobs(pixels, "blue"), key=lambda at: at.left + at.top)
        across = one.right <= red.left and red.right <= other.left
        down = one.bottom <= red.top and red.bottom <= other.top
        assert across or down


def test_behind_is_partly_hidden() -> None:
    """Of two equal squares the one behind shows less of itself, but some."""
    for seed in range(8):
        pixels = drawn("a medium red square behind a medium blue square on white", seed)
        (red,), (blue,) = blobs(pixels, "red"), blobs(pixels, "blue")
        assert blue.extent() == pytest.approx(1, abs=0.03)
        assert 0.3 < red.extent() < 0.97
