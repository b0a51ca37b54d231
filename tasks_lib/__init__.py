"""Imageloom: synthetic image datasets, from prompts to a Hugging Face dataset with real images."""

from tasks_lib.distiset import Distiset
from tasks_lib.errors import ImageloomError
from tasks_lib.generator import ImageGenerator
from tasks_lib.images import image_from_str, image_to_str
from tasks_lib.limits import Limits
from tasks_lib.models import (
    DiffusersImageGeneration,
    ImageAnswer,
    ImageGenerationModel,
    ImageRequest,
    InferenceEndpointsImageGeneration,
    OpenAIImageGeneration,
    ProceduralImageGeneration,
)
from tasks_lib.store import ImageStore
from tasks_lib.tasks import ImageEditing, ImageGeneration, ImageTask, Row, StepInput, StepOutput

__all__ = [
    "DiffusersImageGeneration",
    "Distiset",
    "ImageAnswer",
    "ImageEditing",
    "ImageGeneration",
    "ImageGenerationModel",
    "ImageGenerator",
    "ImageRequest",
    "ImageStore",
    "ImageTask",
    "ImageloomError",
    "InferenceEndpointsImageGeneration",
    "Limits",
    "OpenAIImageGeneration",
    "ProceduralImageGeneration",
    "Row",
    "StepInput",
    "StepOutput",
    "image_from_str",
    "image_to_str",
]
