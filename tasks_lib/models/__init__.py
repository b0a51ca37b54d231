"""Image generation models: what each file here states about one kind of endpoint."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tasks_lib.models.base import ImageAnswer, ImageGenerationModel, ImageRequest
from tasks_lib.models.diffusers import DiffusersImageGeneration
from tasks_lib.models.inference_endpoints import InferenceEndpointsImageGeneration
from tasks_lib.models.openai import OpenAIImageGeneration
from tasks_lib.models.procedural import ProceduralImageGeneration
from tasks_lib.settings import as_kind_of

__all__ = [
    "AnyImageGenerationModel",
    "DiffusersImageGeneration",
    "ImageAnswer",
    "ImageGenerationModel",
    "ImageRequest",
    "InferenceEndpointsImageGeneration",
    "OpenAIImageGeneration",
    "ProceduralImageGeneration",
]

if TYPE_CHECKING:
    AnyImageGenerationModel = ImageGenerationModel
else:
    AnyImageGenerationModel = Annotated[
        Annotated[
            DiffusersImageGeneration
            | InferenceEndpointsImageGeneration
            | OpenAIImageGeneration
            | ProceduralImageGeneration,
            Field(discriminator="type"),
        ],
        *as_kind_of(ImageGenerationModel),
    ]
    """A field that takes a model, its settings with their ``type``, or a user's class by import path."""
