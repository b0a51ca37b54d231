"""The store at every kind of location: what is damaged is found and asked again, what is whole is never lost."""

import json
import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks_lib.errors import StoreError
from tasks_lib.images import read_image_cell
from tasks_lib.provenance import Record, sha256
from tasks_lib.store import ImageStore
from tests.paid_images import paid_image

HOUR = 3600
ODD_NAMES = ["plain", "with space", "größe ✓", "a#b", "a[1]b", "a*b", "50%20", "~tilde", "it's", "a?b", "a&b=c"]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """An S3-compatible server on loopback."""
    reason = "the store on S3 is not tested: install the dev dependencies moto[server] and s3fs"
    pytest.importorskip("s3fs", reason=reason)
    server = pytest.importorskip("moto.server", reason=reason).ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A new bucket; the environment alone says where it is."""
    settings_of_s3 = {"ENDPOINT_URL": s3_server, "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "REGION": "eu"}
    for name, value in settings_of_s3.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    bucket = tmp_path.name.replace("_", "-").lower()
    fsspec.filesystem("s3").mkdir(bucket)
    return f"s3://{bucket}"


@pytest.fixture(autouse=True)
def empty_memory() -> None:
    """What other tests left at memory:// is gone."""
    fsspec.filesystem("memory").store.clear()


