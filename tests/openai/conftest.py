"""What the tests of the OpenAI model start from: an endpoint, and a key in the environment."""

from collections.abc import Iterator

import pytest

from tests.openai_endpoint import OpenAIEndpoint
from tests.openai_endpoint_models import KEY, set_openai_key


@pytest.fixture
def server() -> Iterator[OpenAIEndpoint]:
    """An endpoint of the test's own."""
    with OpenAIEndpoint() as running:
        yield running


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key, with the line end that a file of variables leaves."""
    set_openai_key(monkeypatch, f"{KEY}\n")
