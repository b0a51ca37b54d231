"""A noun phrase of a drawing prompt, up to its noun: "three small dark red"."""

from dataclasses import dataclass, field, replace

from tasks_lib.models.procedural.scene import Group

__all__ = ["Phrase", "shared_out"]


@dataclass
class Phrase:
    """What has been read of a noun phrase so far."""

    count: tuple[int, int] | None = None
    """The least and the most it can mean."""
    definite: bool = False
    colours: list[str] = field(default_factory=list)
    tone: str = ""
    size: str | None = None
    pattern: str | None = None
    arrangement: str | None = None
    spoiled: bool = False
    """Whether it holds a word that is not understood, so that it may end in another noun."""

    def groups(self, shape: str, plural: bool) -> list[Group]:
        """The groups it names with this noun; "red and blue circles" are two."""
        least, most = self._count(plural)
        group = Group(shape, least, most, size=self.size, pattern=self.pattern, arrangement=self.arrangement)
        if len(self.colours) < 2 or self.pattern or not plural:
            first, second, *_ = [*self.colours, None, None]
            return [replace(group, colour=first, accent=second, pattern=self.pattern or (second and "striped"))]
        return shared_out(group, self.colours, exact=self.count is not None)

    def _count(self, plural: bool) -> tuple[int, int]:
        return self.count or ((3, 5) if plural else (1, 1))


def shared_out(group: Group, colours: list[str], exact: bool) -> list[Group]:
    """One group for each of several colours; an exact number of objects is shared out among them."""
    shared = [replace(group, colour=colour) for colour in colours]
    if not exact:
        return shared
    parts = len(colours)
    bounds = [[(number + parts - 1 - part) // parts for number in (group.least, group.most)] for part in range(parts)]
    return [replace(one, least=least, most=most) for one, (least, most) in zip(shared, bounds, strict=True)]
