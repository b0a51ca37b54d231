"""Asking through the ``openai`` package, over connections of one event loop; imports it, so import this late."""

import io
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx2
import openai
import pybase64
from PIL import Image, ImageOps

from tasks_lib.errors import InvalidRequestError
from tasks_lib.image_verification import DAMAGED
from tasks_lib.models.http_post import MAX_ERROR_BYTES, read_at_most

__all__ = ["OpenAIClients", "mask_for_openai", "upload"]

Upload = tuple[str, bytes, str]
"""A file's name, bytes and media type."""


class OpenAIClients:
    """Clients of the SDK, one for each call in flight.

    A client that holds many connections looks at every idle one in each call, which takes as long as the rest of it.

    Args:
        base_url: of the API, with its version, and with a query if each call is to have it.
        key: sent as a bearer token.
    """

    def __init__(self, base_url: str, key: str) -> None:
        # The SDK would write its paths behind the query.
        self._base_url, _, self._query = base_url.partition("?")
        self._key = key
        self._idle: list[openai.AsyncOpenAI] = []
        # Reading the certificates takes longer than anything else here.
        self._tls = httpx2.create_ssl_context()

    async def generate(self, fields: Mapping[str, Any], extra: Mapping[str, Any], max_bytes: int) -> bytes:
        """The body of the answer to ``images.generate``.

        Args:
            fields: prompt, model and, if not one, n.
            extra: everything else that is sent.
            max_bytes: beyond which the answer is not read.

        Raises:
            openai.OpenAIError, httpx2.HTTPError: there is no answer, or one that is an error.
            GenerationError: the answer is too big.
        """
        return await self._ask("generate", {**fields, "extra_body": extra}, max_bytes)

    async def edit(
        self,
        fields: Mapping[str, Any],
        extra: Mapping[str, Any],
        max_bytes: int,
        images: Sequence[Upload],
        mask: Upload | None,
    ) -> bytes:
        """The body of the answer to ``images.edit``; see :meth:`generate`."""
        # One image is sent under the name that every server knows; several are sent as a list.
        files: dict[str, Any] = {"image": images[0] if len(images) == 1 else list(images)}
        if mask is not None:
            files["mask"] = mask
        return await self._ask("edit", {**fields, **files, "extra_body": extra}, max_bytes)

    async def edit_in_json(
        self, fields: Mapping[str, Any], extra: Mapping[str, Any], max_bytes: int, images: Sequence[Upload]
    ) -> bytes:
        """The same for servers that take JSON in place of a form (xAI: one ``image``, or ``images``)."""
        linked = [{"type": "image_url", "url": _data_uri(image)} for image in images]
        sources: dict[str, Any] = {"image": linked[0]} if len(linked) == 1 else {"images": linked}
        # Without a file the SDK sends JSON, once the header says so.
        in_json = {"image": openai.omit, "extra_headers": {"Content-Type": "application/json"}}
        return await self._ask("edit", {**fields, **in_json, "extra_body": {**sources, **extra}}, max_bytes)

    async def aclose(self) -> None:
        """Close the connections; calls still in flight keep theirs."""
        idle, self._idle = self._idle, []
        for client in idle:
            await client.close()

    async def _ask(self, method: str, arguments: Mapping[str, Any], max_bytes: int) -> bytes:
        client = self._idle.pop() if self._idle else self._new_client()
        try:
            # Read here, where the size is limited; the SDK would read any size.
            async with getattr(client.images.with_streaming_response, method)(**arguments) as response:
                return await read_at_most(max_bytes, response.headers, response.iter_bytes())
        finally:
            self._idle.append(client)

    def _new_client(self) -> openai.AsyncOpenAI:
        # The generator limits the time and tries again, the window limits the number of calls.
        http = httpx2.AsyncClient(
            params=self._query,
            timeout=None,
            follow_redirects=True,
            verify=self._tls,
            event_hooks={"response": [_shorten_error]},
        )
        return openai.AsyncOpenAI(
            api_key=self._key, base_url=self._base_url, timeout=None, max_retries=0, http_client=http
        )


class _Beginning(httpx2.AsyncByteStream):
    """The first bytes of a body."""

    def __init__(self, body: httpx2.AsyncByteStream) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._body:
            yield chunk
            size += len(chunk)
            if size > MAX_ERROR_BYTES:
                break

    async def aclose(self) -> None:
        await self._body.aclose()


async def _shorten_error(response: httpx2.Response) -> None:
    """The SDK reads the whole body of an error, however long."""
    if response.status_code >= 400 and isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Beginning(response.stream)


def upload(data: bytes, name: str) -> Upload:
    """An image as a file to send; servers look at its media type.

    Raises:
        InvalidRequestError: it is no image.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            kind = image.format or ""
    except DAMAGED as error:
        raise InvalidRequestError(f"the source image '{name}' cannot be read: {error}.") from error
    return f"{name}.{kind.lower()}", data, Image.MIME.get(kind, "application/octet-stream")


def _data_uri(image: Upload) -> str:
    _, data, media_type = image
    return f"data:{media_type};base64,{pybase64.b64encode_as_string(data)}"


def mask_for_openai(mask: bytes) -> Upload:
    """A mask that is transparent where ours is white: that is what OpenAI's protocol takes to be changed.

    Raises:
        InvalidRequestError: it is no image.
    """
    try:
        with Image.open(io.BytesIO(mask)) as image:
            opaque = ImageOps.invert(image.convert("L"))
    except DAMAGED as error:
        raise InvalidRequestError(f"the mask cannot be read: {error}.") from error
    shown = Image.new("RGBA", opaque.size)
    shown.putalpha(opaque)
    buffer = io.BytesIO()
    shown.save(buffer, "PNG")
    return "mask.png", buffer.getvalue(), "image/png"
