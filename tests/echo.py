"""A server that repeats the Authorization header it was sent: in a text, in JSON, or inside a PNG image."""

import io
import json

from PIL import Image, PngImagePlugin

from tests.loopback import Asked, LoopbackServer, Reply

__all__ = ["EchoServer", "picture_with"]


class EchoServer(LoopbackServer):
    """Answers every request with one status; use it as a context manager.

    Args:
        status: of every answer.
        kind: "text", "json" or "image": what the header is repeated in.
        words: of a text; the header takes the place of the braces.
    """

    def __init__(self, status: int, kind: str, words: str = "cannot do this with {}") -> None:
        super().__init__(self._reply)
        self.authorizations: list[str] = []
        """The headers that came."""
        self._status = status
        self._kind = kind
        self._words = words

    def _reply(self, asked: Asked) -> Reply:
        self.authorizations.append(asked.headers["authorization"])
        return Reply(self._body(asked.headers["authorization"]), self._status)

    def _body(self, authorization: str) -> bytes:
        if self._kind == "text":
            return self._words.format(authorization).encode()
        if self._kind == "json":
            return json.dumps({"error": "failed", "headers": {"Authorization": authorization}}).encode()
        return picture_with(authorization)


def picture_with(text: str) -> bytes:
    """A PNG with a text in it."""
    buffer, notes = io.BytesIO(), PngImagePlugin.PngInfo()
    notes.add_text("Comment", text)
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=notes)
    return buffer.getvalue()
