"""Where XMP and C2PA manifests stand in a PNG: the chunks iTXt and caBX."""

import struct
import zlib

from tasks_lib.marking.xmp import Maker, UntouchableError, extended, packet

__all__ = ["add_xmp", "manifests"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP = b"XML:com.adobe.xmp\0"
_PLAIN_TEXT = b"\0\0\0\0"
"""Not compressed, compression method 0, no language, no translated keyword."""


def add_xmp(data: bytes, maker: Maker) -> bytes:
    """The PNG with a statement about its maker; every other chunk stays byte for byte.

    Raises:
        UntouchableError: its own XMP must not be extended, or it is not whole.

    Source: PNG (ISO/IEC 15948), 11.3.3.4; XMP specification part 3, 1.1.5.
    """
    chunks = _chunks(data)
    for kind, start, end in chunks:
        body = data[start + 8 : end - 4]
        if kind == b"iTXt" and body.startswith(_XMP):
            text = len(_XMP) + len(_PLAIN_TEXT)
            if body[len(_XMP) : text] != _PLAIN_TEXT:
                raise UntouchableError
            return data[:start] + _xmp_chunk(extended(body[text:], maker)) + data[end:]
    at = next((start for kind, start, _ in chunks if kind == b"IDAT"), None)
    if at is None:
        raise UntouchableError
    return data[:at] + _xmp_chunk(packet(maker)) + data[at:]


def manifests(data: bytes) -> list[bytes]:
    """The chunks that hold C2PA manifests (C2PA 2.1, appendix A.3.2)."""
    return [data[start:end] for kind, start, end in _chunks(data) if kind == b"caBX"]


def _chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    chunks = []
    start, kind = len(_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 12 + length
        if end > len(data):
            raise UntouchableError
        chunks.append((kind, start, end))
        start = end
    return chunks


def _xmp_chunk(xmp: bytes) -> bytes:
    body = b"iTXt" + _XMP + _PLAIN_TEXT + xmp
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
