"""A server that repeats the Authorization header it was sent, and all that is then shown and kept of a model."""

import io
import json
import pickle
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, PngImagePlugin

from tasks_lib.errors import StopError
from tasks_lib.models import ImageGenerationModel, ImageRequest
from tests.generating import generator_with
from tests.loopback import Asked, LoopbackServer, Reply

__all__ = ["EchoServer", "Traces", "picture_with", "traces_of"]


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


@dataclass(frozen=True)
class Traces:
    """What a model that has failed leaves behind."""

    shown: str
    """Everything that may be printed: the failure, the model, its generator."""
    pickled: bytes
    """The generator, as it travels to workers."""
    kept: bytes
    """The files of its store."""


def traces_of(model: ImageGenerationModel, folder: Path) -> Traces:
    """Ask for an image that does not come, and gather the traces; the store is below the folder, alone."""
    with generator_with(model, folder, max_attempts=2) as generator:
        try:
            (found,) = generator.generate([ImageRequest("a cat")])
            assert found.status == "failed", found
            said = f"{found!r} {found.error}"
        except StopError as error:
            said = f"{error!r} {error}"
        shown = f"{said} {model!r} {model} {model.identity()} {model.written()} {model.model_name} {generator!r}"
        pickled = pickle.dumps(generator)
    kept = b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
    return Traces(shown, pickled, kept)


def picture_with(text: str) -> bytes:
    """A PNG with a text in it."""
    buffer, notes = io.BytesIO(), PngImagePlugin.PngInfo()
    notes.add_text("Comment", text)
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=notes)
    return buffer.getvalue()
