"""Which group of a scene stands where, before any sizes: nested splits that make the relations true.

Each group starts as a part of its own. A relation joins two parts into one that is split along an
axis, so whatever held inside a part goes on holding (a slicing floor plan, as in chip layout).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from tasks_lib.models.procedural.scene import Place, Relation, Scene

__all__ = ["Arrangement", "Axis", "Part", "arrange", "pack"]

Axis = Literal["x", "y", "longer"]
"""Along what the children of a part follow each other; ``longer``: its longer side."""


@dataclass
class Part:
    """A group, or parts in order along an axis."""

    group: int | None = None
    axis: Axis = "longer"
    children: list["Part"] = field(default_factory=list)

    def groups(self) -> Iterator[int]:
        """The groups in it, in order."""
        if self.group is not None:
            yield self.group
        for child in self.children:
            yield from child.groups()

    def leaf(self, group: int) -> "Part":
        """The part that is this group alone."""
        if self.group == group:
            return self
        return next(child for child in self.children if group in child.groups()).leaf(group)

    def split_of(self, first: int, second: int) -> "Part":
        """The innermost part that holds both groups."""
        for child in self.children:
            if {first, second} <= set(child.groups()):
                return child.split_of(first, second)
        return self

    def position(self, group: int) -> int:
        """The number of the child that holds a group."""
        return next(number for number, child in enumerate(self.children) if group in child.groups())


def pack(parts: Sequence[Part], axis: Axis = "longer") -> Part:
    """One part of several that are independent of each other, split in halves."""
    if len(parts) == 1:
        return parts[0]
    middle = (len(parts) + 1) // 2
    if axis != "longer":
        return Part(axis=axis, children=list(parts))
    return Part(axis=axis, children=[pack(parts[:middle]), pack(parts[middle:])])


@dataclass
class Arrangement:
    """The parts of a scene, and the groups that stand in or behind others."""

    scene: Scene
    parts: list[Part]
    inside: dict[int, int] = field(default_factory=dict)
    """Container by its content."""
    behind: dict[int, int] = field(default_factory=dict)
    """The group in front by the one behind it."""
    unmet: list[Relation] = field(default_factory=list)
    """Relations that contradict others."""

    def anchor(self, group: int) -> int:
        """The group whose place decides where this one is."""
        while group in self.inside or group in self.behind:
            group = self.inside.get(group, self.behind.get(group, group))
        return group

    def part_of(self, group: int) -> Part:
        """The whole part that holds a group, or what it is in."""
        anchor = self.anchor(group)
        return next(part for part in self.parts if anchor in part.groups())

    def place_of(self, part: Part) -> Place | None:
        """Where the prompt wants a part, if it says so for one of its groups."""
        placed = (self.scene.groups[group].place for group in range(len(self.scene.groups)) if self._holds(part, group))
        return next((place for place in placed if place), None)

    def _holds(self, part: Part, group: int) -> bool:
        return self.anchor(group) in part.groups()

    def attach(self, relation: Relation) -> None:
        """Put groups inside or behind another one, if they are still free."""
        holders = self.inside if relation.kind == "inside" else self.behind
        holder = relation.objects[0]
        for group in relation.subjects:
            nested = relation.kind == "behind" and holder in self.inside
            if nested or self.anchor(holder) == group or group in self.inside or group in self.behind:
                self.unmet.append(relation)
                continue
            holders[group] = holder
            self.parts = [part for part in self.parts if part.group != group]

    def join(self, relation: Relation, axis: Axis) -> None:
        """Put the parts of the subjects before those of the objects along an axis."""
        first, second = self._parts(relation.subjects), self._parts(relation.objects)
        places = {self.place_of(part) for part in (*first, *second)} - {None}
        if any(part in second for part in first) or len(places) > 1:
            if not self._stands(relation, axis):
                self.unmet.append(relation)
            return
        across: Axis = "y" if axis == "x" else "x"
        joined = Part(axis=axis, children=[pack(first, across), pack(second, across)])
        self.parts = [part for part in self.parts if part not in (*first, *second)] + [joined]

    def put_between(self, relation: Relation, axis: Axis) -> None:
        """Put the subjects between the two objects."""
        first, last = (self.anchor(group) for group in relation.objects)
        middle, before, after = self._parts(relation.subjects), self.part_of(first), self.part_of(last)
        if before in middle or after in middle or first == last:
            self.unmet.append(relation)
            return
        self.parts = [part for part in self.parts if part not in (*middle, before, after)]
        if before is after:
            split = before.split_of(first, last)
            split.children.insert(max(split.position(first), split.position(last)), pack(middle))
            self.parts.append(before)
        else:
            self.parts.append(Part(axis=axis, children=[before, pack(middle), after]))

    def _parts(self, groups: Sequence[int]) -> list[Part]:
        parts: list[Part] = []
        for group in groups:
            if self.part_of(group) not in parts:
                parts.append(self.part_of(group))
        return parts

    def _stands(self, relation: Relation, axis: Axis) -> bool:
        """Whether what is already arranged, or placed by name, makes a relation true."""
        pairs = [(subject, other) for subject in relation.subjects for other in relation.objects]
        return all(self._before(axis, *pair) for pair in pairs)

    def _before(self, axis: Axis, first: int, second: int) -> bool:
        one, other = self.part_of(first), self.part_of(second)
        if one is other:
            split = one.split_of(self.anchor(first), self.anchor(second))
            in_order = bool(split.children) and split.position(self.anchor(first)) < split.position(self.anchor(second))
            return split.axis == axis and in_order
        order = ("left", "centre", "right") if axis == "x" else ("top", "middle", "bottom")
        names = [place and (place.column if axis == "x" else place.row) for place in map(self.place_of, (one, other))]
        return all(names) and order.index(names[0] or "") < order.index(names[1] or "")


def arrange(scene: Scene, random: Random) -> Arrangement:
    """Arrange the groups of a scene so that its relations hold.

    Args:
        scene: what the prompt says.
        random: decides what the prompt leaves open, such as the side of "beside".
    """
    arrangement = Arrangement(scene, [Part(group) for group in range(len(scene.groups))])
    for kind in ("inside", "behind"):
        for relation in scene.relations:
            if relation.kind == kind:
                arrangement.attach(relation)
    for relation in scene.relations:
        if relation.kind == "above":
            arrangement.join(relation, "y")
        elif relation.kind == "left of":
            arrangement.join(relation, "x")
        elif relation.kind == "beside":
            swapped = Relation("beside", relation.objects, relation.subjects)
            arrangement.join(random.choice((relation, swapped)), "x")
        elif relation.kind == "between":
            arrangement.put_between(relation, random.choice(("x", "y")))
    return arrangement
