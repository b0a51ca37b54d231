"""Harmonious palettes for abstract compositions."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tasks_lib.models.procedural.colours import RGB, mix

__all__ = ["Palette", "choose_palette"]

WHITE: RGB = (255, 255, 255)
INK: RGB = (22, 24, 38)


@dataclass(frozen=True)
class Palette:
    """A ground and the colours that stand on it."""

    ground: RGB
    colours: tuple[RGB, ...]
    """Five, so that neighbours in it go well together."""

    def between(self, share: float) -> RGB:
        """The colour at a share (0 to 1) of the way from its first to its last."""
        position = min(max(share, 0.0), 1.0) * (len(self.colours) - 1)
        number = min(int(position), len(self.colours) - 2)
        return mix(self.colours[number], self.colours[number + 1], int(100 * (position - number)))


# The ground first, then five colours.
PALETTES = (
    "fbf3e4 f4a259 f25c54 5b8e7d 2f4858 f7d488",
    "101935 564787 9ad4d6 f2fdff dbcbd8 e4572e",
    "f7f4ef 264653 2a9d8f e9c46a f4a261 e76f51",
    "0b132b 1c2541 3a506b 5bc0be 9fe8dc fff2c6",
    "fdf0ec 6d597a b56576 e56b6f eaac8b 355070",
    "f3f7f0 386641 6a994e a7c957 f2e8cf bc4749",
    "1a1423 3d314a 684756 96705b d9ae94 f1dca7",
    "eef4fb 023e8a 0077b6 00b4d8 90e0ef ffb703",
    "fff6f0 ff9f87 ffcdb2 b5838d 6d6875 84a59d",
    "14213d 3a4f8a 7a86c9 fca311 ffd791 e5e5e5",
    "f8f1ff 7b2cbf 9d4edd c77dff ff9ebb ffd6a5",
    "fbfaf5 1d3557 457b9d a8dadc e63946 f1c453",
    "10261f 1f5043 3b8068 8cc7a1 f0e2a3 e58f65",
    "f5f0e8 3e3a39 a44a3f d4a276 8a9a5b e0c9a6",
)


def choose_palette(named: Sequence[RGB], random: Random) -> Palette:
    """A palette, led by the colours that a prompt names.

    Args:
        named: colours of things in the prompt.
        random: chooses among the palettes, and the order of the colours.
    """
    ground, *colours = (_colour(code) for code in random.choice(PALETTES).split())
    if named:
        lead = named[0]
        ground = mix(lead, WHITE, 88) if random.random() < 0.6 else mix(lead, INK, 82)
        shades = [lead, mix(lead, WHITE, 45), mix(lead, INK, 45), *named[1:], mix(lead, WHITE, 70), colours[-1]]
        colours = shades[:5]
    return Palette(ground, tuple(colours))


def _colour(code: str) -> RGB:
    red, green, blue = bytes.fromhex(code)
    return red, green, blue
