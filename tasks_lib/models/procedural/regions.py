"""Which part of the canvas each part of an arrangement gets: a three by three grid of named places."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from tasks_lib.models.procedural.arrangement import Part, pack
from tasks_lib.models.procedural.scene import Place

__all__ = ["Box", "regions"]

COLUMNS = ("left", "centre", "right")
ROWS = ("top", "middle", "bottom")
Cells = tuple[int, int, int, int]
"""A rectangle of grid cells: first column, first row, and the column and row after the last."""
WHOLE: Cells = (0, 0, 3, 3)


@dataclass(frozen=True)
class Box:
    """A rectangle; pixels from the top left corner of the canvas."""

    left: float
    top: float
    width: float
    height: float

    def part(self, left: float, top: float, width: float, height: float) -> "Box":
        """A box inside this one, in fractions of it."""
        return Box(
            self.left + left * self.width, self.top + top * self.height, width * self.width, height * self.height
        )

    def centre(self) -> tuple[float, float]:
        """The middle of it."""
        return self.left + self.width / 2, self.top + self.height / 2


def regions(parts: Sequence[tuple[Part, Place | None]], canvas: Box) -> list[tuple[Part, Box]]:
    """Share the canvas out among parts.

    Args:
        parts: each with the place the prompt names for it.
        canvas: what there is to share.

    Returns:
        Parts with boxes that do not overlap; parts of the same place are packed into one.
    """
    named = _by_place([(part, place) for part, place in parts if place])
    free = [part for part, place in parts if place is None]
    if len(named) == 1 and not free:
        (place, part) = named[0]
        return [(part, _generous(place, canvas))]
    return _with_boxes(_share_cells(named, free), canvas)


def _by_place(parts: Sequence[tuple[Part, Place]]) -> list[tuple[Place, Part]]:
    """Parts packed by place; corners and the centre first, since sides can give way."""
    places = sorted({place for _, place in parts}, key=lambda place: (not (place.column and place.row), str(place)))
    return [(place, pack([part for part, other in parts if other == place])) for place in places]


def _generous(place: Place, canvas: Box) -> Box:
    """A little less than half of the canvas for a side, a quarter for a corner."""
    spans = {0: (0.0, 0.42), 1: (0.29, 0.42), 2: (0.58, 0.42)}
    left, width = spans[COLUMNS.index(place.column)] if place.column else (0.0, 1.0)
    top, height = spans[ROWS.index(place.row)] if place.row else (0.0, 1.0)
    return canvas.part(left, top, width, height)


def _share_cells(named: Sequence[tuple[Place, Part]], free: Sequence[Part]) -> list[tuple[Part, Cells]]:
    shared: list[tuple[Part, Cells]] = []
    for place, part in named:
        cells = _largest(_cells_of(place), [cells for _, cells in shared])
        _give(shared, part, cells, _cells_of(place))
    if free:
        _give(shared, pack(free), _largest(WHOLE, [cells for _, cells in shared]), WHOLE)
    return shared


def _give(shared: list[tuple[Part, Cells]], part: Part, cells: Cells | None, wanted: Cells) -> None:
    """Give a part its cells, or a share of cells that are already given."""
    if cells is not None:
        shared.append((part, cells))
        return
    number = next(number for number, (_, taken) in enumerate(shared) if _overlap(taken, wanted))
    other, taken = shared[number]
    shared[number] = (pack([other, part]), taken)


def _cells_of(place: Place) -> Cells:
    column = COLUMNS.index(place.column) if place.column else None
    row = ROWS.index(place.row) if place.row else None
    left, right = (0, 3) if column is None else (column, column + 1)
    top, bottom = (0, 3) if row is None else (row, row + 1)
    return left, top, right, bottom


def _overlap(one: Cells, other: Cells) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _largest(within: Cells, taken: Sequence[Cells]) -> Cells | None:
    """The largest rectangle of free cells; the first of equals."""
    candidates = [
        (left, top, right, bottom)
        for left, top, right, bottom in product(range(3), range(3), range(1, 4), range(1, 4))
        if within[0] <= left < right <= within[2] and within[1] <= top < bottom <= within[3]
    ]
    free = [cells for cells in candidates if not any(_overlap(cells, other) for other in taken)]
    return max(free, key=lambda cells: (cells[2] - cells[0]) * (cells[3] - cells[1]), default=None)


def _with_boxes(shared: Sequence[tuple[Part, Cells]], canvas: Box) -> list[tuple[Part, Box]]:
    """Cells as boxes; a middle that nobody stands in alone is given to its neighbours."""
    columns = _edges([(cells[0], cells[2]) for _, cells in shared])
    rows = _edges([(cells[1], cells[3]) for _, cells in shared])
    boxes = []
    for part, (left, top, right, bottom) in shared:
        width, height = columns[right] - columns[left], rows[bottom] - rows[top]
        boxes.append((part, canvas.part(columns[left], rows[top], width, height)))
    return boxes


def _edges(spans: Sequence[tuple[int, int]]) -> tuple[float, float, float, float]:
    middle_is_needed = any(span in ((1, 2), (0, 2), (1, 3)) for span in spans)
    return (0.0, 1 / 3, 2 / 3, 1.0) if middle_is_needed else (0.0, 0.5, 0.5, 1.0)
