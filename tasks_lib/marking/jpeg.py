"""Where XMP and C2PA manifests stand in a JPEG: the segments APP1 and APP11."""

import struct

from tasks_lib.marking.xmp import Maker, UntouchableError, extended, packet

__all__ = ["add_xmp", "manifests"]

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXIF = b"Exif\0\0"
_APP0, _APP1, _APP11, _START_OF_SCAN = 0xE0, 0xE1, 0xEB, 0xDA
_SEGMENT_BYTES = 65533


def add_xmp(data: bytes, maker: Maker) -> bytes:
    """The JPEG with a statement about its maker; every other segment and the scan stay byte for byte.

    Raises:
        UntouchableError: its own XMP must not be extended, it is not whole, or the packet does not fit.

    Source: JPEG (ITU-T T.81), B.1.1; XMP specification part 3, 1.1.3.
    """
    at = 2
    for marker, start, end in _segments(data):
        body = data[start + 4 : end]
        if marker == _APP1 and body.startswith(_XMP):
            return data[:start] + _xmp_segment(extended(body[len(_XMP) :], maker)) + data[end:]
        if marker == _APP0 or (marker == _APP1 and body.startswith(_EXIF)):
            at = end
    return data[:at] + _xmp_segment(packet(maker)) + data[at:]


def manifests(data: bytes) -> list[bytes]:
    """The segments that hold C2PA manifests (C2PA 2.1, appendix A.3.1)."""
    return [data[start:end] for marker, start, end in _segments(data) if marker == _APP11]


def _segments(data: bytes) -> list[tuple[int, int, int]]:
    segments = []
    start, marker = 2, 0
    while marker != _START_OF_SCAN:
        if data[start] != 0xFF:
            raise UntouchableError
        if data[start + 1] == 0xFF:
            # A marker may be preceded by any number of fill bytes.
            start += 1
            continue
        marker = data[start + 1]
        end = start + 2 + struct.unpack_from(">H", data, start + 2)[0]
        segments.append((marker, start, end))
        start = end
    # From the end, where it stands: from the front the whole image would be searched.
    if data.rfind(b"\xff\xd9", start) < 0:
        raise UntouchableError
    return segments


def _xmp_segment(xmp: bytes) -> bytes:
    body = _XMP + xmp
    if len(body) > _SEGMENT_BYTES:
        raise UntouchableError
    return struct.pack(">BBH", 0xFF, _APP1, len(body) + 2) + body
