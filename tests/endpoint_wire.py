"""How HTTP/1.1 requests are read and answers leave, also the ways in which a connection goes wrong."""

import asyncio
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import responses

from tests.endpoint_scenarios import Answer

__all__ = ["Request", "deliver", "read_request"]

ZEROS = bytes(1_000_000)


@dataclass(frozen=True)
class Request:
    """One HTTP request; the names of its headers are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Read the next request of a connection; raises IncompleteReadError when the client has hung up."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    method, path, _ = first.split(" ", 2)
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body)


async def deliver(answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Send an answer in its manner.

    Returns:
        Whether the whole body was written to a client that was still there; if not, the connection is of no more use.
    """
    if reader.at_eof():
        return False
    try:
        match answer.manner:
            case "whole" | "chunked":
                return await _send_whole(answer, reader, writer)
            case "byte by byte":
                return await _send_slowly(answer, reader, writer)
            case "never":
                await reader.read()
            case "reset before":
                _reset(writer)
            case "reset in the middle":
                await _send_half(answer, writer)
                _reset(writer)
            case "close in the middle":
                await _send_half(answer, writer)
    except ConnectionError:
        return False
    return False


async def _send_whole(answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    frame, end = (_chunk, _chunk(b"")) if answer.manner == "chunked" else (bytes, b"")
    writer.write(_head(answer) + frame(answer.body))
    await writer.drain()
    for start in range(0, answer.padding, len(ZEROS)):
        if reader.at_eof():
            return False
        writer.write(frame(ZEROS[: answer.padding - start]))
        await writer.drain()
    writer.write(end)
    await writer.drain()
    return True


async def _send_slowly(answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(_head(answer))
    for byte in answer.body:
        if reader.at_eof():
            return False
        await asyncio.sleep(answer.pace_s)
        writer.write(bytes([byte]))
        await writer.drain()
    return True


async def _send_half(answer: Answer, writer: asyncio.StreamWriter) -> None:
    writer.write(_head(answer) + answer.body[: len(answer.body) // 2])
    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset: lingering for zero seconds drops the connection without the closing handshake."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _head(answer: Answer) -> bytes:
    if answer.manner == "chunked":
        length = "Transfer-Encoding: chunked"
    else:
        length = f"Content-Length: {len(answer.body) + answer.padding}"
    extra = "".join(f"{name}: {value}\r\n" for name, value in answer.headers)
    reason = responses.get(answer.status, "Unknown")
    first = f"HTTP/1.1 {answer.status} {reason}\r\nContent-Type: {answer.content_type}\r\n"
    return f"{first}{length}\r\n{extra}\r\n".encode("latin-1")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
