"""The Hub on loopback with the Xet protocol, by which files go where ``hf_xet`` is installed.

Specification: https://huggingface.co/docs/xet, as far as an upload of chunks that are not compressed needs it.
"""

import hashlib
import re
import struct
import time
from collections.abc import Iterator

from tests.hub_repository import HubRepository
from tests.hub_wire import Answer, Request
from tests.loopback import Take

__all__ = ["XetHub"]

SHARD_HEADER_BYTES = 48
ENTRY_BYTES = 48
"""Of each entry of a shard."""
HAS_VERIFICATION, HAS_SHA256 = 1 << 31, 1 << 30
XORB = re.compile(r"/v1/xorbs/default/(?P<hash>\w+)")


class XetHub(HubRepository):
    """Serves while the block runs; knows nothing of a file until it is committed, unless by its chunks."""

    def __init__(self) -> None:
        super().__init__()
        self.xorbs: dict[str, list[bytes]] = {}
        """The chunks of each block of chunks that arrived whole, by its hash."""
        self.xorb_bytes = 0
        """Bytes of such blocks that were read from the network."""
        self.committed: set[str] = set()

    def read(self, method: str, path: str, size: int, take: Take) -> bytes | None:
        """Take the body of a request, of one block by half only."""
        if not XORB.fullmatch(path):
            return super().read(method, path, size, take)
        if self.stall_after is not None and len(self.objects) >= self.stall_after:
            self.xorb_bytes += len(take(size // 2))
            self.stalled.set()
            self._released.wait()
            return None
        self.xorb_bytes += size
        return take(size)

    def _answer(self, request: Request) -> Answer:
        if "/xet-write-token/" in request.path:
            expiry = int(time.time()) + 3600
            return Answer(200, {"casUrl": self.url, "accessToken": "of-the-cas", "exp": expiry})
        if request.headers.get("authorization") != "Bearer of-the-cas":
            return super()._answer(request)
        if found := XORB.fullmatch(request.path):
            self.xorbs[found["hash"]] = list(_chunks(request.body))
            return Answer(200, {"was_inserted": True})
        if request.path == "/v1/shards":
            for content in self._files_of(request.body):
                self.objects[hashlib.sha256(content).hexdigest()] = content
            return Answer(200, {"result": 1})
        # No deduplication with files of others, and no newer way than these.
        return Answer(404, {})

    def _way_to_send(self, asked: dict[str, object]) -> dict[str, object]:
        return {**asked, "actions": {"upload": {"href": f"{self.url}/no-lfs-here"}}}

    def _files_of(self, shard: bytes) -> Iterator[bytes]:
        """The files that a shard describes, put together from their chunks."""
        entries = (shard[start : start + ENTRY_BYTES] for start in range(SHARD_HEADER_BYTES, len(shard), ENTRY_BYTES))
        while (head := next(entries))[:32] != b"\xff" * 32:
            flags, count = struct.unpack_from("<II", head, 32)
            segments = [next(entries) for _ in range(count)]
            for _ in range(count if flags & HAS_VERIFICATION else 0):
                next(entries)
            assert flags & HAS_SHA256, "a file without its sha256 cannot be committed"
            next(entries)
            yield b"".join(self._segment(each) for each in segments)

    def _segment(self, entry: bytes) -> bytes:
        # The hash is written as four numbers of 64 bits.
        name = "".join(f"{part:016x}" for part in struct.unpack_from("<4Q", entry))
        start, end = struct.unpack_from("<II", entry, 40)
        return b"".join(self.xorbs[name][start:end])


def _chunks(xorb: bytes) -> Iterator[bytes]:
    """The chunks of a block: each a header of 8 bytes (version, size, compression, size before it) and its bytes."""
    start = 0
    while start + 8 <= len(xorb) and xorb[start] == 0:
        size = int.from_bytes(xorb[start + 1 : start + 4], "little")
        assert xorb[start + 4] == 0, "random bytes are not compressed"
        yield xorb[start + 8 : start + 8 + size]
        start += 8 + size
