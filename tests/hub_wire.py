"""Requests and answers of a loopback server, and the connections that bring them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

__all__ = ["Answer", "Fault", "Request", "Served", "handler_for"]


@dataclass(frozen=True)
class Request:
    """One request, as the server got it."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    @property
    def writes(self) -> bool:
        """Whether it changes anything; the API has two questions that are asked by POST."""
        return self.method not in ("GET", "HEAD") and not self.path.endswith(("/batch", "/validate-yaml"))


@dataclass(frozen=True)
class Answer:
    """Status, body and headers; a dict or list is JSON."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Fault:
    """What is answered instead, so many times, to requests whose method and path match.

    A late one is answered when the request has had its effect: the answer got lost.
    """

    pattern: str
    answer: Answer
    times: int = 1
    late: bool = False


class Served(Protocol):
    """What answers the requests of the connections."""

    def read(self, method: str, path: str, size: int, take: Callable[[int], bytes]) -> bytes | None:
        """Take the body of a request; ``None`` when the connection is to be dropped half-way."""

    def answer(self, request: Request) -> Answer:
        """What is answered."""


def handler_for(hub: Served) -> type[BaseHTTPRequestHandler]:
    """The class of the connections to it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:
                self.close_connection = True

        def _converse(self) -> None:
            parts = urlsplit(self.path)
            size = int(self.headers.get("Content-Length") or 0)
            body = hub.read(self.command, parts.path, size, self.rfile.read)
            if body is None:
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._send(hub.answer(Request(self.command, parts.path, parse_qs(parts.query), headers, body)))

        # The names that http.server calls.
        do_GET = do_HEAD = do_POST = do_PUT = _converse  # noqa: N815

        def _send(self, answer: Answer) -> None:
            body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
