"""A server that repeats the Authorization header it was sent: in a text, in JSON, or inside a PNG image."""

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from PIL import Image, PngImagePlugin

__all__ = ["EchoServer"]


class EchoServer:
    """Answers every POST with one status; use it as a context manager.

    Args:
        status: of every answer.
        kind: "text", "json" or "image": what the header is repeated in.
        words: of a text; the header takes the place of the braces.
    """

    def __init__(self, status: int, kind: str, words: str = "cannot do this with {}") -> None:
        self.authorizations: list[str] = []
        """The headers that came."""
        heard = self.authorizations

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # the name that http.server calls
                self.rfile.read(int(self.headers["Content-Length"]))
                heard.append(self.headers["Authorization"])
                body = _body(kind, heard[-1], words)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _body(kind: str, authorization: str, words: str) -> bytes:
    if kind == "text":
        return words.format(authorization).encode()
    if kind == "json":
        return json.dumps({"error": "failed", "headers": {"Authorization": authorization}}).encode()
    return _image(authorization)


def _image(text: str) -> bytes:
    buffer, notes = io.BytesIO(), PngImagePlugin.PngInfo()
    notes.add_text("Comment", text)
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=notes)
    return buffer.getvalue()
