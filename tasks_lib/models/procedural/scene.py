"""What a prompt says about a picture of shapes: groups of objects, relations between them, a background."""

from dataclasses import dataclass

__all__ = ["Group", "Place", "Relation", "Scene"]


@dataclass(frozen=True)
class Place:
    """Where on the canvas; ``None`` where the prompt leaves it open."""

    column: str | None = None
    """``left``, ``centre`` or ``right``."""
    row: str | None = None
    """``top``, ``middle`` or ``bottom``."""

    def __str__(self) -> str:
        return " ".join(word for word in (self.row, self.column) if word)


@dataclass(frozen=True)
class Group:
    """Equal objects that one noun phrase names, such as "three small red circles"."""

    shape: str
    least: int = 1
    most: int = 1
    """More than ``least`` where the prompt gives no exact number ("several")."""
    colour: str | None = None
    accent: str | None = None
    """The second colour of a pattern."""
    size: str | None = None
    pattern: str | None = None
    """``striped`` or ``dotted``."""
    arrangement: str | None = None
    """``row``, ``column`` or ``grid``."""
    place: Place | None = None

    def described(self, count: int) -> str:
        """It in a few words, such as ``2 small red circle (top left)``."""
        words = [str(count), self.size, self.colour, self.accent and f"and {self.accent}", self.pattern, self.shape]
        return " ".join(word for word in words if word) + (f" ({self.place})" if self.place else "")


@dataclass(frozen=True)
class Relation:
    """How groups stand to each other; each subject to each object."""

    kind: str
    """``above``, ``left of``, ``beside``, ``inside``, ``behind`` or ``between``."""
    subjects: tuple[int, ...]
    """Numbers of groups in :attr:`Scene.groups`."""
    objects: tuple[int, ...]

    def __str__(self) -> str:
        first, second = (" and ".join(map(str, numbers)) for numbers in (self.subjects, self.objects))
        return f"{first} {self.kind} {second}"


@dataclass(frozen=True)
class Scene:
    """All that was understood of one prompt."""

    groups: tuple[Group, ...] = ()
    relations: tuple[Relation, ...] = ()
    background: str | None = None
    colours: tuple[str, ...] = ()
    """Every colour the prompt names, in its order, also of things that are not understood."""
    complete: bool = True
    """Whether every word was understood."""
