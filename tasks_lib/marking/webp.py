"""Where XMP and C2PA manifests stand in a WebP: chunks of its RIFF container."""

import struct

from tasks_lib.marking.xmp import Maker, UntouchableError, extended, packet

__all__ = ["add_xmp", "manifests"]

_ALPHA, _XMP = 0x10, 0x04
_BEFORE_XMP = {b"VP8X", b"ICCP", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L", b"EXIF"}


def add_xmp(data: bytes, maker: Maker) -> bytes:
    """The WebP with a statement about its maker, in the extended format; its frames stay byte for byte.

    Raises:
        UntouchableError: its own XMP must not be extended, or it is not whole.

    Source: the WebP container (RFC 9649), 2.7; XMP specification part 3, 1.1.
    """
    chunks = _chunks(data)
    kinds = [kind for kind, _ in chunks]
    if b"XMP " in kinds:
        at = kinds.index(b"XMP ")
        chunks[at] = (b"XMP ", extended(chunks[at][1], maker))
    else:
        at = max(number for number, kind in enumerate(kinds) if kind in _BEFORE_XMP) + 1
        chunks.insert(at, (b"XMP ", packet(maker)))
    if kinds[0] == b"VP8X":
        header = chunks.pop(0)[1]
        header = bytes([header[0] | _XMP]) + header[1:]
    else:
        header = _extended_header(*chunks[0])
    payload = b"WEBP" + b"".join(_chunk(kind, body) for kind, body in [(b"VP8X", header), *chunks])
    return b"RIFF" + struct.pack("<I", len(payload)) + payload + data[_riff_end(data) :]


def manifests(data: bytes) -> list[bytes]:
    """The chunks that hold C2PA manifests (C2PA 2.1, appendix A.3.4)."""
    return [body for kind, body in _chunks(data) if kind == b"C2PA"]


def _riff_end(data: bytes) -> int:
    return 8 + int(struct.unpack_from("<I", data, 4)[0])


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks = []
    start, riff_end = 12, _riff_end(data)
    while start < riff_end:
        kind, length = struct.unpack_from("<4sI", data, start)
        body = data[start + 8 : start + 8 + length]
        start += 8 + length + length % 2
        if start > min(riff_end, len(data)):
            raise UntouchableError
        chunks.append((kind, body))
    if not chunks or chunks[0][0] not in (b"VP8X", b"VP8 ", b"VP8L"):
        raise UntouchableError
    return chunks


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _extended_header(kind: bytes, body: bytes) -> bytes:
    """The VP8X body for an image in the simple format, whose canvas is its only frame."""
    flags = _XMP
    if body[:1] == b"\x2f" and kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", body, 1)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        flags |= _ALPHA if bits >> 28 & 1 else 0
    elif body[3:6] == b"\x9d\x01\x2a":
        # Two bits above each 14-bit side ask for upscaling, which decoders ignore.
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", body, 6))
    else:
        raise UntouchableError
    return bytes([flags, 0, 0, 0]) + struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