@pytest.fixture(params=["local", "memory", "s3"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new store's location, of every kind."""
    if request.param == "s3":
        return f"{request.getfixturevalue('s3')}/store"
    return str(tmp_path / "store") if request.param == "local" else "memory://store"


def path_of(store: ImageStore, record: Record, suffix: str = "") -> str:
    """Where a record's image lies, or its record."""
    return store.url(f"{record.fingerprint}{suffix}" if suffix else record.file_name)


def read(path: str) -> bytes:
    with fsspec.open(path, "rb") as file:
        return bytes(file.read())


def write(path: str, data: bytes | str) -> None:
    files, plain = fsspec.core.url_to_fs(path)
    files.pipe_file(plain, data.encode() if isinstance(data, str) else data)


def remove(path: str) -> None:
    files, plain = fsspec.core.url_to_fs(path)
    files.rm_file(plain)


def swap(one: str, other: str) -> None:
    data = read(one), read(other)
    write(one, data[1])
    write(other, data[0])


def alter(path: str, **changes: Any) -> None:
    write(path, json.dumps({**json.loads(read(path)), **changes}))


Damage = Callable[[str, str, str, str], None]
"""Given the image and record of one generation, then those of another."""
DAMAGES: dict[str, Damage] = {
    "image cut short": lambda image, record, *_: write(image, read(image)[:-7]),
    "image empty": lambda image, record, *_: write(image, b""),
    "image with one other byte": lambda image, record, *_: write(image, b"\x00" + read(image)[1:]),
    "image gone": lambda image, record, *_: remove(image),
    "images swapped": lambda image, record, image2, record2: swap(image, image2),
    "record cut short": lambda image, record, *_: write(record, read(record)[:-7]),
    "record empty": lambda image, record, *_: write(record, b""),
    "record gone": lambda image, record, *_: remove(record),
    "records swapped": lambda image, record, image2, record2: swap(record, record2),
    "record is no object": lambda image, record, *_: write(record, "[1]"),
    "record is no text": lambda image, record, *_: write(record, b"\xff\xfe\x00\x01"),
    "record with another prompt": lambda image, record, *_: alter(record, request={"prompt": "another"}),
    "record with another digest": lambda image, record, *_: alter(record, sha256=sha256(b"")),
    "record with another format": lambda image, record, *_: alter(record, format="JPEG"),
    "record that points out of the store": lambda image, record, *_: alter(record, format="/../../x"),
}


def test_what_is_put_is_there(location: str) -> None:
    """A paid image and its record come back as they were, to another process as to this one."""
    record, data = paid_image(1)
    assert ImageStore(location).put(record, data) == record
    again: ImageStore = pickle.loads(pickle.dumps(ImageStore(location)))
    assert again.get(record.fingerprint) == record
    assert again.read([record.file_name, "no such.png"]) == [data, None]
    assert again.get_many(["0" * 64, record.fingerprint]) == {record.fingerprint: record}
    assert read(path_of(again, record)) == data


def test_new_store_is_empty(location: str) -> None:
    """A store that nobody has written to is empty and without faults."""
    store = ImageStore(location)
    assert store.get("0" * 64) is None
    assert (list(store.records()), store.verify(), store.prune([]), store.stats().images) == ([], {}, [], 0)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_and_asked_again(location: str, damage: str) -> None:
    """A damaged generation is unknown and named by verify; asked again, it is whole and no other has suffered."""
    store = ImageStore(location)
    images = [paid_image(number) for number in range(3)]
    for record, data in images:
        store.put(record, data)
    assert store.verify() == {}
    (hurt, _), (other, _), (untouched, _) = images
    paths = [path_of(store, each, suffix) for each in (hurt, other) for suffix in ("", ".json")]
    DAMAGES[damage](*paths)

    known = store.get_many([record.fingerprint for record, _ in images])
    assert hurt.fingerprint not in known
    assert (other.fingerprint in known) == ("swapped" not in damage)
    assert known[untouched.fingerprint] == untouched
    assert any(hurt.fingerprint in path for path in store.verify())
    assert all(untouched.fingerprint not in path for path in store.verify())

    for record, data in images:
        assert store.put(record, data) == record
    assert store.verify() == {}


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_record_is_made_of_anything_else(tmp_path: Path, text: bytes) -> None:
    """Whatever stands where a record was, the generation is unknown and nothing breaks."""
    store = ImageStore(tmp_path)
    record, data = paid_image(1)
    store.put(record, data)
    write(path_of(store, record, ".json"), text)
    assert store.get(record.fingerprint) is None
    assert (store.stats().images, len(store.verify())) == (0, 2)


def test_newer_record_is_an_error(location: str) -> None:
    """A record of a newer version is neither asked again nor overwritten; the error says what to do."""
    store = ImageStore(location)
    record, data = paid_image(1)
    store.put(record, data)
    store.put(*paid_image(2))
    alter(path_of(store, record, ".json"), schema=2)
    newer = read(path_of(store, record, ".json"))
    for attempt in (lambda: store.get(record.fingerprint), lambda: store.put(record, data)):
        with pytest.raises(StoreError, match="newer version: its schema 2 .* Update"):
            attempt()
    assert read(path_of(store, record, ".json")) == newer
    assert any("newer version" in fault for fault in store.verify().values())
    assert store.stats().images == 1


def test_first_writer_wins(location: str) -> None:
    """A whole generation is never replaced: who comes second gets the record of the first."""
    store = ImageStore(location)
    first, second = paid_image(1, pixels="red"), paid_image(1, pixels="blue")
    store.put(*first)
    assert store.put(*second) == first[0]
    assert store.read([first[0].file_name]) == [first[1]]


def test_put_says_when_the_record_does_not_fit(location: str) -> None:
    """What could never be read back is an error at once, not a surprise in the next run."""
    record, data = paid_image(1)
    with pytest.raises(StoreError, match="something else was read back"):
        ImageStore(location).put(replace(record, sha256=sha256(b"other")), data)


def test_stats_count_what_is_readable(tmp_path: Path) -> None:
    """Images, bytes and dollars add up over the readable records."""
    store = ImageStore(tmp_path)
    for number in range(40):
        store.put(*paid_image(number, size=100))
    write(path_of(store, paid_image(0)[0], ".json"), "{")
    stats = store.stats()
    assert (stats.images, stats.size, stats.cost_usd) == (39, 3900, 0.39)
    assert len(list(store.records())) == 39


def test_files_of_tasks_are_verified_by_their_name(location: str) -> None:
    """An image that a task made itself is sound by its digest, repaired when put again, and kept by its name."""
    store = ImageStore(location)
    reference = store.put_file(b"made", "png")
    assert (read_image_cell(reference), store.verify()) == (b"made", {})
    write(store.url(f"{sha256(b'made')}.png"), b"ma")
    assert list(store.verify().values()) == ["an image without a readable record"]
    assert store.put_file(b"made", "png") == reference
    assert store.verify() == {}
    assert store.prune([reference]) == store.prune([sha256(b"made")]) == []


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("kind", ["local", "memory"])
def test_references_need_nothing_but_themselves(kind: str, name: str, tmp_path: Path) -> None:
    """A reference opens without the store, whatever the folder is called."""
    check_reference(str(tmp_path / name) if kind == "local" else f"memory://{name}")


@pytest.mark.parametrize("name", [name for name in ODD_NAMES if "?" not in name])
def test_references_on_s3_need_only_the_environment(name: str, s3: str) -> None:
    """A reference to S3 opens without the store: the endpoint and the keys come from the environment."""
    check_reference(f"{s3}/{name}")


def check_reference(location: str) -> None:
    record, data = paid_image(1)
    store = ImageStore(location)
    store.put(record, data)
    assert store.get(record.fingerprint) == record
    assert read_image_cell(store.reference(record.file_name)) == data
    assert store.verify() == {}
    assert len(store.prune([], dry_run=False)) == 2


@pytest.mark.parametrize("location", ["memory://", "memory:///", "memory://a/", "memory://a/b//"])
def test_slash_at_the_end_is_nothing(location: str) -> None:
    """A location's last slash changes neither references nor what prune finds."""
    check_reference(location)


def test_relative_store_travels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store by relative path is the same folder to a worker with another current folder."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    store, (record, data) = ImageStore("./store"), paid_image(1)
    store.put(record, data)
    sent = pickle.dumps(store)
    monkeypatch.chdir("elsewhere")
    assert pickle.loads(sent).get(record.fingerprint) == store.get(record.fingerprint) == record


@given(kept=st.sets(st.integers(0, 5)), by_name=st.booleans(), dry_run=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_prune_removes_all_but_what_is_kept(tmp_path: Path, kept: set[int], by_name: bool, dry_run: bool) -> None:
    """What is kept by fingerprint or file name stays whole; the rest goes, unless it is a dry run."""
    store, records = ImageStore(tmp_path), [paid_image(number) for number in range(6)]
    for record, data in records:
        store.put(record, data)
    keep = [records[number][0].file_name if by_name else records[number][0].fingerprint for number in kept]
    gone = store.prune(keep, dry_run=dry_run)
    assert len(gone) == 2 * (6 - len(kept))
    left = {number for number, (record, _) in enumerate(records) if store.get(record.fingerprint)}
    assert left == (set(range(6)) if dry_run else kept)
    assert store.verify() == {}


def test_prune_leaves_what_is_no_file_of_a_store(location: str) -> None:
    """A folder named by mistake loses nothing, and verify says what does not belong."""
    store = ImageStore(location)
    store.put(*paid_image(1))
    strangers = ["README.md", "thesis/chapter.tex", "ab/notes.json", f"ab/{'cd' * 32}.png", f"ab/{'AB' * 32}.png"]
    for stranger in strangers:
        if "://" not in location:
            Path(location, stranger).parent.mkdir(parents=True, exist_ok=True)
        write(f"{location}/{stranger}", "precious")
    assert store.verify() == dict.fromkeys(sorted(strangers), "not a file of a store")
    assert len(store.prune([], dry_run=False)) == 2
    assert [read(f"{location}/{stranger}") for stranger in strangers] == [b"precious"] * len(strangers)


def test_left_behind_files_are_told_from_those_being_written(tmp_path: Path) -> None:
    """A temporary file is left to its writer for an hour; then verify names it and prune removes it."""
    store, (record, data) = ImageStore(tmp_path), paid_image(1)
    store.put(record, data)
    temporary = Path(f"{path_of(store, record)}.writing-0123abcd")
    temporary.write_bytes(data[:100])
    assert (store.verify(), store.prune([record.fingerprint], dry_run=False)) == ({}, [])
    os.utime(temporary, times=(temporary.stat().st_mtime - HOUR - 1,) * 2)
    assert list(store.verify().values()) == ["left behind by a writer that was killed"]
    assert len(store.prune([record.fingerprint], dry_run=False)) == 1
    assert (store.verify(), store.get(record.fingerprint)) == ({}, record)


def test_check_leaves_nothing(location: str) -> None:
    """Finding out whether the store can be written leaves no trace."""
    store = ImageStore(location)
    store.check_writable()
    assert (store.verify(), store.prune([])) == ({}, [])


def test_a_file_is_no_store(tmp_path: Path) -> None:
    """A store that is a file is one clear error, not a store where nothing is known."""
    (tmp_path / "store").write_text("")
    store = ImageStore(tmp_path / "store")
    for attempt in (lambda: store.get("0" * 64), lambda: store.put(*paid_image(1)), store.check_writable):
        with pytest.raises(StoreError, match="Not a directory"):
            attempt()


@pytest.mark.parametrize("location", ["nosuch://bucket/store", "a::b", "a::b/c"])
def test_unknown_kind_of_location(location: str) -> None:
    """A location that nothing can open is one clear error that names it."""
    with pytest.raises(StoreError, match=location):
        ImageStore(location)
