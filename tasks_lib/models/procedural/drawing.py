"""Draws what a prompt names: a prompt and a seed in, an image and what was understood out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from typing import cast

from PIL import Image, ImageChops

from tasks_lib.models.procedural.abstract import draw_abstract, draw_quiet
from tasks_lib.models.procedural.colours import COLOURS, RGB, VIVID, colour_of, distance, mix
from tasks_lib.models.procedural.grammar import read_scene
from tasks_lib.models.procedural.layout import Layout, lay_out
from tasks_lib.models.procedural.painting import Look, Stamp
from tasks_lib.models.procedural.scene import Scene

__all__ = ["Drawing", "draw", "draw_onto"]

GROUNDS: tuple[RGB, ...] = ((247, 245, 240), (238, 243, 247), (250, 242, 234), (240, 245, 238), (58, 66, 84))
"""Backgrounds where the prompt names none; the dark one is for pale objects."""
SAME = 24
"""Grey levels by which a pixel may differ from the corner and still be background."""
OVERLAY = 0.4
"""How much of an abstract composition is seen over the image that is edited."""
TOLD_APART = 9000
"""Squared distance from which on two colours are easily told apart."""


@dataclass(frozen=True)
class Drawing:
    """An image, and what of the prompt is in it."""

    image: Image.Image
    """RGB."""
    objects: tuple[str, ...]
    """What was drawn, such as ``2 small red circle``; empty for an abstract composition."""
    relations: tuple[str, ...]
    """What holds between them, by their numbers in :attr:`objects`: ``0 above 1``."""
    background: str | None
    """The background the prompt names."""
    complete: bool
    """Whether everything in the prompt was understood and drawn."""


def draw(prompt: str, seed: int, width: int, height: int) -> Drawing:
    """Draw a prompt; equal arguments give equal pixels.

    Args:
        prompt: any text. Shapes, colours, numbers, places and relations it names are drawn; the rest becomes
            an abstract composition.
        seed: varies whatever the prompt leaves open.
        width: pixels.
        height: pixels.
    """
    scene, look, random = _understood(prompt, seed)
    if not scene.groups and not (scene.background and scene.complete):
        image = draw_abstract(width, height, [colour_of(name) for name in scene.colours], look, random)
        return Drawing(image, (), (), None, False)
    layout = lay_out(scene, width, height, random)
    named = [colour_of(name) for group in scene.groups for name in (group.colour, group.accent) if name]
    ground = colour_of(scene.background) if scene.background else _ground(named, random)
    if scene.complete or scene.background:
        image = Image.new("RGB", (width, height), ground)
    else:
        image = draw_quiet(width, height, ground, random)
    _paint(image, scene, layout, [*named, ground], random)
    return _drawing(image, scene, layout)


def draw_onto(source: Image.Image, prompt: str, seed: int) -> Drawing:
    """Draw what a prompt names onto an image; equal arguments give equal pixels.

    Args:
        source: RGB. A background that the prompt names takes the place of what has the colour of its corner.
        prompt: any text; what is not understood lies as an abstract composition over the image.
        seed: varies whatever the prompt leaves open.
    """
    scene, look, random = _understood(prompt, seed)
    image, corner = source.copy(), cast(RGB, source.getpixel((0, 0)))
    if scene.background:
        difference = ImageChops.difference(image, Image.new("RGB", image.size, corner)).convert("L")
        image.paste(colour_of(scene.background), mask=difference.point([255] * SAME + [0] * (256 - SAME)))
    if not scene.groups and not (scene.background and scene.complete):
        colours = [colour_of(name) for name in scene.colours]
        over = draw_abstract(*image.size, colours, look, random)
        return Drawing(Image.blend(image, over, OVERLAY), (), (), scene.background, False)
    layout = lay_out(scene, *image.size, random)
    named = [colour_of(name) for group in scene.groups for name in (group.colour, group.accent) if name]
    _paint(image, scene, layout, [*named, corner], random)
    return _drawing(image, scene, layout)


def _understood(prompt: str, seed: int) -> tuple[Scene, Random, Random]:
    """What a prompt says, what decides what all of its images share, and what decides the rest."""
    text = prompt.encode("utf-8", "surrogatepass")
    look = Random(int.from_bytes(sha256(text).digest()))
    return read_scene(prompt), look, Random(int.from_bytes(sha256(b"%d:%b" % (seed, text)).digest()))


def _drawing(image: Image.Image, scene: Scene, layout: Layout) -> Drawing:
    relations = tuple(str(relation) for relation in scene.relations if relation not in layout.unmet)
    complete = scene.complete and not layout.unmet
    return Drawing(image, _described(scene, layout), relations, scene.background, complete)


def _described(scene: Scene, layout: Layout) -> tuple[str, ...]:
    counts = [sum(item.group == number for item in layout.items) for number in range(len(scene.groups))]
    return tuple(group.described(count) for group, count in zip(scene.groups, counts, strict=True))


def _paint(image: Image.Image, scene: Scene, layout: Layout, used: Sequence[RGB], random: Random) -> None:
    colours = _colours(scene, used, random)
    patterns = [group.pattern for group in scene.groups]
    accents = [_accent(group.accent, colour) for group, colour in zip(scene.groups, colours, strict=True)]
    stamps: dict[tuple[int, Look], Stamp] = {}
    for item in layout.items:
        look = Look(scene.groups[item.group].shape, max(3, round(item.size)), item.angle, patterns[item.group])
        if (item.group, look) not in stamps:
            stamps[item.group, look] = Stamp(look, colours[item.group], accents[item.group])
        stamps[item.group, look].paint(image, round(item.x), round(item.y))


def _ground(colours: Iterable[RGB], random: Random) -> RGB:
    """A background on which all of these colours can be seen."""
    choices = [ground for ground in GROUNDS[:-1] if _nearest(ground, colours) > TOLD_APART]
    return random.choice(choices) if choices else max(GROUNDS, key=lambda ground: _nearest(ground, colours))


def _nearest(colour: RGB, others: Iterable[RGB]) -> int:
    return min((distance(colour, other) for other in others), default=3 * 255**2)


def _colours(scene: Scene, used: Sequence[RGB], random: Random) -> list[RGB]:
    """The colour of each group: the one it is given, or one that nothing else in the scene has."""
    taken = list(used)
    colours = []
    for group in scene.groups:
        if group.colour is None:
            free = [COLOURS[name] for name in VIVID if _nearest(COLOURS[name], taken) > TOLD_APART]
            taken.append(random.choice(free or [COLOURS[name] for name in VIVID]))
        colours.append(colour_of(group.colour) if group.colour else taken[-1])
    return colours


def _accent(name: str | None, colour: RGB) -> RGB:
    """The second colour of a pattern: the one named, or a tint of the first, or of pale colours a shade."""
    if name:
        return colour_of(name)
    pale = distance(colour, COLOURS["white"]) < 4 * TOLD_APART
    return mix(colour, COLOURS["black"], 35) if pale else mix(colour, COLOURS["white"], 65)
