"""Fetching an image that an endpoint answered with a link to, without being led into a private network."""

import asyncio
import ipaddress
import socket
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from tasks_lib.errors import BadImageError, GenerationError, LostImageError, StopError, TransientError
from tasks_lib.models.http_answers import passing_fault, redact_url
from tasks_lib.models.http_post import HTTP_FAULTS, HttpAnswer, HttpPoster
from tasks_lib.models.patience import AbsentError, ask_patiently

__all__ = ["fetch_image"]

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""What names resolve to in networks without IPv4; the last 32 bits are the address meant (RFC 6052)."""


async def fetch_image(http: HttpPoster, link: str, endpoint: str) -> bytes:
    """The bytes behind a link, fetched from an address that was checked before connecting to it.

    The image is paid for already, so that its link is followed with patience.

    A link may lead to any public address, and to a loopback, link-local or other private one only where the endpoint
    itself is on one of that kind. Each redirect is checked in the same way.

    Args:
        http: the connections.
        link: as the endpoint gave it; relative ones are completed by ``endpoint``.
        endpoint: the URL that was asked.

    Raises:
        LostImageError: the link leads to no image.
        StopError: it leads where no public endpoint should.
        GenerationError: the image is too big.
    """
    url = _completed(link, endpoint)
    try:
        return await ask_patiently(lambda: _image_at(http, url, endpoint))
    except TransientError as error:
        raise LostImageError(str(error), error.retry_after) from error


async def _image_at(http: HttpPoster, url: str, endpoint: str) -> bytes:
    where = f"the link to the image, {redact_url(url)},"
    try:
        answer = await _follow(http, url, endpoint)
    except HTTP_FAULTS as error:
        raise TransientError(f"{where} gave no answer: {type(error).__name__}.") from error
    if answer.status == 200:
        return answer.body
    message = f"{where} answered {answer.status}."
    raise passing_fault(answer.status, answer.headers, message) or AbsentError(message)


async def _follow(http: HttpPoster, url: str, endpoint: str) -> HttpAnswer:
    for _ in range(MAX_REDIRECTS + 1):
        answer = await _get(http, url, endpoint)
        target = answer.headers.get("location")
        if answer.status not in REDIRECTS or not target:
            return answer
        url = _completed(target, url)
    raise GenerationError(f"the link to the image, {redact_url(url)}, is redirected more than {MAX_REDIRECTS} times.")


async def _get(http: HttpPoster, url: str, endpoint: str) -> HttpAnswer:
    """The answer of the first address that gives one: a name may have two, and a server behind one of them."""
    parts = urlsplit(url)
    *others, last = await _checked_addresses(parts, endpoint)
    for address in others:
        try:
            return await _get_from(http, address, parts)
        except HTTP_FAULTS:
            continue
    return await _get_from(http, last, parts)


async def _get_from(http: HttpPoster, address: str, url: SplitResult) -> HttpAnswer:
    literal = f"[{address}]" if ":" in address else address
    # Connected to the address that was checked: a second look-up of the name could give another one.
    there = urlunsplit((url.scheme, f"{literal}:{_port(url)}", url.path or "/", url.query, ""))
    return await http.get(there, {"host": url.netloc.rpartition("@")[2]}, tls_name=url.hostname or "")


def _completed(link: str, base: str) -> str:
    """A link as a URL that leads to a host over HTTP."""
    try:
        url = urljoin(base, link)
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and _port(parts):
            return url
    except ValueError:
        # No number where the port should be, or an unclosed bracket.
        pass
    raise BadImageError(f"the link to the image is none that can be fetched: {link[:60]!r}.")


async def _checked_addresses(link: SplitResult, endpoint: str) -> list[str]:
    addresses = await _addresses(link)
    kinds = {_kind(address) for address in addresses} - {"public"}
    if kinds and not kinds <= {_kind(address) for address in await _addresses(urlsplit(endpoint))}:
        where = redact_url(urlunsplit(link))
        raise StopError(
            f"{redact_url(endpoint)} answered with a link to {where}, which is on a {' and '.join(sorted(kinds))} "
            "address. The run stops: such a link is followed only from an endpoint on an address of that kind. "
            "Ask for the image itself instead of a link, or name the endpoint by its internal address."
        )
    return addresses


async def _addresses(url: SplitResult) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(url.hostname or "", _port(url), type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def _port(url: SplitResult) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _kind(text: str) -> str:
    address = _meant(ipaddress.ip_address(text))
    if address.is_loopback:
        return "loopback"
    if address.is_link_local:
        return "link-local"
    if address.is_unspecified or address.is_multicast or address.is_reserved:
        return "reserved"
    return "public" if address.is_global else "private"


def _meant(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The older kind of address that one of the newer kind carries and leads to (RFC 4291, 2.5.5.2; RFC 3056)."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
