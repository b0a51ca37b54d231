"""Small encoded images for tests, and the parts that their files consist of."""

import io
import struct
import zlib
from typing import Any

from PIL import Image

__all__ = ["FORMATS", "MODES", "encode", "parts", "pixels", "with_manifest"]

FORMATS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG"},
    "jpeg": {"format": "JPEG", "quality": 90},
    "webp": {"format": "WEBP", "quality": 80},
    "webp-lossless": {"format": "WEBP", "lossless": True},
}
MODES = {"PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"], "JPEG": ["L", "RGB", "CMYK"], "WEBP": ["RGB", "RGBA"]}


def encode(name: str, mode: str = "RGB", size: tuple[int, int] = (33, 20), seed: int = 0, **options: Any) -> bytes:
    """Encode a picture of repeatable noise."""
    noise = Image.effect_noise(size, 40 + seed).convert("RGB") if seed % 2 else Image.linear_gradient("L").resize(size)
    image = noise.convert("RGBA" if mode == "LA" else "I" if mode == "I;16" else mode).convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.linear_gradient("L").resize(size))
    buffer = io.BytesIO()
    image.save(buffer, **{**FORMATS[name], **options})
    return buffer.getvalue()


def pixels(data: bytes) -> tuple[str, tuple[int, int], bytes]:
    """Decode an image."""
    with Image.open(io.BytesIO(data)) as image:
        return image.mode, image.size, image.tobytes()


def parts(data: bytes) -> list[tuple[str, bytes]]:
    """Cut a file into its named parts, each with its bytes; the scan of a JPEG is one part."""
    found = []
    if data[:4] == b"\x89PNG":
        at = 8
        while at < len(data):
            (length,) = struct.unpack_from(">I", data, at)
            found.append((data[at + 4 : at + 8].decode(), data[at : at + 12 + length]))
            at += 12 + length
    elif data[:4] == b"RIFF":
        assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8
        at = 12
        while at < len(data):
            (length,) = struct.unpack_from("<I", data, at + 4)
            found.append((data[at : at + 4].decode(), data[at : at + 8 + length + length % 2]))
            at += 8 + length + length % 2
    else:
        at = 2
        while data[at + 1] != 0xDA:
            (length,) = struct.unpack_from(">H", data, at + 2)
            found.append((f"{data[at + 1]:02X}", data[at : at + 2 + length]))
            at += 2 + length
        found.append(("scan", data[at:]))
    return found


def with_manifest(name: str, payload: bytes) -> tuple[bytes, str, bytes]:
    """Encode an image with a C2PA part; return it with the part's name and bytes."""
    data = encode(name)
    if name == "png":
        chunk = struct.pack(">I", len(payload)) + b"caBX" + payload
        chunk += struct.pack(">I", zlib.crc32(chunk[4:]))
        return data[:33] + chunk + data[33:], "caBX", chunk
    if name == "jpeg":
        segment = b"\xff\xeb" + struct.pack(">H", len(payload) + 2) + payload
        return data[:2] + segment + data[2:], "EB", segment
    chunk = b"C2PA" + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) % 2)
    return data[:4] + struct.pack("<I", len(data) - 8 + len(chunk)) + data[8:] + chunk, "C2PA", chunk
