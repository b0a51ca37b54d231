"""Image tasks: how a row becomes a request and an answer becomes columns."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tasks_lib.settings import as_kind_of
from tasks_lib.tasks.base import ImageTask, Row, StepInput, StepOutput
from tasks_lib.tasks.image_editing import ImageEditing
from tasks_lib.tasks.image_generation import ImageGeneration

__all__ = ["AnyImageTask", "ImageEditing", "ImageGeneration", "ImageTask", "Row", "StepInput", "StepOutput"]

if TYPE_CHECKING:
    AnyImageTask = ImageTask
else:
    AnyImageTask = Annotated[
        Annotated[ImageEditing | ImageGeneration, Field(discriminator="type")],
        *as_kind_of(ImageTask),
    ]
    """A field that takes a task, its settings with their ``type``, or a user's class by import path."""
