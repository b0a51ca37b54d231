"""Reads a prompt as far as it is about shapes: text in, a :class:`Scene` out."""

from dataclasses import replace
from itertools import pairwise

from tasks_lib.models.procedural.phrase import Phrase, shared_out
from tasks_lib.models.procedural.scene import Group, Place, Relation, Scene
from tasks_lib.models.procedural.words import Kind, Lexeme, lexemes_of

__all__ = ["MOST_GROUPS", "MOST_OBJECTS", "read_scene"]

READ_CHARACTERS = 4000
"""How much of a prompt is read; what follows counts as not understood."""
MOST_GROUPS = 16
MOST_OBJECTS = 150
"""Of one group; what is beyond is not drawn, and the scene is not complete."""
ENDS = frozenset({Kind.STOP, Kind.JOIN, Kind.RELATION})
# A relation read the other way round: its plain name, with subjects and objects exchanged.
REVERSED = {"below": "above", "right of": "left of", "contains": "inside", "in front of": "behind"}


def read_scene(prompt: str) -> Scene:
    """What a prompt says about shapes.

    Args:
        prompt: any text. Known are noun phrases ("three small dark red circles"), places ("in the top
            left corner"), relations ("above", "next to", "inside", "between") and backgrounds.

    Returns:
        The scene; without groups where the prompt names no shape.
    """
    reader = _Reader()
    reader.complete = len(prompt) <= READ_CHARACTERS
    stop = Lexeme(Kind.STOP)
    for lexeme, following in pairwise([*lexemes_of(prompt[:READ_CHARACTERS]), stop, stop]):
        reader.read(lexeme, following)
    return reader.scene()


