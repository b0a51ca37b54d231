"""A server on loopback in place of the Hub and its router: what it says of a model, and each provider's own answers."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from huggingface_hub import constants
from huggingface_hub.inference._providers import PROVIDERS

from tests.endpoint_images import image_for
from tests.loopback import Asked, LoopbackServer, Reply

__all__ = ["FACTS", "QUEUED", "HubServer", "hub_in_place_of_the_real_one"]

QUEUED = [
    ("fal-ai", "image-to-image"),
    ("wavespeed", "image-to-image"),
    ("wavespeed", "text-to-image"),
    ("zai-org", "text-to-image"),
]
"""Providers that announce an image before they make it, with the task."""
FACTS = {"seed": 42, "has_nsfw_concepts": [False]}
"""What a provider says beside the image, where its protocol has a place for it."""


class HubServer(LoopbackServer):
    """Serves while the block runs.

    Args:
        task: what every model is for, in the Hub's words.
    """

    def __init__(self, task: str = "text-to-image") -> None:
        super().__init__(self._reply)
        self.task = task
        self.link = f"{self.url}/files/cat.png"
        """Where every image is, for those that get a link."""
        self.failing_links = 0
        """How many downloads of an image are answered 500 at first."""
        self.fault: Reply | None = None
        """The answer to the next question how far a queued call is, or to one about a dedicated endpoint."""
        self.busy = False
        """Whether queued calls stay in the queue."""
        self.knows = threading.Event()
        """Until it is set, nothing is said of a model."""
        self.knows.set()
        self.posts: list[Asked] = []
        """Every call for an image."""
        self.polls: list[Asked] = []
        """Questions how far a queued call is, and what came of it."""
        self.downloads: list[Asked] = []
        self.image = image_for("a cat", {}, None, image_format="png", image_bytes=None)
        self.announced = f"{self.url}/maker/cat/1"
        """Where a provider says that the result of a queued call will be."""

    def _reply(self, asked: Asked) -> Reply:
        if asked.method == "POST":
            self.posts.append(asked)
            return self._answer_to_a_call(asked)
        if asked.path.startswith("/files/"):
            self.downloads.append(asked)
            self.failing_links -= 1
            return Reply(b"try again", 500) if self.failing_links >= 0 else Reply(self.image)
        if asked.path.startswith("/api/models/"):
            return Reply(self._model()) if self.knows.wait(5) else Reply(status=504)
        # Of its own accord the library asks for more than the model, below /api/.
        is_poll = not asked.path.startswith("/api/")
        if is_poll:
            self.polls.append(asked)
        if is_poll and self.fault:
            fault, self.fault = self.fault, None
            return fault
        return Reply(json.dumps(self._state(asked)).encode())

    def _state(self, asked: Asked) -> dict[str, Any]:
        """How far a queued call is; the answer fits every provider that asks at this path."""
        images = {"images": [{"url": self.link}], **FACTS}
        match asked.path.split("/")[1], asked.path.partition("?")[0].endswith("/status"):
            case "fal-ai", True:
                return {"status": "IN_PROGRESS" if self.busy else "COMPLETED"}
            case "fal-ai", False:
                return images
            case "wavespeed", _:
                done = {"status": "completed", "outputs": [self.link], **FACTS}
                return {"data": {"status": "processing"} if self.busy else done}
            case "zai-org", _:
                done = {"task_status": "SUCCESS", "image_result": images["images"], **FACTS}
                return {"task_status": "PROCESSING"} if self.busy else done
        return {}

    def _answer_to_a_call(self, asked: Asked) -> Reply:
        """A provider's, by the first part of the path."""
        provider = asked.path.split("/")[1]
        if provider == "hf-inference":
            return Reply(self.image)
        return Reply(json.dumps(self._answers("_subdomain=queue" in asked.path)[provider]).encode())

    def _answers(self, queued: bool) -> dict[str, Any]:
        encoded = base64.b64encode(self.image).decode()
        fal = {"request_id": "1", "response_url": self.announced, "status": "IN_QUEUE"}
        return {
            "fal-ai": fal if queued else {"images": [{"url": self.link, "width": 8}], **FACTS},
            "nscale": {"data": [{"b64_json": encoded}], **FACTS},
            "replicate": {"output": [self.link], **FACTS},
            "together": {"data": [{"index": 0, "b64_json": encoded}], **FACTS},
            "wavespeed": {"data": {"urls": {"get": self.announced}, "status": "created", "has_nsfw_contents": []}},
            "zai-org": {"id": "a task/1", "task_status": "PROCESSING"},
        }

    def _model(self) -> bytes:
        able = [name for name, tasks in PROVIDERS.items() if self.task in tasks]
        mapping = [{"provider": name, "providerId": "maker/cat", "status": "live", "task": self.task} for name in able]
        model = {"id": f"me/{self.task}", "pipeline_tag": self.task, "inferenceProviderMapping": mapping}
        return json.dumps(model).encode()


@contextmanager
def hub_in_place_of_the_real_one(monkeypatch: pytest.MonkeyPatch, token: str) -> Iterator[HubServer]:
    """A Hub on loopback with its router, and a token for it.

    The library reads where they are from the environment once, when it is imported; so its constants are set.
    """
    with HubServer() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "INFERENCE_ENDPOINTS_ENDPOINT", f"{server.url}/v2")
        monkeypatch.setattr(constants, "INFERENCE_PROXY_TEMPLATE", f"{server.url}/{{provider}}")
        for task in PROVIDERS["hf-inference"].values():
            monkeypatch.setattr(task, "base_url", f"{server.url}/hf-inference")
        monkeypatch.setenv("HF_TOKEN", token)
        yield server
