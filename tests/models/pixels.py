"""Measures drawings by their pixels: connected areas of a colour, and the border."""

import asyncio
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks_lib.models.base import ImageRequest
from tasks_lib.models.procedural import ProceduralImageGeneration
from tasks_lib.models.procedural.colours import colour_of

__all__ = ["Blob", "Pixels", "blobs", "border", "drawn"]

Pixels = NDArray[np.int64]
"""Rows, columns, channels."""


@dataclass
class Blob:
    """A connected area; ``right`` and ``bottom`` are the first pixels after it."""

    area: int
    left: int
    top: int
    right: int
    bottom: int

    def extent(self) -> float:
        """The share of its bounding box that it fills."""
        return self.area / ((self.right - self.left) * (self.bottom - self.top))

    def proportion(self) -> float:
        """Width by height."""
        return (self.right - self.left) / (self.bottom - self.top)

    def take_in(self, other: "Blob") -> None:
        """Become the union of both."""
        self.area += other.area
        self.left, self.top = min(self.left, other.left), min(self.top, other.top)
        self.right, self.bottom = max(self.right, other.right), max(self.bottom, other.bottom)


def drawn(prompt: str, seed: int = 0, side: int = 256) -> Pixels:
    """The pixels that the embedded model gives for a prompt."""
    model = ProceduralImageGeneration(width=side, height=side)
    answer = asyncio.run(model.agenerate(ImageRequest(prompt, seed=seed)))
    with Image.open(BytesIO(answer.data)) as image:
        return np.asarray(image).astype(np.int64)


def blobs(pixels: Pixels, colour: str) -> list[Blob]:
    """The areas of a colour, but for a few levels; specks of less than eight pixels are left out."""
    near = ((pixels - np.array(colour_of(colour))) ** 2).sum(axis=2) < 700
    found: list[Blob] = []
    above: list[tuple[int, int, Blob]] = []  # the runs of the row before: first, after the last, of what area
    for row, line in enumerate(near):
        edges = np.flatnonzero(np.diff(line, prepend=False, append=False)).tolist()
        runs: list[tuple[int, int, Blob]] = []
        for first, after in zip(edges[::2], edges[1::2], strict=True):
            one = Blob(after - first, first, row, after, row + 1)
            found.append(one)
            touching = {id(other): other for start, end, other in above if start < after and first < end}
            for other in touching.values():
                one.take_in(other)
                found = [blob for blob in found if blob is not other]
                above = [(start, end, one if blob is other else blob) for start, end, blob in above]
                runs = [(start, end, one if blob is other else blob) for start, end, blob in runs]
            runs.append((first, after, one))
        above = runs
    return [blob for blob in found if blob.area >= 8]


def border(pixels: Pixels) -> Pixels:
    """The outermost pixels, one after the other."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
