"""A plain HTTP server on loopback, each of whose answers one function gives."""

import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Asked", "LoopbackServer", "Reply", "Take"]

Take = Callable[[int], bytes]
"""Takes so many bytes of a request's body from the network."""
Read = Callable[[str, str, int, Take], bytes | None]
"""Gives the body, by the request's method, its path and the body's size; ``None`` drops the connection."""


@dataclass(frozen=True)
class Asked:
    """A request as it came; the names of its headers in small letters."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What is answered to it."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def _whole(method: str, path: str, size: int, take: Take) -> bytes:
    return take(size)


class LoopbackServer:
    """Serves while the block runs.

    Args:
        reply: gives the answer to a request, in a thread of its own.
        certificate: with it, and with the private key in the same file, the server speaks TLS.
        read: takes the body of a request before it is answered.
    """

    def __init__(self, reply: Callable[[Asked], Reply], certificate: Path | None = None, read: Read = _whole) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(reply, read))
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(reply: Callable[[Asked], Reply], read: Read) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:
                self.close_connection = True

        def _converse(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = read(self.command, self.path, int(headers.get("content-length", 0)), self.rfile.read)
            if body is None:
                self.close_connection = True
            else:
                self._send(reply(Asked(self.command, self.path, headers, body)))

        # The names that http.server calls.
        do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = _converse  # noqa: N815

        def _send(self, answer: Reply) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
