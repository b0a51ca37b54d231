"""Kept connections to all the hosts that one event loop asks."""

import asyncio
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2
from yarl import URL

__all__ = ["HttpConnections"]

MAX_HEADER_BYTES = 64 * 1024
"""Of one header; aiohttp's own 8 KB would lose a paid image whose answer has a long policy or cookie beside it."""


class HttpConnections:
    """The connections from the running event loop.

    By aiohttp: at 300 images a second it takes a third of the CPU of the client that ``huggingface_hub`` has, and it
    never repeats a POST by itself.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._session = aiohttp.ClientSession(
            # With the certificates that huggingface_hub trusts. Reading them takes longer than anything else here.
            connector=aiohttp.TCPConnector(limit=0, ssl=httpx2.create_ssl_context()),
            # The generator limits the time, the window the number of calls.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        self._proxies = getproxies()
        self._calls = 0
        self._is_closed = False
        # A script that ends without unloading its task would get a complaint of aiohttp as its last words.
        weakref.finalize(self, _close_soon, self._session, self.loop)

    @asynccontextmanager
    async def request(self, method: str, url: URL, **how: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a request, whose body is still to be read; ``how`` is aiohttp's.

        Raises:
            aiohttp.ClientError, OSError: there is none.
        """
        self._calls += 1
        try:
            async with self._session.request(method, url, proxy=self._proxy_for(url), **how) as response:
                yield response
        finally:
            self._calls -= 1
            await self._close_if_unused()

    async def aclose(self) -> None:
        """Close the connections once no call is in flight: its image is paid for."""
        self._is_closed = True
        await self._close_if_unused()

    async def _close_if_unused(self) -> None:
        if self._is_closed and not self._calls:
            await self._session.close()

    def _proxy_for(self, url: URL) -> str | None:
        """What the environment names; aiohttp would look there in each call, and for a login in ~/.netrc."""
        proxy = self._proxies.get(url.scheme) or self._proxies.get("all")
        return None if proxy is None or proxy_bypass(url.host or "") else proxy


def _close_soon(session: aiohttp.ClientSession, loop: asyncio.AbstractEventLoop) -> None:
    if not session.closed and not loop.is_closed():
        loop.call_soon_threadsafe(lambda: loop.create_task(session.close()))
