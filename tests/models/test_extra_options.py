"""Options of one provider are sent as they are, but never pay for images that nobody keeps."""

from typing import Any

import pytest
from pydantic import ValidationError

from tasks_lib.models import DiffusersImageGeneration, InferenceEndpointsImageGeneration, OpenAIImageGeneration
from tasks_lib.models.base import ImageGenerationModel

KINDS: list[tuple[type[ImageGenerationModel], dict[str, Any], str]] = [
    (InferenceEndpointsImageGeneration, {"model_id": "m"}, "extra_body"),
    (DiffusersImageGeneration, {"model_id": "m"}, "extra_arguments"),
    *(
        (OpenAIImageGeneration, {"model_id": "m", "base_url": "http://x/v1", "dialect": dialect}, "extra_body")
        for dialect in ("openai", "compatible", "together", "xai")
    ),
]


@pytest.mark.parametrize(("kind", "settings", "field"), KINDS, ids=lambda value: getattr(value, "__name__", None))
@pytest.mark.parametrize("name", ["n", "num_images", "num_images_per_prompt", "num_outputs"])
def test_more_images_than_are_kept_are_not_asked(
    kind: type[ImageGenerationModel], settings: dict[str, Any], field: str, name: str
) -> None:
    """A number of images among the extra options is refused before anything is paid, and what to use is named."""
    with pytest.raises(ValidationError, match=rf"{name} is 4, .* set num_generations of the task, .* images_per_call"):
        kind.model_validate({**settings, "generation_kwargs": {field: {name: 4}}})
    options = {field: {name: 1, "other": 4}}
    assert kind.model_validate({**settings, "generation_kwargs": options}).generation_kwargs == options
