"""What the tests of the OpenAI model share: a key, a model of the loopback endpoint, and what its answers cost."""

from typing import Any

import pytest

from tasks_lib.generation import Generation
from tasks_lib.generator import ImageGenerator
from tasks_lib.limits import Limits
from tasks_lib.models import ImageRequest
from tasks_lib.models.openai import OpenAIImageGeneration
from tests.openai_endpoint import OpenAIEndpoint

__all__ = ["COST_USD", "KEY", "PRICES", "generate", "model_for", "request_for", "set_openai_key"]

KEY = "sk-MARKEDxKEYx0123456789"
PRICES = {"input_text_tokens": 5, "input_image_tokens": 10, "output_image_tokens": 40, "output_text_tokens": 20}
COST_USD = (10 * 5 + 4 * 10 + 200 * 40 + 100 * 20) / 1e6


def set_openai_key(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """This key, and nothing else that the SDK reads from the environment."""
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS", "OPENAI_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", key)


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
