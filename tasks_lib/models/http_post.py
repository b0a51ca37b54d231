"""Posting to an endpoint over connections of our own, and reading no more of an answer than an image can have."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from tasks_lib.errors import GenerationError

__all__ = ["HttpAnswer", "HttpPoster"]

MAX_ERROR_BYTES = 64 * 1024


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
        client = self._take_client()
        try:
            async with client.stream("POST", url, json=json, content=content, headers=headers) as response:
                is_error = response.status_code >= 400
                body = await (_beginning(response) if is_error else self._whole(response))
                return HttpAnswer(response.status_code, response.headers, body)
        finally:
            self._idle.append(client)

    async def aclose(self) -> None:
        """Close the connections; calls still in flight keep theirs."""
        idle, self._idle = self._idle, []
        for client in idle:
            await client.aclose()

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

    async def _whole(self, response: httpx2.Response) -> bytes:
        self._check_size(int(response.headers.get("content-length", 0)))
        chunks, size = [], 0
        async for chunk in response.aiter_bytes():
            chunks.append(chunk)
            size += len(chunk)
            self._check_size(size)
        return b"".join(chunks)

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise GenerationError(f"the answer has {size:,} bytes or more; at most {self._max_bytes:,} are taken.")


async def _beginning(response: httpx2.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_ERROR_BYTES:
            break
    return body
