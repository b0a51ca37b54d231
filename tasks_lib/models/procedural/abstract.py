"""Abstract compositions for prompts that name no shapes, and quiet grounds for those that name a few."""

from collections.abc import Sequence
from math import cos, hypot, pi, radians, sin
from random import Random

from PIL import Image, ImageDraw

from tasks_lib.models.procedural.colours import RGB, mix
from tasks_lib.models.procedural.palettes import choose_palette
from tasks_lib.models.procedural.sketch import Point, Sketch, around, blend

__all__ = ["draw_abstract", "draw_quiet"]

MOST_PIXELS = 2_500_000
"""Up to here compositions are drawn at twice the size and reduced; above, as they are. Soft discs need neither."""


def draw_abstract(width: int, height: int, named: Sequence[RGB], look: Random, random: Random) -> Image.Image:
    """A composition of soft shapes.

    Args:
        width: pixels.
        height: pixels.
        named: colours that lead the palette.
        look: chooses style and palette; the same for all images of a prompt.
        random: chooses everything else.

    Returns:
        An RGB image.
    """
    style = look.choice((_draw_hills, _draw_orbs, _draw_flow, _draw_tiles, _draw_ribbons, _draw_arcs, _draw_facets))
    palette = choose_palette(named, look)
    times = 2 if style is not _draw_orbs and width * height <= MOST_PIXELS else 1
    sketch = Sketch(width * times, height * times, palette, random)
    style(sketch)
    return sketch.image.reduce(times) if times > 1 else sketch.image


def draw_quiet(width: int, height: int, ground: RGB, random: Random) -> Image.Image:
    """A ground with a soft light and a few faint circles, on which objects stand out."""
    light, shade = mix(ground, (255, 255, 255), 30), mix(ground, (90, 100, 130), 9)
    image = blend(width, height, [light, ground, ground, shade])
    draw = ImageDraw.Draw(image, "RGBA")
    for _ in range(4):
        radius = random.uniform(0.2, 0.6) * max(width, height)
        x, y = random.random() * width, random.random() * height
        draw.ellipse(around(x, y, radius), fill=(*random.choice((light, shade)), 90))
    return image


def _draw_hills(sketch: Sketch) -> None:
    """Ridges one behind the other under a sun."""
    random, palette = sketch.random, sketch.palette
    sketch.wash(mix(palette.ground, palette.colours[0], 25), mix(palette.ground, palette.colours[-1], 55))
    x, y = random.uniform(0.2, 0.8) * sketch.width, random.uniform(0.18, 0.4) * sketch.height
    radius = random.uniform(0.08, 0.14) * sketch.side
    for ring in (2.6, 1.9, 1.4):
        sketch.disc(x, y, radius * ring, palette.colours[-1], 28)
    sketch.disc(x, y, radius, mix(palette.colours[-1], (255, 255, 255), 35))
    ridges = random.randint(5, 7)
    for ridge in range(ridges):
        share = ridge / (ridges - 1)
        base = (0.42 + 0.5 * share) * sketch.height
        wave = sketch.wave(sketch.height * (0.05 - 0.015 * share), random.uniform(0.8, 1.8))
        points = [(step / 48 * sketch.width, base + offset) for step, offset in enumerate(wave)]
        colour = mix(palette.between(1 - share), palette.ground, round(45 * (1 - share)))
        sketch.polygon([(0, sketch.height), *points, (sketch.width, sketch.height)], colour)


