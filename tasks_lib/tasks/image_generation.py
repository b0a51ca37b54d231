"""Text to image: a prompt column in, an image column out."""

from typing import Any, Literal

from tasks_lib.tasks.base import ImageTask, Row

__all__ = ["ImageGeneration"]


class ImageGeneration(ImageTask):
    """Generates images for the ``prompt`` of each row.

    Inputs: ``prompt``. Outputs: ``image`` and ``model_name``.
    """

    type: Literal["image_generation"] = "image_generation"

    @property
    def inputs(self) -> list[str]:
        """``prompt``."""
        return ["prompt"]

    @property
    def outputs(self) -> list[str]:
        """``image`` and ``model_name``."""
        return ["image", "model_name"]

    def format_input(self, input: Row) -> Any:
        """The row's prompt, as it is."""
        return input["prompt"]

    def format_output(self, output: Row, input: Row) -> Row:
        """The image as the model gave it."""
        return {"image": output["images"][0], "model_name": self.image_generation_model.model_name}
