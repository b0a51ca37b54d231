"""Image editing: an image and what to change in it, and another image out."""

from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from tasks_lib.errors import GenerationError, ImageCellError, SourceError
from tasks_lib.image_verification import verify_image
from tasks_lib.images import read_image_cell
from tasks_lib.tasks.base import ImageTask, Row

__all__ = ["ImageEditing"]


class ImageEditing(ImageTask):
    """Changes the ``image`` of each row as its ``prompt`` says.

    Inputs: ``image`` (a cell of a Hugging Face dataset, bytes, base64, a path or a URL, or a list of them),
    ``prompt`` unless there is an ``instruction``, and ``mask`` where there is such a column: an image, white where
    the first source is to be changed. Outputs: ``edited_image`` and ``model_name``. The source travels along.
    """

    category: ClassVar[str] = "image-to-image"
    image_output: ClassVar[str] = "edited_image"

    type: Literal["image_editing"] = "image_editing"
    instruction: str | None = None
    """The prompt for all rows, in place of a column: "make it a rainy {season} day" takes the row's season."""

    @model_validator(mode="after")
    def _check_model(self) -> Self:
        if not self.image_generation_model.edits:
            name = self.image_generation_model.model_name
            raise ValueError(f"the model '{name}' makes images from text only; name one that edits images")
        return self

    @property
    def inputs(self) -> dict[str, bool]:
        """``image``, ``prompt`` unless there is an instruction, and perhaps ``mask``."""
        return {**({} if self.instruction else {"prompt": True}), "image": True, "mask": False}

    @property
    def outputs(self) -> list[str]:
        """``edited_image`` and ``model_name``."""
        return ["edited_image", "model_name"]

    @property
    def prompt_input(self) -> str | None:
        """``prompt``, or ``None`` with an instruction."""
        return None if self.instruction else "prompt"

    def format_input(self, input: Row) -> Any:
        """The prompt with the source images and the mask.

        Raises:
            ImageCellError: there is no source image, or one cannot be read.
            SourceError: the instruction names a column that the row lacks.
        """
        cells = input["image"] if isinstance(input["image"], list) else [input["image"]]
        images = [_image(cell, "source image") for cell in cells]
        request: Row = {"prompt": self._prompt(input), "images": images}
        return request if input.get("mask") is None else {**request, "mask": _image(input["mask"], "mask")}

    def format_output(self, output: Row, input: Row) -> Row:
        """The image as the model gave it."""
        return {"edited_image": output["images"][0], "model_name": self.llm.model_name}

    def _prompt(self, row: Row) -> Any:
        if not self.instruction:
            return row["prompt"]
        try:
            return self.instruction.format_map(row)
        except (KeyError, ValueError, IndexError) as error:
            raise SourceError(
                f"the instruction {self.instruction!r} does not fit the row: {error} is no column; "
                f"found {', '.join(map(repr, row))}. Write {{{{ and }}}} for braces of the text."
            ) from error


def _image(cell: Any, what: str) -> bytes:
    data = read_image_cell(cell)
    if data is None:
        raise ImageCellError(f"the row has no {what}.")
    try:
        verify_image(data)
    except GenerationError as error:
        raise ImageCellError(f"the {what} cannot be used: {error}") from error
    return data
