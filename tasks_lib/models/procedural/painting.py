"""Paints single objects onto an image: smooth edges, flat colours, a faint shadow."""

from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from tasks_lib.models.procedural.colours import BASIC_COLOURS, RGB, mix
from tasks_lib.models.procedural.shapes import Point, outline, turned

__all__ = ["Look", "Stamp"]

SHADOW = 9
"""How dark the shadow is, in per cent."""
FACES = {
    "white": ((0, 0), (-0.433, -0.25), (0, -0.5), (0.433, -0.25)),
    "black": ((0, 0), (0.433, -0.25), (0.433, 0.25), (0, 0.5)),
}
"""The upper and the right face of a cube, by what lightens or darkens them."""


@dataclass(frozen=True)
class Look:
    """What an object looks like; objects that look the same share a stamp."""

    shape: str
    size: int
    """Pixels."""
    angle: int
    """Degrees clockwise."""
    pattern: str | None = None


class Stamp:
    """An object ready to be painted any number of times."""

    def __init__(self, look: Look, colour: RGB, accent: RGB) -> None:
        """Draw it once.

        Args:
            look: of the object.
            colour: of its area.
            accent: the second colour, where the look has a pattern.
        """
        self.half = (look.size + 4) // 2
        self.shadow_room = max(2, look.size // 4)
        self.shadow_fall = look.size // 24
        self.mask = _mask(look)
        self.shadow = _shadow_mask(self.mask, look.size, self.shadow_room)
        self.layers = [(colour, self.mask), *self._details(look, colour, accent)]

    def _details(self, look: Look, colour: RGB, accent: RGB) -> list[tuple[RGB, Image.Image]]:
        """What is painted over the flat colour, by colour and mask."""
        details = []
        if look.shape == "cube":
            details = [(mix(colour, BASIC_COLOURS[tone], 16), _face_mask(look, FACES[tone])) for tone in FACES]
        if look.shape == "sphere":
            details = [(BASIC_COLOURS["white"], _shine_mask(look.size))]
        if look.pattern:
            details.append((accent, _pattern_mask(look)))
        return [(tint, ImageChops.darker(mask, self.mask)) for tint, mask in details]

    def paint(self, image: Image.Image, x: int, y: int) -> None:
        """Paint it with its shadow.

        Args:
            image: what to paint on; RGB.
            x: where its centre goes; pixels from the left.
            y: where its centre goes; pixels from the top.
        """
        left, top = x - self.half, y - self.half
        shadow_corner = left - self.shadow_room, top - self.shadow_room + self.shadow_fall
        image.paste(BASIC_COLOURS["black"], shadow_corner, self.shadow)
        for colour, mask in self.layers:
            image.paste(colour, (left, top), mask)


def _mask(look: Look) -> Image.Image:
    """Where the shape is, as grey levels; drawn larger and reduced, in whole numbers only."""
    shape = outline(look.shape)
    drawing = _Drawing(look.size)
    drawing.fill(turned(shape.solid, look.angle), 255)
    if shape.hole:
        drawing.fill(turned(shape.hole, look.angle), 0)
    return drawing.reduced()


def _pattern_mask(look: Look) -> Image.Image:
    """Where the second colour of a pattern is."""
    drawing = _Drawing(look.size)
    if look.pattern == "striped":
        for number in range(-3, 4):
            x = number / 6
            drawing.fill([(x - 0.04, -0.6), (x + 0.04, -0.6), (x + 0.04, 0.6), (x - 0.04, 0.6)], 255)
    else:
        dot = [(x * 0.11, y * 0.11) for x, y in outline("circle").solid]
        for row in range(-3, 4):
            for column in range(-3, 4):
                centre = (column + (row % 2) / 2) / 5.5, row / 6.4
                drawing.fill([(centre[0] + x, centre[1] + y) for x, y in dot], 255)
    return drawing.reduced()


def _face_mask(look: Look, face: tuple[Point, ...]) -> Image.Image:
    drawing = _Drawing(look.size)
    drawing.fill(list(face), 255)
    return drawing.reduced()


def _shine_mask(size: int) -> Image.Image:
    """A soft spot of light in the upper left of a sphere."""
    side = size + 4
    spot = ImageChops.invert(Image.radial_gradient("L")).resize((max(1, side * 5 // 9), max(1, side * 5 // 9)))
    mask = Image.new("L", (side, side))
    mask.paste(spot.point([max(0, level - 76) * 2 // 5 for level in range(256)]), (side * 13 // 100, side * 11 // 100))
    return mask


def _shadow_mask(mask: Image.Image, size: int, room: int) -> Image.Image:
    """The mask blurred, wider and as faint as the shadow is to be."""
    shrink = max(1, size // 48)
    side = -(-(mask.width + 2 * room) // shrink) * shrink
    wide = Image.new("L", (side, side))
    wide.paste(mask, (room, room))
    blur = ImageFilter.BoxBlur(max(1, size // shrink // 14))
    small = wide.reduce(shrink).filter(blur).filter(blur)
    return small.resize(wide.size, Image.Resampling.BILINEAR).point([level * SHADOW // 100 for level in range(256)])


class _Drawing:
    """A square of grey levels, a few times as large as what it becomes, with two pixels around it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.times = 4 if size <= 700 else 2
        self.image = Image.new("L", ((size + 4) * self.times,) * 2)
        self.draw = ImageDraw.Draw(self.image)

    def fill(self, points: list[Point], level: int) -> None:
        middle, scale = (self.size + 4) * self.times / 2, self.size * self.times
        self.draw.polygon([(round(middle + scale * x), round(middle + scale * y)) for x, y in points], fill=level)

    def reduced(self) -> Image.Image:
        return self.image.reduce(self.times)
