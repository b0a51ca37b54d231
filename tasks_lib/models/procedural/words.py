"""The words a drawing prompt may use, and how text is cut into them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from tasks_lib.models.procedural.colours import COLOURS

__all__ = ["Kind", "Lexeme", "lexemes_of"]


class Kind(Enum):
    """What a word or phrase does in a sentence."""

    COUNT = auto()
    THE = auto()
    SIZE = auto()
    TONE = auto()
    COLOUR = auto()
    PATTERN = auto()
    ARRANGEMENT = auto()
    """What leads to a noun: "a row of"."""
    ARRANGED = auto()
    """What follows one: "in a row"."""
    SHAPE = auto()
    SHAPES = auto()
    CANVAS = auto()
    RELATION = auto()
    PLACE = auto()
    PRONOUN = auto()
    OF = auto()
    JOIN = auto()
    STOP = auto()
    FILLER = auto()
    UNKNOWN = auto()


@dataclass(frozen=True)
class Lexeme:
    """A word or phrase of the prompt, by its kind and plain value."""

    kind: Kind
    value: str = ""


# In each table: the value, then the words and phrases that stand for it, separated by "|".
SHAPES = {
    "circle": "circle|disc|disk|ball|dot|full moon",
    "square": "square|box",
    "rectangle": "rectangle",
    "triangle": "triangle|cone|pyramid",
    "star": "star",
    "pentagon": "pentagon",
    "hexagon": "hexagon",
    "octagon": "octagon",
    "diamond": "diamond|rhombus",
    "ellipse": "ellipse|oval",
    "semicircle": "semicircle|half circle|half moon",
    "cross": "cross|plus|plus sign",
    "heart": "heart",
    "crescent": "crescent|moon|crescent moon",
    "ring": "ring|donut|doughnut|torus",
    "arrow": "arrow",
    "line": "line|bar|stripe",
    "cube": "cube|block",
    "sphere": "sphere|orb|globe",
}
SIZES = {
    "tiny": "tiny|minuscule",
    "small": "small|little|smaller",
    "medium": "medium|medium sized|mid sized",
    "large": "large|big|larger|bigger",
    "huge": "huge|giant|enormous|gigantic",
}
COUNTS = {
    "0": "no|zero|without|without any",
    "1": "a|an|one|a single|single|another",
    "2": "two|a pair of|pair of|a couple of|both",
    "3": "three",
    "4": "four",
    "5": "five",
    "6": "six",
    "7": "seven",
    "8": "eight",
    "9": "nine",
    "10": "ten",
    "11": "eleven",
    "12": "twelve|a dozen|dozen",
    "3 4": "a few|few",
    "3 5": "some",
    "4 6": "several",
    "9 13": "many|lots of|a lot of",
}
RELATIONS = {
    "above": "above|over|on top of|atop|on top",
    "below": "below|under|beneath|underneath",
    "left of": "left of",
    "right of": "right of",
    "beside": "beside|next to|alongside|adjacent to|near|close to",
    "inside": "inside|inside of|within|in",
    "contains": "contains|containing|around|surrounding|enclosing",
    "behind": "behind",
    "in front of": "in front of|overlapping",
    "between": "between|in between",
    "on": "on|against|upon",
}
COLOUR_WORDS = {
    "grey": "gray",
    "navy": "navy blue",
    "sky blue": "azure",
    "cyan": "aqua",
    "purple": "mauve",
    "magenta": "fuchsia",
    "red": "scarlet",
    "gold": "golden",
    "beige": "cream|ivory|tan",
    "light": "pale|pastel|soft",
    "dark": "deep",
}
GROUNDS = "background|backdrop|sky|canvas|paper"
CANVAS = "image|picture|frame|page|scene|screen|drawing|illustration|photo|photograph|painting|icon|graphic"
FILLER = (
    "is|are|there|that|which|its|coloured|colored|colour|color|bright|vivid|solid|plain|flat|simple|"
    "shape|shapes|drawn|painted|shown|placed|located|positioned|arranged|very|geometric|exactly|just|only|filled|"
    "standing|sitting|lying|floating|directly|immediately|completely|empty|clean|minimal|minimalist|abstract"
)
# Phrases that hold the name of a shape without meaning one.
NO_SHAPES = "times square|cross section|finish line|power line|boxing ring|shooting star|chocolate bar|rock star"
ROWS = {"top": "top|upper", "middle": "middle|center|centre", "bottom": "bottom|lower"}
COLUMNS = {"left": "left", "centre": "middle|center|centre", "right": "right"}


def _with_plural(word: str) -> str:
    return word + ("es" if word.endswith(("s", "x")) else "s")


def _places() -> Iterator[tuple[str, str]]:
    """Each way to say a place, without what leads to it, and its "column row"."""
    for row, row_words in ROWS.items():
        for row_word in row_words.split("|"):
            yield row_word, "centre middle" if row == "middle" else f"any {row}"
            for column, column_words in COLUMNS.items():
                for column_word in column_words.split("|"):
                    yield f"{row_word} {column_word}", f"{column} {row}"
    for column in ("left", "right"):
        yield column, f"{column} any"


def _place_phrases() -> Iterator[tuple[str, str]]:
    for place, value in _places():
        for ending in ("", " corner", " hand corner", " side", " hand side", " half", " edge", " part"):
            for leading in ("in the ", "at the ", "on the ", "to the ", "near the ", "in ", "at ", "on "):
                yield leading + place + ending, value
            if ending or " " in place:
                yield place + ending, value
    yield from (("centered", "centre middle"), ("centred", "centre middle"))


def _lexicon() -> dict[str, Lexeme]:
    tables = {Kind.SIZE: SIZES, Kind.COUNT: COUNTS, Kind.RELATION: RELATIONS, Kind.SHAPE: SHAPES}
    lexicon = {
        word: Lexeme(kind, value)
        for kind, table in tables.items()
        for value, words in table.items()
        for word in words.split("|")
    }
    for value, words in SHAPES.items():
        lexicon.update((_with_plural(word), Lexeme(Kind.SHAPES, value)) for word in words.split("|"))
    for value, words in (*COLOUR_WORDS.items(), *((name, name) for name in (*COLOURS, "light", "dark"))):
        kind = Kind.TONE if value in ("light", "dark") else Kind.COLOUR
        lexicon.update((word, Lexeme(kind, value)) for word in words.split("|"))
    lexicon.update((phrase, Lexeme(Kind.PLACE, value)) for phrase, value in _place_phrases())
    lexicon.update((word, Lexeme(Kind.CANVAS)) for word in CANVAS.split("|"))
    lexicon.update((word, Lexeme(Kind.CANVAS, "ground")) for word in GROUNDS.split("|"))
    lexicon.update((word, Lexeme(Kind.FILLER)) for word in FILLER.split("|"))
    lexicon.update((word, Lexeme(Kind.PRONOUN, word)) for word in ("it", "them"))
    lexicon.update((word, Lexeme(Kind.JOIN)) for word in ("and", "while", ","))
    lexicon["with"] = Lexeme(Kind.JOIN, "with")
    lexicon.update((phrase, Lexeme(Kind.UNKNOWN)) for phrase in NO_SHAPES.split("|"))
    lexicon.update((word, Lexeme(Kind.STOP)) for word in (".", ";", "!", "?", "\n"))
    for value, words in {"row": "row|line", "column": "column|stack", "grid": "grid"}.items():
        lexicon.update((f"{word} of", Lexeme(Kind.ARRANGEMENT, value)) for word in words.split("|"))
        lexicon.update((f"in a {word}", Lexeme(Kind.ARRANGED, value)) for word in words.split("|"))
    for value, words in {"striped": "striped|stripy", "dotted": "dotted|spotted|polka dot|polka dotted"}.items():
        lexicon.update((word, Lexeme(Kind.PATTERN, value)) for word in words.split("|"))
    return lexicon | {"the": Lexeme(Kind.THE), "of": Lexeme(Kind.OF), "each": Lexeme(Kind.FILLER)}


LEXICON = _lexicon()
LONGEST_PHRASE = max(len(phrase.split()) for phrase in LEXICON if phrase != "\n")
# Words, numbers and stops; quotes, hyphens and brackets separate words; anything else stands for itself.
WORD = re.compile(r"[^\W_]+|[.;!?\n,]|[^\s\w\-_'\"()\[\]:/]")


def lexemes_of(text: str) -> list[Lexeme]:
    """Cut a text into the longest phrases of the lexicon; what is in none is ``UNKNOWN``."""
    return list(_settled(_cut(text)))


def _cut(text: str) -> list[Lexeme]:
    words = WORD.findall(text.lower())
    lexemes: list[Lexeme] = []
    position = 0
    while position < len(words):
        lexeme, length = _longest_phrase(words[position : position + LONGEST_PHRASE])
        lexemes.append(lexeme)
        position += length
    return lexemes


def _longest_phrase(words: list[str]) -> tuple[Lexeme, int]:
    for length in range(len(words), 0, -1):
        found = LEXICON.get(" ".join(words[:length]))
        if found is not None:
            return found, length
    if words[0].isascii() and words[0].isdigit() and len(words[0]) <= 6:
        return Lexeme(Kind.COUNT, str(int(words[0]))), 1
    return Lexeme(Kind.UNKNOWN), 1


def _settled(lexemes: list[Lexeme]) -> Iterator[Lexeme]:
    """Tell "on the left of the image", a place, from "on the left of the square", a relation."""
    position = 0
    while position < len(lexemes):
        lexeme, after = lexemes[position], lexemes[position + 1 : position + 4]
        position += 1
        if lexeme.kind is not Kind.PLACE or not after or after[0].kind is not Kind.OF:
            yield lexeme
        elif Kind.CANVAS in [other.kind for other in after[1:]]:
            yield lexeme
            position += [other.kind for other in after].index(Kind.CANVAS) + 1
        else:
            sides = {"left any": "left of", "right any": "right of", "any top": "above", "any bottom": "below"}
            yield Lexeme(Kind.RELATION, sides.get(lexeme.value, "inside"))
            position += 1
