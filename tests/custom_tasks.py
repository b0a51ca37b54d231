"""Tasks and models as users write them; recipes of the tests name them by import path."""

import io
import threading
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image, ImageOps

from tasks_lib import (
    ImageAnswer,
    ImageGeneration,
    ImageGenerationModel,
    ImageRequest,
    ImageTask,
    StepInput,
    StepOutput,
    image_from_str,
)
from tasks_lib.errors import RefusedError

__all__ = [
    "BestOfThree",
    "BrokenTask",
    "CountingTask",
    "DarkRoom",
    "DocumentedTask",
    "FlatColour",
    "Forgetful",
    "LoudGeneration",
    "MirroringTask",
    "OneCatOnly",
    "PosterTask",
    "ScoringTask",
    "StubbornTask",
    "StumblingTask",
    "ThumbnailTask",
]


class PosterTask(ImageTask):
    """Overrides the two format methods only."""

    style: str = "poster"

    @property
    def inputs(self) -> list[str]:
        return ["subject"]

    @property
    def outputs(self) -> list[str]:
        return ["picture", "asked", "model_name"]

    def format_input(self, input: dict[str, Any]) -> str:
        return f"a {self.style} of {input['subject']}"

    def format_output(self, output: dict[str, Any], input: dict[str, Any]) -> dict[str, Any]:
        return {"picture": output["images"][0], "asked": self.format_input(input)}


class DocumentedTask(ImageTask):
    """Overrides ``process`` and talks to ``self.llm`` as distilabel's documentation shows."""

    @property
    def inputs(self) -> list[str]:
        return ["prompt"]

    @property
    def outputs(self) -> list[str]:
        return ["image", "model_name"]

    def format_input(self, input: dict[str, Any]) -> str:
        return input["prompt"]

    def format_output(self, output: dict[str, Any], input: dict[str, Any]) -> dict[str, Any]:
        image = None
        if images := output.get("images"):
            image = images[0]
        return {"image": image, "model_name": self.llm.model_name}

    def process(self, inputs: StepInput) -> StepOutput:
        formatted_inputs = self._format_inputs(inputs)
        outputs = self.llm.generate_outputs(
            inputs=formatted_inputs,
            num_generations=self.num_generations,
            **self.llm.get_generation_kwargs(),
        )
        task_outputs = []
        for input, input_outputs in zip(inputs, outputs, strict=True):
            formatted_outputs = self._format_outputs(input_outputs, input)
            for formatted_output in formatted_outputs:
                task_outputs.append({**input, **formatted_output, "model_name": self.llm.model_name})
        yield task_outputs


class CountingTask(DocumentedTask):
    """Formats its rows by itself, so that nothing tells the flow how a generation ended."""

    def process(self, inputs: StepInput) -> StepOutput:
        outputs = self.llm.generate_outputs(inputs=[row["prompt"] for row in inputs])
        yield [
            {**row, "image": (answers[0]["images"] or [None])[0], "letters": len(row["prompt"]), "model_name": "own"}
            for row, answers in zip(inputs, outputs, strict=True)
        ]


class ThumbnailTask(DocumentedTask):
    """Gives images of its own making, beside those of the model."""

    @property
    def outputs(self) -> list[str]:
        return ["image", "thumbnail", "model_name"]

    def format_output(self, output: dict[str, Any], input: dict[str, Any]) -> dict[str, Any]:
        buffer = io.BytesIO()
        Image.new("RGB", (16, 16), "red").save(buffer, "PNG")
        return {"image": output["images"][0], "thumbnail": buffer.getvalue()}


class ScoringTask(ImageGeneration):
    """Gives each row the score of its ``number``, and no column where that is ``None`` and not ``named``."""

    scores: list[Any]
    named: bool = True

    @property
    def outputs(self) -> list[str]:
        return ["image", *(["score"] if self.named else []), "model_name"]

    def format_output(self, output: dict[str, Any], input: dict[str, Any]) -> dict[str, Any]:
        score = self.scores[input["number"]]
        told = {} if score is None and not self.named else {"score": score}
        return {**super().format_output(output, input), **told}


class Forgetful(DocumentedTask):
    """Loses a row."""

    def process(self, inputs: StepInput) -> StepOutput:
        yield [row for rows in super().process(inputs) for row in rows][1:]


class BestOfThree(DocumentedTask):
    """Asks three images for a row, and keeps the one with the largest file."""

    def process(self, inputs: StepInput) -> StepOutput:
        outputs = self.llm.generate_outputs(inputs=[row["prompt"] for row in inputs], num_generations=3)
        yield [
            {**row, "image": max((image for answer in answers for image in answer["images"]), default=None, key=len)}
            for row, answers in zip(inputs, outputs, strict=True)
        ]


class MirroringTask(CountingTask):
    """Gives another image in place of the one that came."""

    def process(self, inputs: StepInput) -> StepOutput:
        for rows in super().process(inputs):
            yield [{**row, "image": self._mirrored(row["image"])} for row in rows]

    def _mirrored(self, image: str) -> bytes:
        buffer = io.BytesIO()
        ImageOps.mirror(image_from_str(image).convert("RGB")).save(buffer, "PNG")
        return buffer.getvalue()


class StumblingTask(ImageGeneration):
    """Meets a fault of its machine once, when the images are there."""

    def process(self, inputs: StepInput) -> StepOutput:
        rows = list(super().process(inputs))
        if not Path("stumbled").exists():
            Path("stumbled").touch()
            raise OSError("a share was lost")
        yield from rows


class FlatColour(ImageGenerationModel):
    """One flat colour for each prompt: a model of a user's own."""

    side: int = 32

    @property
    def model_name(self) -> str:
        return "flat-colour"

    async def agenerate(self, request: ImageRequest) -> ImageAnswer | bytes:
        buffer = io.BytesIO()
        colour = ((request.seed or 0) % 256, len(request.prompt) % 256, request.number % 256)
        Image.new("RGB", (self.side, self.side), colour).save(buffer, "PNG")
        return buffer.getvalue()


class OneCatOnly(FlatColour):
    """Refuses a second image of a cat."""

    async def agenerate(self, request: ImageRequest) -> ImageAnswer | bytes:
        if request.number == 1 and "cat" in request.prompt:
            raise RefusedError("a second cat")
        return await super().agenerate(request)


class DarkRoom(FlatColour):
    """Edits, too: whatever it is given becomes black."""

    edits: ClassVar[bool] = True

    async def agenerate(self, request: ImageRequest) -> ImageAnswer | bytes:
        buffer = io.BytesIO()
        Image.new("RGB", (self.side, self.side)).save(buffer, "PNG")
        return buffer.getvalue()


class LoudGeneration(ImageGeneration):
    """A built-in task with one thing changed."""

    def format_input(self, input: dict[str, Any]) -> str:
        return f"{input['prompt']}!"


class BrokenTask(DocumentedTask):
    """Has a mistake."""

    def format_output(self, output: dict[str, Any], input: dict[str, Any]) -> dict[str, Any]:
        raise KeyError("no such column")


class StubbornError(Exception):
    """An error as libraries have them: with an answer in it that cannot be pickled."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()


class StubbornTask(DocumentedTask):
    """Meets such an error."""

    def format_output(self, output: dict[str, Any], input: dict[str, Any]) -> dict[str, Any]:
        raise StubbornError("cannot travel")
