"""Where every object of a scene is drawn, how large and how turned: a :class:`Scene` in, objects out."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, sqrt
from random import Random

from tasks_lib.models.procedural.arrangement import Arrangement, Axis, Part, arrange, pack
from tasks_lib.models.procedural.regions import Box, regions
from tasks_lib.models.procedural.scene import Group, Relation, Scene
from tasks_lib.models.procedural.shapes import aspect, inner_room, is_turnable

__all__ = ["Item", "Layout", "lay_out"]

SIZES = {"tiny": 0.09, "small": 0.15, "medium": 0.25, "large": 0.4, "huge": 0.56}
"""Of the canvas's shorter side, where there is room for it."""
MARGIN = 0.04
FILL = 0.84
"""How much of its cell an object may fill."""
APART = 1.12
"""How much room an object keeps around it when it leaves the middle of its cell, in sizes."""


@dataclass(frozen=True)
class Item:
    """One object on the canvas."""

    group: int
    x: float
    y: float
    """Its centre; pixels from the top left corner."""
    size: float
    """Pixels."""
    angle: int = 0
    """Degrees clockwise."""


@dataclass(frozen=True)
class Layout:
    """Every object in the order of drawing, and the relations that could not be met."""

    items: tuple[Item, ...]
    unmet: tuple[Relation, ...]


def lay_out(scene: Scene, width: int, height: int, random: Random) -> Layout:
    """Place the objects of a scene so that all it says is true.

    Args:
        scene: what the prompt says.
        width: of the canvas; pixels.
        height: of the canvas; pixels.
        random: decides what the scene leaves open.
    """
    planner = _Planner(scene, min(width, height), random)
    margin = MARGIN * min(width, height)
    canvas = Box(margin, margin, width - 2 * margin, height - 2 * margin)
    return Layout(tuple(planner.items(canvas)), tuple(planner.arrangement.unmet))


