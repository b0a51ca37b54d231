"""Calls over connections of our own, of whose answers no more is read than an image can have."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from tasks_lib.errors import GenerationError

__all__ = ["MAX_ERROR_BYTES", "HttpAnswer", "HttpPoster", "read_at_most"]

MAX_ERROR_BYTES = 64 * 1024
"""Read of an answer that is an error; it says its reason at once."""


@dataclass(frozen=True)
class HttpAnswer:
    """What came back; of an error's body, the beginning."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpPoster:
    """Posts over kept connections, which belong to the running event loop; pickled, it travels without them.

    Each call in flight has a client of its own with one connection: a client that holds many looks at every idle
    one in each call, which takes as long as the rest of it.

    Args:
        max_bytes: of an answer, beyond which it is not read.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._idle: list[httpx2.AsyncClient] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tls: ssl.SSLContext | None = None

    def __reduce__(self) -> tuple[type["HttpPoster"], tuple[int]]:
        return HttpPoster, (self._max_bytes,)

    async def post(
        self, url: str, headers: Mapping[str, str], json: Any = None, content: bytes | None = None
    ) -> HttpAnswer:
        """Post JSON or bytes.

        Raises:
            GenerationError: the answer has more than ``max_bytes``.
            httpx2.RequestError: there is no whole answer.
        """
        return await self._send("POST", url, headers, json=json, content=content)

    async def get(self, url: str, headers: Mapping[str, str], tls_name: str | None = None) -> HttpAnswer:
        """Get what is at a URL; a redirect is an answer like any other.

        Args:
            url: where ``tls_name`` is given, with an address in place of the host's name.
            headers: there, with the ``host`` that is meant.
            tls_name: the name that the server's certificate must be for, if it is not the URL's.

        Raises:
            GenerationError: the answer has more than ``max_bytes``.
            httpx2.RequestError: there is no whole answer.
        """
        if tls_name is None:
            return await self._send("GET", url, headers, follow_redirects=False)
        # A kept connection would be found by its address, and serve another name that has the same one.
        headers = {**headers, "connection": "close"}
        return await self._send("GET", url, headers, extensions={"sni_hostname": tls_name}, follow_redirects=False)

    async def aclose(self) -> None:
        """Close the connections; calls still in flight keep theirs."""
        idle, self._idle = self._idle, []
        for client in idle:
            await client.aclose()

    async def _send(self, method: str, url: str, headers: Mapping[str, str], **how: Any) -> HttpAnswer:
        client = self._take_client()
        try:
            async with client.stream(method, url, headers=headers, **how) as response:
                if response.status_code >= 400:
                    body = await _beginning(response)
                else:
                    body = await read_at_most(self._max_bytes, response.headers, response.aiter_bytes())
                return HttpAnswer(response.status_code, response.headers, body)
        finally:
            self._idle.append(client)

    def _take_client(self) -> httpx2.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._idle, self._loop = [], loop
        if self._idle:
            return self._idle.pop()
        # Reading the certificates takes longer than anything else here.
        self._tls = self._tls or httpx2.create_ssl_context()
        # The generator limits the time, the window the number of calls.
        return httpx2.AsyncClient(timeout=None, follow_redirects=True, verify=self._tls)


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


async def _beginning(response: httpx2.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_ERROR_BYTES:
            break
    return body
