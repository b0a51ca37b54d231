"""Whether an image is good enough to keep: not blank, not too small, and no near duplicate of an earlier one."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image
from pydantic import Field, PositiveInt

from tasks_lib.errors import BadImageError
from tasks_lib.image_verification import DAMAGED
from tasks_lib.settings import Settings

if TYPE_CHECKING:
    import numpy

__all__ = ["Checks", "DuplicateIndex", "Inspection", "NearDuplicates", "inspect"]

_BLANK_LEVELS = 2
_HASH_SIDE, _BITS_SIDE, _THUMBNAIL_SIDE = 32, 8, 8
# Chosen on 60 drawn scenes, each against 13 copies and 24 scenes that differ in one colour, the shape, its place
# or its size. Near duplicates are all copies in JPEG, WebP or another size, blurred, noisy, or changed by 5 % in
# brightness or contrast; 95 % of those cropped by 1 % a side and 57 % of those cropped by 2 %. Taken for near
# duplicates by mistake: 0.3 % of the scenes with another colour, 0.4 % with another place, 1.7 % with another size
# and 7.5 % with another shape; in 14 of these 15 cases the shape was an eighth of the image wide.
_SMALL_COEFFICIENT = 40
_THUMBNAIL_LEVELS = 20


class NearDuplicates(Settings):
    """When two images count as the same."""

    distance: int = Field(default=4, ge=0, le=32)
    """How many of the 64 bits of their hashes may differ; their colours must agree as well."""


class Checks(Settings):
    """What an image must be to be kept; every check is off by default, and they look in the order of the fields."""

    min_side: PositiveInt | None = None
    """Reject images whose shorter side has fewer pixels."""
    blank: bool = False
    """Reject images whose pixels all have the same colour."""
    near_duplicates: NearDuplicates | None = None
    """Reject images that look like an earlier one of the dataset."""

    @property
    def on(self) -> dict[str, Any]:
        """The settings of the checks that are on, by name; a rejection's reason is that name, a colon, the finding."""
        fields = type(self).model_fields
        return {name: value for name in fields if (value := getattr(self, name)) != fields[name].default}


@dataclass(frozen=True)
class Inspection:
    """What the checks found: why an image is rejected, and what near duplicates are told by, in hexadecimal."""

    reason: str | None = None
    signature: str | None = None


def inspect(data: bytes, checks: Checks) -> Inspection:
    """Inspect one image by itself.

    Args:
        data: an encoded image; one that a check cannot read is rejected by it.
        checks: what it must be.

    Returns:
        The reason of a rejection, or the signature to be compared with other images', if that is asked for.
    """
    picture = _Picture(data)
    for check, setting in checks.on.items():
        try:
            finding = _finding(check, setting, picture)
        except BadImageError as error:
            finding = f"the image cannot be read: {error}"
        if finding:
            return Inspection(f"{check}: {finding}")
    return Inspection(signature=_signature(picture.reduced()) if checks.near_duplicates else None)


