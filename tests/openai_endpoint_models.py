"""What the tests of the OpenAI model share: a model of the loopback endpoint, and what its answers cost."""

from typing import Any

from tasks_lib.generator import Generation, ImageGenerator
from tasks_lib.limits import Limits
from tasks_lib.models import ImageRequest
from tasks_lib.models.openai import OpenAIImageGeneration
from tests.openai_endpoint import OpenAIEndpoint

__all__ = ["COST_USD", "PRICES", "generate", "model_for", "request_for"]

PRICES = {"input_text_tokens": 5, "input_image_tokens": 10, "output_image_tokens": 40, "output_text_tokens": 20}
COST_USD = (10 * 5 + 4 * 10 + 200 * 40 + 100 * 20) / 1e6


def model_for(server: OpenAIEndpoint, model_id: str = "gpt-image-2", **settings: Any) -> OpenAIImageGeneration:
    return OpenAIImageGeneration(model_id=model_id, base_url=server.url, **settings)


def generate(model: OpenAIImageGeneration, *requests: ImageRequest, **limits: Any) -> list[Generation]:
    model.load()
    generator = ImageGenerator(model, None, Limits(**limits))
    try:
        return generator.generate(requests)
    finally:
        generator.close()


def request_for(model: OpenAIImageGeneration, prompt: str, **facts: Any) -> ImageRequest:
    return ImageRequest(prompt, model.get_generation_kwargs(), **facts)
