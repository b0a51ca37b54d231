"""The store in trouble: killed, raced, full, read-only, unreachable or forbidden."""

import errno
import multiprocessing
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import fsspec
import httpx2
import pytest

from tasks_lib.errors import StoreError
from tasks_lib.provenance import Record, sha256
from tasks_lib.store import ImageStore
from tests.loopback import Asked, LoopbackServer, Reply
from tests.paid_images import paid_image

pytest_plugins = ["tests.small_disk", "tests.store_locations"]

IMAGES = 150
LARGE = 200_000
HOUR = 3600


def write_all(folder: str, pixels: str, count: int = IMAGES) -> dict[str, str]:
    """Put so many images, as a model without seeds would have painted it; gives the digests of those that are kept."""
    store = ImageStore(folder)
    images = [paid_image(number, LARGE, pixels) for number in range(count)]
    return {record.fingerprint: record.sha256 for record, data in images if store.put(record, data) == record}


def read_all(folder: str) -> int:
    """Read until every image is there; gives how often something other than a whole image was read."""
    store = ImageStore(folder)
    whole = {sha256(paid_image(number, LARGE, each)[1]) for number in range(IMAGES) for each in ("red", "blue")}
    keys = [paid_image(number)[0].fingerprint for number in range(IMAGES)]
    wrong = 0
    records: dict[str, Record] = {}
    while len(records) < IMAGES:
        records = store.get_many(keys)
        images = store.read([record.file_name for record in records.values()])
        wrong += sum(data is None or sha256(data) not in whole for data in images)
    return wrong


def test_writers_and_readers_at_once(tmp_path: Path) -> None:
    """Of two writers of a fingerprint one is told that its image is kept; who reads meanwhile never sees a part."""
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        readers = [pool.submit(read_all, str(tmp_path)) for _ in range(2)]
        writers = [pool.submit(write_all, str(tmp_path), pixels) for pixels in ("red", "blue")]
        assert [reader.result(timeout=120) for reader in readers] == [0, 0]
        red, blue = (writer.result(timeout=120) for writer in writers)
    store = ImageStore(tmp_path)
    assert not red.keys() & blue.keys()
    assert red | blue == {record.fingerprint: record.sha256 for record in store.records()}
    assert store.verify() == {}
    assert store.stats().images == IMAGES
    assert len(list(tmp_path.rglob("*.*"))) == 2 * IMAGES


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where files cannot be linked, images are kept all the same, and the first of two stays."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    # No such file system (FAT, some network drives) can be mounted here.
    monkeypatch.setattr(os, "link", refuse)
    store = ImageStore(tmp_path)
    first, second = (paid_image(1, LARGE, colour) for colour in ("red", "blue"))
    assert [store.put(*each) for each in (first, second, paid_image(2))] == [first[0], first[0], paid_image(2)[0]]
    assert store.verify() == {}
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 4


def test_two_processes_write_to_s3(s3: str) -> None:
    """On S3, too, exactly one of two writers of a fingerprint is told that its image is kept, and it is."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        writers = [pool.submit(write_all, s3, pixels, 40) for pixels in ("red", "blue")]
        red, blue = (writer.result(timeout=120) for writer in writers)
    store = ImageStore(s3)
    assert not red.keys() & blue.keys()
    assert red | blue == {record.fingerprint: record.sha256 for record in store.records()}
    assert store.verify() == {}


@contextmanager
def passage(server: str, dropped: str) -> Iterator[list[str]]:
    """A server that hands everything to another but one header; gives the method of each request."""
    methods: list[str] = []

    def hand_over(asked: Asked) -> Reply:
        methods.append(asked.method)
        headers = {name: value for name, value in asked.headers.items() if name not in {dropped, "expect"}}
        answer = httpx2.request(asked.method, server + asked.path, headers=headers, content=asked.body)
        told = {name: value for name, value in answer.headers.items() if name in {"content-type", "etag"}}
        return Reply(answer.content, answer.status_code, told)

    with LoopbackServer(hand_over) as through, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", through.url)
        fsspec.filesystem("s3").clear_instance_cache()
        yield methods


def test_a_new_image_takes_two_requests(s3: str, s3_server: str) -> None:
    """Where the server knows conditions, an image and its record are written in one request each."""
    with passage(s3_server, dropped="x-nothing") as methods:
        store = ImageStore(s3)
        store.put(*paid_image(1))
        methods.clear()
        store.put(*paid_image(2))
        assert methods == ["PUT", "PUT"]
        assert (store.verify(), store.stats().images) == ({}, 2)


def test_an_s3_server_without_conditions(s3: str, s3_server: str) -> None:
    """A server that overwrites in silence is found out: the first of two images stays, and nothing is left over."""
    with passage(s3_server, dropped="if-none-match"):
        store = ImageStore(s3)
        first, second = (paid_image(1, LARGE, colour) for colour in ("red", "blue"))
        assert [store.put(*each) for each in (first, second, paid_image(2))] == [first[0], first[0], paid_image(2)[0]]
        assert store.verify() == {}


def test_threads_share_a_store(tmp_path: Path) -> None:
    """Threads that write the same fingerprint through one store leave one whole generation."""
    store = ImageStore(tmp_path)
    images = [paid_image(1, LARGE, f"colour {number}") for number in range(16)]
    threads = [threading.Thread(target=store.put, args=each) for each in images]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.verify() == {}
    kept = store.get(images[0][0].fingerprint)
    assert kept in [record for record, _ in images]


ENDLESS_WRITER = """
import sys
from tasks_lib.store import ImageStore
from tests.paid_images import paid_image
store = ImageStore(sys.argv[1])
for number in range(int(sys.argv[2]), 10**9):
    record, data = paid_image(number, 200_000)
    store.put(record, data)
    print(record.fingerprint, flush=True)
