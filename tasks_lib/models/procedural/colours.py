"""The colours that prompts can name, and simple sums with colours."""

__all__ = ["BASIC_COLOURS", "COLOURS", "RGB", "TONES", "VIVID", "colour_of", "distance", "mix"]

RGB = tuple[int, int, int]
"""Red, green and blue, 0 to 255 each, as in sRGB."""

BASIC_COLOURS: dict[str, RGB] = {
    "black": (18, 18, 20),
    "white": (255, 255, 255),
    "red": (225, 38, 38),
    "green": (32, 158, 68),
    "blue": (32, 92, 228),
    "yellow": (255, 216, 24),
    "orange": (250, 134, 10),
    "purple": (128, 44, 176),
    "pink": (255, 140, 188),
    "brown": (136, 82, 40),
    "grey": (128, 128, 128),
}
"""The eleven basic colour terms of English (Berlin and Kay, 1969), pure enough to be measured."""

COLOURS: dict[str, RGB] = BASIC_COLOURS | {
    "cyan": (22, 208, 236),
    "turquoise": (52, 208, 188),
    "teal": (0, 128, 128),
    "navy": (18, 30, 104),
    "indigo": (72, 40, 160),
    "violet": (158, 108, 244),
    "magenta": (222, 30, 178),
    "crimson": (188, 12, 56),
    "maroon": (122, 8, 28),
    "gold": (218, 168, 28),
    "silver": (194, 198, 204),
    "beige": (238, 224, 194),
    "lime": (158, 220, 32),
    "olive": (122, 124, 22),
    "coral": (255, 116, 88),
    "salmon": (248, 150, 124),
    "lavender": (202, 184, 246),
    "sky blue": (116, 190, 250),
}
"""Every colour a prompt can name, by its name here."""

TONES: dict[str, tuple[str, int]] = {"light": ("white", 50), "dark": ("black", 42)}
"""What a word before a colour mixes into it, and how much of it in per cent."""

VIVID = ("red", "green", "blue", "yellow", "orange", "purple", "pink", "turquoise", "teal", "violet", "coral", "navy")
"""Colours to choose from where a prompt names none."""


def mix(first: RGB, second: RGB, percent: int) -> RGB:
    """``first`` with so many per cent of ``second`` in it, in whole numbers."""
    red, green, blue = ((a * (100 - percent) + b * percent + 50) // 100 for a, b in zip(first, second, strict=True))
    return red, green, blue


def distance(first: RGB, second: RGB) -> int:
    """The squared Euclidean distance of two colours; 0 to 195,075."""
    return sum((a - b) ** 2 for a, b in zip(first, second, strict=True))


def colour_of(name: str) -> RGB:
    """The colour that a name such as ``red`` or ``dark blue`` stands for."""
    if name in COLOURS:
        return COLOURS[name]
    tone, _, plain = name.partition(" ")
    other, percent = TONES[tone]
    return mix(COLOURS[plain], BASIC_COLOURS[other], percent)
