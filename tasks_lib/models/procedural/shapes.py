"""What each shape looks like: outlines in a unit square, and the room inside them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import cos, pi, radians, sin

__all__ = ["Outline", "Point", "aspect", "inner_room", "is_turnable", "outline", "turned"]

Point = tuple[float, float]
"""Right and down from the centre, in sizes: the unit square is -0.5 to 0.5."""
ROUND = 120
"""Corners of the polygon that stands for a circle."""


@dataclass(frozen=True)
class Outline:
    """A polygon, perhaps with a hole."""

    solid: tuple[Point, ...]
    hole: tuple[Point, ...] = ()


def _arc(start: float, end: float, radius: float = 0.5, centre: Point = (0, 0), flat: float = 1.0) -> list[Point]:
    """Points on an arc, clockwise from the right; angles in degrees."""
    steps = max(2, round(ROUND * abs(end - start) / 360))
    angles = [radians(start + (end - start) * step / steps) for step in range(steps + 1)]
    return [(centre[0] + radius * cos(angle), centre[1] + radius * flat * sin(angle)) for angle in angles]


def _regular(corners: int, start: float = -90) -> Outline:
    angles = [radians(start + 360 * corner / corners) for corner in range(corners)]
    return Outline(tuple((0.5 * cos(angle), 0.5 * sin(angle)) for angle in angles))


def _box(width: float, height: float) -> Outline:
    x, y = width / 2, height / 2
    return Outline(((-x, -y), (x, -y), (x, y), (-x, y)))


def _star() -> Outline:
    angles = [radians(-90 + 36 * corner) for corner in range(10)]
    radii = (0.5, 0.21) * 5
    return Outline(tuple((r * cos(angle), r * sin(angle)) for r, angle in zip(radii, angles, strict=True)))


def _heart() -> Outline:
    """The well-known trigonometric heart curve, scaled to the unit square."""
    angles = [2 * pi * step / ROUND for step in range(ROUND)]
    points = [(16 * sin(t) ** 3, -(13 * cos(t) - 5 * cos(2 * t) - 2 * cos(3 * t) - cos(4 * t))) for t in angles]
    return Outline(tuple((x / 34, (y - 2.5) / 32) for x, y in points))


def _cross() -> Outline:
    a, b = 0.17, 0.48
    corners = [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a), (-b, a), (-b, -a)]
    return Outline((*corners, (-a, -a)))


def _arrow() -> Outline:
    head, shaft, neck = 0.3, 0.12, 0.06
    tip = [(neck, -head), (0.5, 0), (neck, head)]
    return Outline(((-0.5, -shaft), (neck, -shaft), *tip, (neck, shaft), (-0.5, shaft)))


OUTLINES: dict[str, Callable[[], Outline]] = {
    "circle": lambda: Outline(tuple(_arc(0, 360))),
    "sphere": lambda: Outline(tuple(_arc(0, 360))),
    "square": lambda: _box(0.9, 0.9),
    "rectangle": lambda: _box(1, 0.6),
    "line": lambda: _box(1, 0.08),
    "triangle": lambda: Outline(((0, -0.45), (0.5, 0.45), (-0.5, 0.45))),
    "diamond": lambda: Outline(((0, -0.5), (0.38, 0), (0, 0.5), (-0.38, 0))),
    "pentagon": lambda: _regular(5),
    "hexagon": lambda: _regular(6, start=0),
    "cube": lambda: _regular(6),
    "octagon": lambda: _regular(8, start=22.5),
    "ellipse": lambda: Outline(tuple(_arc(0, 360, flat=0.62))),
    "semicircle": lambda: Outline(tuple(_arc(180, 360, centre=(0, 0.25)))),
    "ring": lambda: Outline(tuple(_arc(0, 360)), tuple(_arc(0, 360, radius=0.3))),
    "crescent": lambda: Outline(tuple(_arc(0, 360)), tuple(_arc(0, 360, radius=0.42, centre=(0.22, -0.06)))),
    "star": _star,
    "heart": _heart,
    "cross": _cross,
    "arrow": _arrow,
}
# Half the width and height of the room inside, and how far it lies below the centre.
ROOMS = {
    "circle": (0.33, 0.33, 0),
    "sphere": (0.33, 0.33, 0),
    "square": (0.41, 0.41, 0),
    "rectangle": (0.45, 0.26, 0),
    "triangle": (0.22, 0.2, 0.21),
    "diamond": (0.19, 0.23, 0),
    "pentagon": (0.29, 0.3, 0.02),
    "hexagon": (0.33, 0.33, 0),
    "octagon": (0.35, 0.35, 0),
    "ellipse": (0.33, 0.2, 0),
    "semicircle": (0.3, 0.17, 0.05),
    "heart": (0.25, 0.22, -0.07),
    "ring": (0.2, 0.2, 0),
}


@cache
def outline(shape: str) -> Outline:
    """The outline of a shape by its name."""
    return OUTLINES[shape]()


def aspect(shape: str) -> tuple[float, float]:
    """Width and height of the square that a shape may fill, in sizes."""
    return {"rectangle": (1.0, 0.6), "ellipse": (1.0, 0.62)}.get(shape, (1.0, 1.0))


def inner_room(shape: str) -> tuple[float, float, float]:
    """Half the width, half the height and the offset downwards of the room inside a shape, in sizes."""
    return ROOMS.get(shape, (0.13, 0.13, 0.0))


def is_turnable(shape: str) -> bool:
    """Whether a shape is still told for what it is after a small turn."""
    return shape in ("star", "pentagon", "hexagon", "crescent")


def turned(points: tuple[Point, ...], degrees: int) -> list[Point]:
    """Points turned clockwise about the centre."""
    if degrees == 0:
        return list(points)
    c, s = cos(radians(degrees)), sin(radians(degrees))
    return [(x * c - y * s, x * s + y * c) for x, y in points]
