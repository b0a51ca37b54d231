"""Calls over connections of our own, of whose answers no more is read than an image can have."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from tasks_lib.errors import GenerationError
from tasks_lib.models.http_connections import HttpConnections

__all__ = ["HTTP_FAULTS", "MAX_ERROR_BYTES", "HttpAnswer", "HttpPoster", "read_at_most"]

HTTP_FAULTS = (aiohttp.ClientError, OSError)
"""What a call raises that gets no whole answer."""
CONNECT_S = 5.0
"""Seconds that a server may take to accept a connection for a GET, which may be asked again; a POST has the whole
call's time."""
MAX_ERROR_BYTES = 64 * 1024
"""Read of an answer that is an error; it says its reason at once."""
URL_SIGNS = "!#$%&'()*+,/:;=?@[]~"
"""What stays as it is in a URL, escapes included: a signature may cover them."""


@dataclass(frozen=True)
class HttpAnswer:
    """What came back; of an error's body, the beginning."""

    status: int
    headers: Mapping[str, str]
    """With case-insensitive names."""
    body: bytes


class HttpPoster:
    """Posts over kept connections, which belong to the running event loop; pickled, it travels without them.

    Args:
        max_bytes: of an answer, beyond which it is not read.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._connections: HttpConnections | None = None

    def __reduce__(self) -> tuple[type["HttpPoster"], tuple[int]]:
        return HttpPoster, (self._max_bytes,)

    async def post(
        self, url: str, headers: Mapping[str, str], json: Any = None, content: bytes | None = None
    ) -> HttpAnswer:
        """Post JSON or bytes.

        Args:
            url: of the endpoint, without a login.
            headers: with lower-case names.
            json: what to send, unless ``content`` is given.
            content: bytes to send as they are.

        Raises:
            GenerationError: the answer has more than ``max_bytes``.
            aiohttp.ClientError, OSError: there is no whole answer.
            UnicodeEncodeError: the JSON holds half a surrogate pair.
        """
        if content is None:
            headers, content = {**headers, "content-type": "application/json"}, _encoded(json)
        # Bytes as they are would be copied, and more than a megabyte of them complained of.
        return await self._send("POST", URL(url), headers, data=io.BytesIO(content))

    async def get(self, url: str, headers: Mapping[str, str], tls_name: str | None = None) -> HttpAnswer:
        """Get what is at a URL; a redirect is an answer like any other.

        Args:
            url: where ``tls_name`` is given, with an address in place of the host's name.
            headers: there, with the ``host`` that is meant.
            tls_name: the name that the server's certificate must be for, if it is not the URL's.

        Raises:
            GenerationError: the answer has more than ``max_bytes``.
            aiohttp.ClientError, OSError: there is no whole answer.
        """
        if tls_name is not None:
            # A kept connection would be found by its address, and serve another name that has the same one.
            headers = {**headers, "connection": "close"}
        there = URL(quote(url, safe=URL_SIGNS), encoded=True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        return await self._send("GET", there, headers, server_hostname=tls_name, allow_redirects=False, timeout=timeout)

    async def aclose(self) -> None:
        """Close the connections; calls still in flight keep theirs."""
        connections, self._connections = self._connections, None
        if connections:
            await connections.aclose()

    async def _send(self, method: str, url: URL, headers: Mapping[str, str], **how: Any) -> HttpAnswer:
        if not self._connections or self._connections.loop is not asyncio.get_running_loop():
            self._connections = HttpConnections()
        async with self._connections.request(method, url, headers=headers, **how) as response:
            body = response.content.iter_any()
            if response.status >= 400:
                return HttpAnswer(response.status, response.headers, await _beginning(body))
            whole = await read_at_most(self._max_bytes, response.headers, body)
            return HttpAnswer(response.status, response.headers, whole)


def _encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


async def read_at_most(max_bytes: int, headers: Mapping[str, str], body: AsyncIterator[bytes]) -> bytes:
    """The whole body of an answer.

    Args:
        max_bytes: beyond which it is not read.
        headers: of the answer, with lower-case names or case-insensitive.
        body: its pieces, decompressed.

    Raises:
        GenerationError: it has more than ``max_bytes``.
    """
    _check_size(int(headers.get("content-length", 0)), max_bytes)
    chunks, size = [], 0
    async for chunk in body:
        chunks.append(chunk)
        size += len(chunk)
        _check_size(size, max_bytes)
    return b"".join(chunks)


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise GenerationError(f"the answer has {size:,} bytes or more; at most {max_bytes:,} are taken.")


async def _beginning(chunks: AsyncIterator[bytes]) -> bytes:
    body = b""
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_ERROR_BYTES:
            break
    return body
