"""An abstract composition in the making: an image with a palette, and what every style draws with."""

from collections.abc import Sequence
from math import pi, sin
from random import Random

from PIL import Image, ImageDraw

from tasks_lib.models.procedural.colours import RGB, mix
from tasks_lib.models.procedural.palettes import Palette

__all__ = ["Point", "Sketch", "around", "blend"]

Point = tuple[float, float]
"""Pixels from the left and from the top."""


def blend(width: int, height: int, corners: Sequence[RGB]) -> Image.Image:
    """A gradient between the colours of the four corners, row by row from the top left."""
    small = Image.new("RGB", (2, 2))
    small.putdata(list(corners))
    return small.resize((width, height), Image.Resampling.BILINEAR, box=(0.5, 0.5, 1.5, 1.5))


def around(x: float, y: float, radius: float) -> tuple[int, int, int, int]:
    """The box of a circle: left, top, right and bottom in whole pixels."""
    return round(x - radius), round(y - radius), round(x + radius), round(y + radius)


class Sketch:
    """An image in the making, with what every style needs."""

    def __init__(self, width: int, height: int, palette: Palette, random: Random) -> None:
        self.width, self.height, self.side = width, height, min(width, height)
        self.palette = palette
        self.random = random
        self.image = Image.new("RGB", (width, height), palette.ground)
        self.solid = ImageDraw.Draw(self.image)
        self.draw = ImageDraw.Draw(self.image, "RGBA")  # blends, at twice the price

    def wash(self, top: RGB, bottom: RGB) -> None:
        """Cover all with a gradient from top to bottom."""
        column = blend(1, self.height, [top, top, bottom, bottom])
        self.image.paste(column.resize(self.image.size, Image.Resampling.NEAREST))

    def quiet_wash(self) -> None:
        """Cover all with the ground of the palette, a little coloured towards the bottom."""
        self.wash(self.palette.ground, mix(self.palette.ground, self.palette.colours[1], 12))

    def polygon(self, points: Sequence[Point], colour: RGB, opacity: int = 255) -> None:
        """Fill a polygon; an opacity of 255 hides what is below."""
        draw = self.solid if opacity == 255 else self.draw
        draw.polygon([(round(x), round(y)) for x, y in points], fill=(*colour, opacity))

    def disc(self, x: float, y: float, radius: float, colour: RGB, opacity: int = 255) -> None:
        """Fill a circle; an opacity of 255 hides what is below."""
        draw = self.solid if opacity == 255 else self.draw
        draw.ellipse(around(x, y, radius), fill=(*colour, opacity))

    def soft_disc(self, x: float, y: float, radius: float, colour: RGB, opacity: int, outline: int = 0) -> None:
        """A disc, or a ring whose outline is so many pixels wide, with smooth edges at any size."""
        reach = round(radius) + 2
        mask = Image.new("L", (4 * reach, 4 * reach))
        ring = {"outline": opacity, "width": 2 * outline} if outline else {"fill": opacity}
        ImageDraw.Draw(mask).ellipse(around(2 * reach, 2 * reach, 2 * radius), **ring)
        self.image.paste(colour, (round(x) - reach, round(y) - reach), mask.reduce(2))

    def line(self, points: Sequence[Point], colour: RGB, width: float, opacity: int = 255) -> None:
        """Draw a line through points, so many pixels wide."""
        rounded = [(round(x), round(y)) for x, y in points]
        self.draw.line(rounded, fill=(*colour, opacity), width=max(1, round(width)))

    def wave(self, height: float, waves: float) -> list[float]:
        """A smooth line from the left to the right border: two sines, as heights of 49 points."""
        first, second = self.random.uniform(0, 2 * pi), self.random.uniform(0, 2 * pi)
        steps = [step / 48 for step in range(49)]
        return [
            height * (sin(2 * pi * waves * s + first) + 0.5 * sin(2 * pi * 2.3 * waves * s + second)) for s in steps
        ]