def _draw_orbs(sketch: Sketch) -> None:
    """Translucent discs and thin rings over a blend of colours."""
    random, palette = sketch.random, sketch.palette
    corners = [mix(palette.ground, colour, 42) for colour in random.sample(palette.colours, 4)]
    sketch.image.paste(blend(sketch.width, sketch.height, corners))
    for number in range(random.randint(7, 9)):
        radius = sketch.side * (0.31 - 0.03 * number) * random.uniform(0.8, 1.2)
        x, y = random.uniform(0.08, 0.92) * sketch.width, random.uniform(0.08, 0.92) * sketch.height
        colour = random.choice(palette.colours)
        sketch.soft_disc(x, y, radius, colour, random.randint(120, 215))
        if number % 2:
            wider = radius * random.uniform(1.12, 1.3)
            sketch.soft_disc(x, y, wider, colour, 170, outline=max(1, sketch.side // 256))


def _draw_flow(sketch: Sketch) -> None:
    """Strokes that follow a field of slowly turning directions."""
    random, palette = sketch.random, sketch.palette
    sketch.quiet_wash()
    a, b, c, d = (random.uniform(0, 2 * pi) for _ in range(4))
    bend, grain = random.uniform(1.6, 2.8), random.uniform(0.9, 1.5)
    step = 0.025 * sketch.side
    for _ in range(170):
        x, y = random.random() * sketch.width, random.random() * sketch.height
        points = [(x, y)]
        for _ in range(random.randint(8, 20)):
            u, v = x / sketch.side * grain, y / sketch.side * grain
            angle = a + bend * (sin(2.1 * u + b) + cos(2.7 * v + c) * 0.7 + 0.4 * sin(3.3 * (u + v) + d))
            x, y = x + step * cos(angle), y + step * sin(angle)
            points.append((x, y))
        colour = palette.between(0.15 + 0.7 * y / sketch.height + random.uniform(-0.3, 0.3))
        sketch.polygon(_brushed(points, sketch.side * random.uniform(0.006, 0.016)), colour)


def _brushed(points: Sequence[Point], reach: float) -> list[Point]:
    """The outline of a brush stroke along points: thin at its ends, wide by twice the reach in its middle."""
    left, right = [points[0]], [points[0]]
    for number in range(1, len(points) - 1):
        (x, y), (before_x, before_y), (after_x, after_y) = points[number], points[number - 1], points[number + 1]
        across_x, across_y = before_y - after_y, after_x - before_x
        share = reach * (0.25 + 0.75 * sin(pi * number / (len(points) - 1))) / (hypot(across_x, across_y) or 1.0)
        left.append((x + across_x * share, y + across_y * share))
        right.append((x - across_x * share, y - across_y * share))
    return [*left, points[-1], *reversed(right)]


def _draw_tiles(sketch: Sketch) -> None:
    """A grid of quarter discs, half discs and dots."""
    random, palette = sketch.random, sketch.palette
    tile = sketch.side / random.randint(4, 6)
    tints = [*palette.colours, palette.ground, mix(palette.ground, palette.colours[0], 14)]
    for row in range(int(sketch.height / tile + 0.999)):
        for column in range(int(sketch.width / tile + 0.999)):
            left, top = round(column * tile), round(row * tile)
            right, bottom = round((column + 1) * tile), round((row + 1) * tile)
            back, front, dot = random.sample(tints, 3)
            sketch.solid.rectangle((left, top, right, bottom), fill=back)
            corner_x, corner_y = random.choice((left, right)), random.choice((top, bottom))
            start = {(left, top): 0, (right, top): 90, (right, bottom): 180, (left, bottom): 270}[corner_x, corner_y]
            kind = random.random()
            if kind < 0.62:
                for share, colour in ((1.0, front), (0.5, dot if kind < 0.3 else front)):
                    box = around(corner_x, corner_y, tile * share)
                    sketch.solid.pieslice(box, start, start + 90, fill=colour)
            elif kind < 0.84:
                sketch.disc((left + right) / 2, (top + bottom) / 2, tile * 0.32, front)
                sketch.disc((left + right) / 2, (top + bottom) / 2, tile * 0.14, dot)
            else:
                sketch.polygon([(left, top), (right, top), (corner_x, bottom)], front)


def _draw_ribbons(sketch: Sketch) -> None:
    """Broad translucent waves across the picture."""
    random, palette = sketch.random, sketch.palette
    sketch.quiet_wash()
    ribbons = random.randint(6, 8)
    for ribbon in range(ribbons):
        middle = (ribbon + 0.5) / ribbons * sketch.height
        upper = sketch.wave(sketch.height * 0.07, random.uniform(0.5, 1.1))
        lower = sketch.wave(sketch.height * 0.07, random.uniform(0.5, 1.1))
        thick = sketch.height * random.uniform(0.05, 0.12)
        top = [(step / 48 * sketch.width, middle - thick + offset) for step, offset in enumerate(upper)]
        bottom = [(step / 48 * sketch.width, middle + thick + offset) for step, offset in enumerate(lower)]
        colour = palette.between(ribbon / (ribbons - 1))
        sketch.polygon([*top, *reversed(bottom)], colour, random.randint(150, 225))
        sketch.line(top, mix(colour, (255, 255, 255), 45), sketch.side / 320, 190)


def _draw_arcs(sketch: Sketch) -> None:
    """Concentric arcs of different lengths around one or two centres."""
    random, palette = sketch.random, sketch.palette
    sketch.quiet_wash()
    for number in range(random.randint(1, 2)):
        x, y = random.uniform(0.25, 0.75) * sketch.width, random.uniform(0.3, 0.7) * sketch.height
        width = sketch.side * (0.03 - 0.01 * number)
        for ring in range(1, random.randint(9, 14) - 4 * number):
            start, colour = random.uniform(0, 360), random.choice(palette.colours)
            length, radius = random.uniform(80, 290), ring * width * 1.55
            box = around(x, y, radius + width / 2)
            sketch.solid.arc(box, start, start + length, fill=colour, width=max(1, round(width)))
            for angle in (start, start + length):
                sketch.disc(x + radius * cos(radians(angle)), y + radius * sin(radians(angle)), width / 2, colour, 255)
        sketch.disc(x, y, width * 0.8, palette.colours[-1])


def _draw_facets(sketch: Sketch) -> None:
    """A crumpled sheet of triangles lit from one side."""
    random, palette = sketch.random, sketch.palette
    columns = random.randint(6, 9)
    cell = sketch.width / columns
    rows = max(1, round(sketch.height / cell))
    points = [
        [_shaken(sketch, c * cell, r * sketch.height / rows, cell) for c in range(columns + 1)] for r in range(rows + 1)
    ]
    x, y = random.random(), random.random()
    for r in range(rows):
        for c in range(columns):
            a, b, d, e = points[r][c], points[r][c + 1], points[r + 1][c], points[r + 1][c + 1]
            for corners in ((a, b, d), (b, e, d)) if random.random() < 0.5 else ((a, b, e), (a, e, d)):
                away = abs(corners[0][0] / sketch.width - x) + abs(corners[0][1] / sketch.height - y)
                colour = palette.between(away / 1.3 + random.uniform(-0.13, 0.13))
                sketch.polygon(corners, mix(colour, (255, 255, 255), random.randint(0, 22)))


def _shaken(sketch: Sketch, x: float, y: float, cell: float) -> Point:
    """A point of the grid moved a little; those on the border stay on it."""
    inside = 0 < x < sketch.width - 1 and 0 < y < sketch.height - 1
    reach = 0.36 * cell if inside else 0.0
    return x + sketch.random.uniform(-reach, reach), y + sketch.random.uniform(-reach, reach)
