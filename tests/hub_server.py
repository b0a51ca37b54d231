"""A server on loopback in place of the Hub and its router: what it says of a model, and each provider's own answers."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from huggingface_hub.inference._providers import PROVIDERS

from tests.endpoint_images import image_for

__all__ = ["FACTS", "Fault", "HubServer"]

PROCESSING = {"task_status": "PROCESSING"}
Fault = tuple[int, dict[str, str], bytes]
"""Status, headers and body of an answer that is no image."""
FACTS = {"seed": 42, "has_nsfw_concepts": [False]}
"""What a provider says beside the image, where its protocol has a place for it."""


class HubServer:
    """Serves while the block runs.

    Args:
        task: what every model is for, in the Hub's words.
        failing_links: how many downloads of an image are answered 500 at first.
        fault: status, headers and body that are answered to the first question how far a queued call is.
    """

    def __init__(self, task: str = "text-to-image", failing_links: int = 0, fault: Fault | None = None) -> None:
        self.task = task
        self.fault = fault
        self.failing_links = failing_links
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        """Path, headers and body of every call for an image."""
        self.polls = 0
        """Questions how far a queued call is."""
        self.busy = False
        """Whether queued calls stay in the queue."""
        self.image = image_for("a cat", {}, None, image_format="png", image_bytes=None)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def get(self, path: str) -> Fault:
        """What is said of a model, how far a queued call is, or an image."""
        # Of its own accord the library asks for more than the model, below /api/.
        is_poll = path.startswith("/api/v3/") or not path.startswith(("/files/", "/api/"))
        self.polls += is_poll
        if is_poll and self.fault:
            fault, self.fault = self.fault, None
            return fault
        if is_poll and self.busy:
            return (
                200,
                {},
                json.dumps({"status": "IN_PROGRESS", **PROCESSING, "data": {"status": "processing"}}).encode(),
            )
        status, body = self._found(path)
        return status, {}, body

    def _found(self, path: str) -> tuple[int, bytes]:
        link = f"{self.url}/files/cat.png"
        if path.startswith("/files/"):
            self.failing_links -= 1
            return (500, b"try again") if self.failing_links >= 0 else (200, self.image)
        if path.startswith("/api/models/"):
            return 200, self._model()
        if path.startswith("/api/v3/predictions/"):
            return 200, json.dumps({"data": {"status": "completed", "outputs": [link]}}).encode()
        if path.startswith("/zai-org/"):
            return 200, json.dumps({"task_status": "SUCCESS", "image_result": [{"url": link}]}).encode()
        answer = {"status": "COMPLETED"} if path.endswith("/status?_subdomain=queue") else {"images": [{"url": link}]}
        return 200, json.dumps(answer).encode()

    def post(self, path: str, headers: dict[str, str], body: bytes) -> Fault:
        """A provider's answer to a request for an image, by the first part of the path."""
        self.posts.append((path, headers, body))
        if path.startswith("/hf-inference/"):
            return 200, {}, self.image
        return 200, {}, json.dumps(self._answers("_subdomain=queue" in path)[path.split("/")[1]]).encode()

    def _answers(self, queued: bool) -> dict[str, Any]:
        link, encoded = f"{self.url}/files/cat.png", base64.b64encode(self.image).decode()
        fal = {"request_id": "1", "response_url": f"{self.url}/cat", "status": "QUEUED"}
        return {
            "fal-ai": fal if queued else {"images": [{"url": link, "width": 8}], **FACTS},
            "nscale": {"data": [{"b64_json": encoded}], **FACTS},
            "replicate": {"output": [link], **FACTS},
            "together": {"data": [{"index": 0, "b64_json": encoded}], **FACTS},
            "wavespeed": {"data": {"urls": {"get": f"{self.url}/api/v3/predictions/1"}, "status": "created"}},
            "zai-org": {"id": "1", **PROCESSING},
        }

    def _model(self) -> bytes:
        able = [name for name, tasks in PROVIDERS.items() if self.task in tasks]
        mapping = [{"provider": name, "providerId": "maker/cat", "status": "live", "task": self.task} for name in able]
        model = {"id": f"me/{self.task}", "pipeline_tag": self.task, "inferenceProviderMapping": mapping}
        return json.dumps(model).encode()


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # the name that http.server calls
            self._send(*hub.get(self.path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._send(*hub.post(self.path, {name.lower(): value for name, value in self.headers.items()}, body))

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