"""


def killed_writer(folder: Path, start: int, lines: int) -> list[str]:
    """Start a writer, kill it after so many images, and give the fingerprints that it said were kept."""
    root = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", ENDLESS_WRITER, str(folder), str(start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline() for _ in range(lines)]
        writer.kill()
        told += writer.stdout.readlines()
    return [line.strip() for line in told if line.endswith("\n")]


def test_killed_writers(tmp_path: Path) -> None:
    """However often a writer is killed, what it said it kept is whole, and nothing half is taken for whole."""
    chance = random.Random(7)
    told = [key for n in range(8) for key in killed_writer(tmp_path, n * 10**6, chance.randint(1, 20))]
    store = ImageStore(tmp_path)
    found = {record.fingerprint: record for record in store.records()}
    assert store.get_many(found) == found
    assert set(told) <= set(found)
    for leftover in tmp_path.rglob("*.writing-*"):
        os.utime(leftover, times=(leftover.stat().st_mtime - HOUR - 1,) * 2)
    faults = store.verify()
    assert set(faults.values()) <= {"left behind by a writer that was killed", "an image without a readable record"}
    assert sorted(store.prune(found, dry_run=False)) == sorted(faults)
    assert store.verify() == {}
    assert store.get_many(found) == found


def test_full_disk(small_disk: Path) -> None:
    """A full disk is one clear error; all that was kept stays whole, and with room again the run goes on."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(900_000))
    store = ImageStore(small_disk / "store")
    store.check_writable()
    images = [paid_image(number, 100_000) for number in range(10)]
    kept: list[Record] = []
    with pytest.raises(StoreError, match=r"store at .*disk/store cannot be written: .*No space left.*not asked again"):
        kept.extend(store.put(record, data) for record, data in images)
    assert 5 <= len(kept) < 10
    (small_disk / "filler").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    with pytest.raises(StoreError, match="No space left"):
        store.check_writable()
    assert not list(small_disk.rglob("*.writing-*"))
    assert list(store.get_many(record.fingerprint for record, _ in images).values()) == kept
    (small_disk / "filler").unlink()
    ballast.unlink()
    assert [store.put(record, data) for record, data in images] == [record for record, _ in images]
    assert store.verify() == {}


def test_read_only_disk(small_disk: Path) -> None:
    """A read-only store serves what it has and says, before anything is paid, that it can keep no more."""
    store = ImageStore(small_disk / "store")
    (record, data), (new, new_data) = paid_image(1), paid_image(2)
    store.put(record, data)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert (store.get(record.fingerprint), store.put(record, data)) == (record, record)
    assert (store.get(new.fingerprint), store.verify()) == (None, {})
    for attempt in (
        store.check_writable,
        lambda: store.put(new, new_data),
        lambda: store.put_file(b"x", "png"),
        lambda: store.prune([], dry_run=False),
    ):
        with pytest.raises(StoreError, match=r"store at .*disk/store cannot be .*Read-only file system"):
            attempt()


def test_unreadable_is_not_unknown(tmp_path: Path) -> None:
    """A file that is there but cannot be read is an error: taken for unknown, it would be paid twice."""
    store, (record, data) = ImageStore(tmp_path), paid_image(1)
    store.put(record, data)
    path = Path(store.url(f"{record.fingerprint}.json"))
    path.unlink()
    path.symlink_to(path)  # an error for every user; permission bits mean nothing to root
    with pytest.raises(StoreError, match=r"cannot be read: .*symbolic links"):
        store.get(record.fingerprint)


def forbid(asked: Asked) -> Reply:
    """As an S3 server that knows us but lets us do nothing."""
    told = b"<Error><Code>AccessDenied</Code><Message>no permission for this</Message></Error>"
    return Reply(told, 403, {"Connection": "close"})


@pytest.fixture
def s3_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keys for S3, and no patience."""
    s3fs = pytest.importorskip("s3fs", reason="the store on S3 is not tested: install the dev dependency s3fs")
    for name, value in {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    yield
    s3fs.S3FileSystem.clear_instance_cache()  # they have the endpoint that they were made with


def check_every_way_fails(store: ImageStore) -> None:
    for attempt in (
        lambda: store.get("0" * 64),
        lambda: store.put(*paid_image(1)),
        store.check_writable,
        store.verify,
        store.stats,
        lambda: store.prune([]),
    ):
        with pytest.raises(StoreError, match="s3://bucket/store cannot be"):
            attempt()


def test_forbidden_is_not_unknown(s3_settings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket that we may not read is an error everywhere: neither unknown images nor an empty store."""
    with LoopbackServer(forbid) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        check_every_way_fails(ImageStore("s3://bucket/store"))


def test_unreachable_is_not_unknown(s3_settings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is not there is an error, of whatever kind the driver raises."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(StoreError, match="s3://bucket/store cannot be read"):
            ImageStore("s3://bucket/store").get("0" * 64)