class _Reader:
    """Reads one lexeme after the other, and keeps what it has understood."""

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.relations: list[Relation] = []
        self.background: str | None = None
        self.colours: list[str] = []
        self.complete = True
        self.phrase = Phrase()
        self.waiting: list[Phrase] = []  # "a red" of "a red and a blue circle"
        self.listed: list[int] = []  # groups joined by "and" so far
        self.subjects: list[int] = []  # what stood before the open relation
        self.relation: str | None = None
        self.place: Place | None = None  # of the group to come: "on the left is a circle"
        self.joined = False
        self.companions = 0  # where in the list what follows "with" begins
        self.ground_open = False  # "the background is" waits for its colour
        self.lost = False  # the open relation's object may be a thing that is not understood

    def scene(self) -> Scene:
        colours = tuple(dict.fromkeys(self.colours))
        return Scene(tuple(self.groups), tuple(self.relations), self.background, colours, self.complete)

    def read(self, lexeme: Lexeme, following: Lexeme) -> None:
        value = lexeme.value
        match lexeme.kind:
            case Kind.COUNT | Kind.THE:
                self._start(lexeme)
            case Kind.SIZE:
                self.phrase.size = value
            case Kind.TONE:
                self.phrase.tone = value
            case Kind.COLOUR:
                self._colour(value)
            case Kind.PATTERN:
                self.phrase.pattern = value
            case Kind.ARRANGEMENT:
                self.phrase = Phrase(arrangement=value)
            case Kind.SHAPE | Kind.SHAPES:
                self._shape(value, plural=lexeme.kind is Kind.SHAPES)
            case Kind.CANVAS:
                self._canvas(is_ground=value == "ground")
            case Kind.ARRANGED if self.listed:
                self.groups[self.listed[-1]] = replace(self.groups[self.listed[-1]], arrangement=value)
            case Kind.RELATION:
                self._open_relation(value)
            case Kind.PLACE:
                self._place(value, following)
            case Kind.PRONOUN if self.relation:
                self._pronoun(several=value == "them")
            case Kind.JOIN if self.phrase.spoiled or self.relation == "on":
                self._close_phrase()
            case Kind.STOP:
                self._stop()
            case Kind.UNKNOWN:
                self.complete, self.lost, self.phrase.spoiled = False, True, True
        self.joined = lexeme.kind is Kind.JOIN
        if lexeme.value == "with" or not self.listed:
            self.companions = len(self.listed)

    def _start(self, lexeme: Lexeme) -> None:
        if self.phrase.count and self.phrase.colours and self.joined and not self.phrase.spoiled:
            self.waiting.append(self.phrase)
            self.phrase = Phrase()
        elif self.phrase.colours or self.phrase.spoiled:
            self._close_phrase()
        if lexeme.kind is Kind.THE:
            self.phrase.definite = True
            return
        least, *most = (int(number) for number in lexeme.value.split())
        self.phrase.count = least, most[0] if most else least

    def _colour(self, name: str) -> None:
        self.phrase.colours.append(f"{self.phrase.tone} {name}".strip())
        self.colours.append(self.phrase.colours[-1])
        self.phrase.tone = ""

    def _shape(self, shape: str, plural: bool) -> None:
        phrases, self.waiting, self.phrase = [*self.waiting, self.phrase], [], Phrase()
        for phrase in phrases:
            for group in phrase.groups(shape, plural):
                if group.most > MOST_OBJECTS:
                    self.complete = False
                    group = replace(group, least=min(group.least, MOST_OBJECTS), most=MOST_OBJECTS)
                if group.most > 0:
                    self._mention(group, phrase.definite)

    def _mention(self, group: Group, definite: bool) -> None:
        known = [number for number, other in enumerate(self.groups) if definite and _same(other, group)]
        if known:
            self.listed.append(known[-1])
        elif len(self.groups) < MOST_GROUPS:
            self.listed.append(len(self.groups))
            self.groups.append(replace(group, place=self.place))
            self.place = None
        else:
            self.complete = False

    def _canvas(self, is_ground: bool) -> None:
        if self.phrase.colours:
            self.background = self.phrase.colours[-1]
        self.ground_open = is_ground and not self.phrase.colours
        self.phrase = Phrase()
        if self.relation and not self.listed:
            self.relation, self.listed = None, self.subjects

    def _place(self, value: str, following: Lexeme) -> None:
        self._close_phrase()
        if self.relation and not self.listed:
            self._close_relation()
        column, row = (None if word == "any" else word for word in value.split())
        targets = [number for number in self.listed[self.companions :] if self.groups[number].place is None]
        if not targets or (self.joined and following.kind not in ENDS):
            self.place = Place(column, row)
        for number in targets if self.place is None else ():
            self.groups[number] = replace(self.groups[number], place=Place(column, row))

    def _pronoun(self, several: bool) -> None:
        if not self.subjects or self.listed:
            return
        before = self.subjects[:-1] or [number for number in range(len(self.groups)) if number != self.subjects[-1]]
        self.subjects, self.listed = self.subjects[-1:], before if several else before[-1:]

    def _open_relation(self, kind: str) -> None:
        self._close_phrase()
        self._close_relation()
        self.subjects = [number for number in self.listed if self.groups[number].place is None] or self.listed[-1:]
        self.relation, self.listed, self.lost = kind, [], False

    def _close_relation(self) -> None:
        """Keep the open relation; "a square with a circle inside" and "above a square is a circle" count too."""
        kind, self.relation = self.relation, None
        if kind is None:
            return
        subjects, objects = self.subjects, self.listed
        if not objects and not self.lost and len(subjects) > 1:
            subjects, objects = subjects[-1:], subjects[-2:-1]
        elif not subjects:
            subjects, objects = objects[1:], objects[:1]
        self._keep(kind, [number for number in subjects if number not in objects], objects)
        self.listed = objects[-1:] or subjects[-1:]

    def _keep(self, kind: str, subjects: list[int], objects: list[int]) -> None:
        if kind == "between" and len(objects) == 1 and self.groups[objects[0]].least == 2:
            single = replace(self.groups[objects[0]], least=1, most=1)
            self.groups[objects[0]] = single
            self.groups.append(single)
            objects = [objects[0], len(self.groups) - 1]
        if kind in REVERSED:
            kind, subjects, objects = REVERSED[kind], objects, subjects
        kind = "above" if kind == "on" else kind
        objects = objects[: {"inside": 1, "behind": 1, "between": 2}.get(kind)]
        if not subjects or len(objects) < (2 if kind == "between" else 1):
            self.complete = False
            return
        self.relations.append(Relation(kind, tuple(subjects), tuple(objects)))

    def _close_phrase(self) -> None:
        """End a phrase that has no noun: "on white", "the circle is red", or something unknown."""
        phrase, self.phrase = self.phrase, Phrase()
        last = (self.listed or self.subjects)[-1:]
        if phrase.spoiled or self.waiting or not (phrase.colours or phrase.size or phrase.count):
            self.complete = self.complete and not (phrase.spoiled or self.waiting)
            self.waiting = []
        elif phrase.colours and (self.relation == "on" or self.ground_open):
            self.background, self.ground_open = phrase.colours[-1], False
            self.relation, self.listed = None, self.listed or self.subjects
        elif last and not phrase.count and self.groups[last[0]].colour is None and phrase.colours:
            self._recolour(last[0], phrase.colours)
        elif last and not phrase.count and self.groups[last[0]].size is None and phrase.size:
            self.groups[last[0]] = replace(self.groups[last[0]], size=phrase.size)
        else:
            self.complete = False

    def _recolour(self, number: int, colours: list[str]) -> None:
        """Colours after the noun: "a circle in red", whose "in" relates nothing, or "two stars in red and blue"."""
        group = self.groups[number]
        several = len(colours) > 1 and group.most >= len(colours)
        first, *others = shared_out(group, colours if several else colours[:1], exact=several)
        self.groups[number] = first
        if self.relation == "inside" and not self.listed:
            self.relation, self.listed = None, self.subjects
        for other in others:
            self.listed.append(len(self.groups))
            self.groups.append(other)

    def _stop(self) -> None:
        self._close_phrase()
        self._close_relation()
        self.complete = self.complete and self.place is None
        self.listed, self.subjects, self.place = [], [], None


def _same(known: Group, group: Group) -> bool:
    """Whether "the red circle" can mean a group already named."""
    named = (group.colour in (None, known.colour), group.size in (None, known.size), group.shape == known.shape)
    return all(named)
