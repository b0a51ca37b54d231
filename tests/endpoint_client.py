"""What tests need to talk to the test endpoint, above and below HTTP."""

import io
import json
import socket

import httpx2
from PIL import Image

from tests.endpoint import Endpoint

__all__ = ["connect", "hung_call", "opened", "post", "raw_request", "wait_for_in_flight"]


def connect(endpoint: Endpoint) -> socket.socket:
    """Open a bare connection."""
    return socket.create_connection(("127.0.0.1", int(endpoint.url.rsplit(":", 1)[1])))


def post(http: httpx2.Client, endpoint: Endpoint, prompt: str) -> httpx2.Response:
    """Ask for the image of a prompt with seed 1."""
    return http.post(endpoint.url, json={"inputs": prompt, "parameters": {"seed": 1}})


def opened(data: bytes) -> Image.Image:
    """Decode an image file; raises what Pillow raises when it is none."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def raw_request(prompt: str) -> bytes:
    """Write a request without parameters as it goes over the wire."""
    body = json.dumps({"inputs": prompt}).encode()
    return b"POST /any/path HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def hung_call(endpoint: Endpoint, number: int) -> socket.socket:
    """Occupy one place in flight until the connection returned is closed."""
    connection = connect(endpoint)
    connection.sendall(raw_request(f"{number} {{{{hang}}}}"))
    return connection


def wait_for_in_flight(endpoint: Endpoint, count: int) -> None:
    """Return when this many calls are in flight; each look is a turn of the server's loop."""
    assert any(endpoint.in_flight == count for _ in range(100_000)), f"never {count} in flight"