class _Picture:
    """An encoded image, decoded no further than the checks ask."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._reduced: Image.Image | None = None

    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        with self._opened() as image:
            return image.size

    def reduced(self) -> Image.Image:
        """Its pixels, once for all checks; a JPEG is quick to decode at down to an eighth."""
        if self._reduced is None:
            with self._opened() as image:
                if image.format == "JPEG":
                    image.draft(None, (2 * _HASH_SIDE, 2 * _HASH_SIDE))
                self._reduced = _coloured(image)
        return self._reduced

    def whole(self) -> Image.Image:
        """Its pixels at full size."""
        with self._opened() as image:
            return _coloured(image)

    @contextmanager
    def _opened(self) -> Iterator[Image.Image]:
        try:
            with Image.open(io.BytesIO(self._data)) as image:
                yield image
        except DAMAGED as error:
            raise BadImageError(str(error)) from error


def _coloured(image: Image.Image) -> Image.Image:
    """The image as RGB, or as RGBA where it is transparent."""
    image.load()
    if image.mode.startswith("I"):
        # Converting 16-bit grey clips instead of scaling.
        image = image.convert("I").point(lambda level: level * (1 / 257)).convert("L")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _finding(check: str, setting: Any, picture: _Picture) -> str | None:
    """What a check that is on has against an image."""
    match check:
        case "min_side":
            return _small(*picture.size(), setting)
        case "blank":
            # A fine pattern may be blank at a reduced size only.
            return _blank(picture.reduced()) and _blank(picture.whole())
        case "near_duplicates":
            # It must be readable; build.py compares it with those before it.
            picture.reduced()
            return None
        case _:
            raise NotImplementedError(check)


def _small(width: int, height: int, least: int) -> str | None:
    return f"the shorter side of {width} x {height} px is under {least} px" if min(width, height) < least else None


def _blank(pixels: Image.Image) -> str | None:
    bands: Any = pixels.getextrema()
    if pixels.mode == "RGBA" and bands[3][1] <= _BLANK_LEVELS:
        return "every pixel is transparent"
    if any(highest - lowest > 2 * _BLANK_LEVELS for lowest, highest in bands):
        return None
    colour = tuple((lowest + highest) // 2 for lowest, highest in bands[:3])
    return f"every pixel is within {_BLANK_LEVELS} levels of {colour}"


def _signature(pixels: Image.Image) -> str:
    """64 bits of the low frequencies of the luminance, then an 8 x 8 RGB thumbnail, in hexadecimal.

    The bits are the DCT hash of Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions"
    (2010), section 3.2.1, with the lowest frequencies and without the mean. Coefficients near zero count as
    zero: in a flat image they are noise. The thumbnail tells apart what differs in colour only.
    """
    import numpy

    small = pixels.resize((_HASH_SIDE, _HASH_SIDE), Image.Resampling.BOX, reducing_gap=2)
    if small.mode == "RGBA":
        grey = Image.new("RGBA", small.size, (128, 128, 128, 255))
        small = Image.alpha_composite(grey, small).convert("RGB")
    basis = _cosines(_BITS_SIDE, _HASH_SIDE)
    coefficients = basis @ numpy.asarray(small.convert("L"), dtype=numpy.float64) @ basis.T
    coefficients[0, 0] = 0
    coefficients[numpy.abs(coefficients) < _SMALL_COEFFICIENT] = 0
    bits = numpy.packbits(coefficients > numpy.median(coefficients))
    thumbnail = small.resize((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), Image.Resampling.BOX)
    return bits.tobytes().hex() + thumbnail.tobytes().hex()


def _cosines(frequencies: int, samples: int) -> "numpy.ndarray[Any, numpy.dtype[numpy.float64]]":
    """The first rows of the orthonormal DCT-II matrix."""
    import numpy

    frequency, sample = numpy.ogrid[:frequencies, :samples]
    basis = numpy.cos(numpy.pi * frequency * (2 * sample + 1) / (2 * samples)) * numpy.sqrt(2 / samples)
    basis[0] /= numpy.sqrt(2)
    return numpy.asarray(basis, dtype=numpy.float64)


class DuplicateIndex:
    """The images kept so far, each found again by one that looks like it.

    Two images look alike when at most ``distance`` bits of their hashes differ and no channel of their
    thumbnails differs by more than 20 of 255 levels anywhere. Used by one thread, in the order of the rows.

    Args:
        distance: bits, from 0 to 32.
    """

    def __init__(self, distance: int) -> None:
        import numpy

        self._distance = distance
        self._names: list[str] = []
        self._hashes = numpy.empty(256, dtype=numpy.uint64)
        self._thumbnails = numpy.empty((_THUMBNAIL_SIDE, 256, _THUMBNAIL_SIDE * 3), dtype=numpy.uint8)

    def add(self, signature: str, name: str) -> str | None:
        """Find the earliest near duplicate, or remember this image.

        Args:
            signature: of ``inspect``.
            name: what a later near duplicate is told.

        Returns:
            The name of the earliest image that looks like this one, which then is not remembered; or ``None``.
        """
        import numpy

        raw = bytes.fromhex(signature)
        hashed = numpy.frombuffer(raw[:8], numpy.uint64)[0]
        thumbnail = numpy.frombuffer(raw[8:], numpy.uint8).reshape(_THUMBNAIL_SIDE, -1)
        count = len(self._names)
        near = numpy.flatnonzero(numpy.bitwise_count(self._hashes[:count] ^ hashed) <= self._distance)
        # Line by line, since many images on one ground share a hash and few of them a whole thumbnail.
        for lines, line in zip(self._thumbnails, thumbnail, strict=True):
            others = lines[near]
            differences = numpy.maximum(others, line) - numpy.minimum(others, line)
            near = near[(differences <= _THUMBNAIL_LEVELS).all(axis=1)]
        if near.size:
            return self._names[int(near[0])]
        if count == len(self._hashes):
            self._hashes = numpy.concatenate([self._hashes, self._hashes])
            self._thumbnails = numpy.concatenate([self._thumbnails, self._thumbnails], axis=1)
        self._hashes[count], self._thumbnails[:, count] = hashed, thumbnail
        self._names.append(name)
        return None