class _Planner:
    """Decides numbers and sizes first, then places one part after the other."""

    def __init__(self, scene: Scene, side: int, random: Random) -> None:
        self.groups = scene.groups
        self.random = random
        self.related = {group for relation in scene.relations for group in (*relation.subjects, *relation.objects)}
        self.arrangement: Arrangement = arrange(scene, random)
        self.counts = [random.randint(group.least, group.most) for group in scene.groups]
        self.sizes = [side * self._share(number, group) for number, group in enumerate(scene.groups)]

    def _share(self, number: int, group: Group) -> float:
        varied = self.random.uniform(0.94, 1.06)
        holds = number in self.arrangement.inside.values()
        few = sum(self.counts) <= 3
        unnamed = 0.56 if holds else self.random.uniform(0.28, 0.36) if few else self.random.uniform(0.22, 0.3)
        return varied * (SIZES[group.size] if group.size else unnamed)

    def items(self, canvas: Box) -> Iterator[Item]:
        parts = list(self.arrangement.parts)
        self.random.shuffle(parts)
        shared = regions([(part, self.arrangement.place_of(part)) for part in parts], canvas)
        leaves = [leaf for part, box in shared for leaf in self._leaves(part, box)]
        # One scale for all, so that a large object stays larger than a small one.
        scale = min((self._scale(group, box) for group, box in leaves), default=1.0)
        self.sizes = [size * min(1.0, scale) for size in self.sizes]
        for group, box in leaves:
            yield from self._stack(group, box)

    def _leaves(self, part: Part, box: Box) -> Iterator[tuple[int, Box]]:
        """Each group of a part with its box; children share by what they need."""
        if part.group is not None:
            yield part.group, box
            return
        axis: Axis = part.axis
        if axis == "longer":
            axis = "x" if box.width >= box.height else "y"
        needs = [self._need(child) for child in part.children]
        start = 0.0
        for child, need in zip(part.children, needs, strict=True):
            share = need / sum(needs)
            inner = box.part(start, 0, share, 1) if axis == "x" else box.part(0, start, 1, share)
            yield from self._leaves(child, inner)
            start += share

    def _need(self, part: Part) -> float:
        return sqrt(sum(self.counts[group] * self.sizes[group] ** 2 for group in part.groups()))

    def _scale(self, group: int, box: Box) -> float:
        """By how much the objects of a group must shrink to have room in a box; more than 1 if they need not."""
        need = self.sizes[group]
        backs = [back for back in self.arrangement.behind if self.arrangement.anchor(back) == group]
        if backs:
            need += sum(self.sizes[back] for back in backs)
        host = min([group, *backs], key=lambda member: self.counts[member])
        return self._grid(host, self.counts[host], box)[2] / need

    def _grid(self, group: int, count: int, box: Box) -> tuple[int, int, float]:
        """Columns, rows, and the size of objects in the grid that leaves them the most room."""
        wide, high = aspect(self.groups[group].shape)
        arrangement = self.groups[group].arrangement
        choices = {"row": [count], "column": [1], "grid": [ceil(sqrt(count))]}.get(
            arrangement or "", list(range(1, count + 1))
        )
        grids = [(columns, ceil(count / columns)) for columns in choices]
        sized = [(c, r, FILL * min(box.width / c / wide, box.height / r / high)) for c, r in grids]
        return max(sized, key=lambda grid: grid[2])

    def _stack(self, front: int, box: Box) -> Iterator[Item]:
        """A group with what is behind it and what is inside it, from the back to the front."""
        backs = self._backs(front)
        if len(backs) == 1 and self.counts[backs[0]] < self.counts[front] and not self._backs(backs[0]):
            items = list(self._spread(backs[0], self.counts[backs[0]], box))
            yield from self._filled(backs[0], items)
            yield from self._filled(front, list(self._guests(front, items, 1)))
        else:
            items = list(self._spread(front, self.counts[front], box))
            yield from self._behind(front, items)
            yield from self._filled(front, items)

    def _backs(self, front: int) -> list[int]:
        return [group for group, other in self.arrangement.behind.items() if other == front]

    def _behind(self, front: int, items: list[Item]) -> Iterator[Item]:
        for back in self._backs(front):
            guests = list(self._guests(back, items, -1))
            yield from self._behind(back, guests)
            yield from self._filled(back, guests)

    def _guests(self, group: int, hosts: list[Item], down: int) -> Iterator[Item]:
        """Objects that overlap others, to one side and above (-1) or below (1) them."""
        count = self.counts[group]
        each = ceil(count / len(hosts))
        side = self.random.choice((-1, 1))
        for number in range(count):
            host = hosts[number % len(hosts)]
            size = self.sizes[group] if each == 1 else min(self.sizes[group], 1.3 * host.size / each)
            reach = 0.33 * (host.size + size)
            x = 0.5 * side * reach if each == 1 else (number // len(hosts) + 0.5 - each / 2) * 1.1 * size
            yield Item(group, host.x + x, host.y + down * reach, size, self._angle(group))

    def _filled(self, container: int, items: list[Item]) -> Iterator[Item]:
        yield from items
        yield from self._contents(container, items)

    def _contents(self, container: int, items: list[Item]) -> Iterator[Item]:
        """What is inside a group's objects, shared out among them."""
        contents = [group for group, other in self.arrangement.inside.items() if other == container]
        if not contents:
            return
        rooms = [self._room(item) for item in items]
        room_of = [list(self._leaves(pack([Part(group) for group in contents]), room)) for room in rooms]
        for group in contents:
            for number, room in enumerate(dict(leaves)[group] for leaves in room_of):
                count = len(range(number, self.counts[group], len(items)))
                if count:
                    yield from self._filled(group, list(self._spread(group, count, room)))

    def _room(self, item: Item) -> Box:
        half_width, half_height, down = (item.size * share for share in inner_room(self.groups[item.group].shape))
        return Box(item.x - half_width, item.y + down - half_height, 2 * half_width, 2 * half_height)

    def _spread(self, group: int, count: int, box: Box) -> Iterator[Item]:
        """Objects on a grid, each a little off its point, so that none touches another."""
        columns, rows, limit = self._grid(group, count, box)
        size = min(self.sizes[group], limit)
        wide, high = (size * share for share in aspect(self.groups[group].shape))
        loose = self._loose(group, count)
        angle = self._angle(group)
        for number in range(count):
            row, column = divmod(number, columns)
            in_row = min(columns, count - row * columns)
            cell_width, cell_height = box.width / columns, box.height / rows
            x = box.left + (column + (columns - in_row) / 2 + 0.5) * cell_width
            y = box.top + (row + 0.5) * cell_height
            x += self.random.uniform(-0.5, 0.5) * loose * max(0.0, cell_width - APART * wide)
            y += self.random.uniform(-0.5, 0.5) * loose * max(0.0, cell_height - APART * high)
            yield Item(group, x, y, size, angle)

    def _loose(self, group: int, count: int) -> float:
        """How much of the free room in its cell an object may wander through."""
        if self.groups[group].arrangement or group in {*self.arrangement.behind, *self.arrangement.behind.values()}:
            return 0.0
        if group in self.related:  # so that what is above another is not far to its side
            return 0.25 if count == 1 else 0.6
        return 0.6 if count == 1 else 0.9

    def _angle(self, group: int) -> int:
        shape = self.groups[group].shape
        if shape == "arrow":
            return self.random.choice((0, 90, 180, 270))
        if shape == "line":
            return self.random.choice((0, 90, 45, 135))
        return self.random.randint(-14, 14) if is_turnable(shape) else 0
