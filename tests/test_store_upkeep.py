"""Damage is found and asked again, and pruning takes nothing that is needed."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks_lib.errors import StoreError
from tasks_lib.images import read_image_cell
from tasks_lib.provenance import sha256
from tasks_lib.store import ImageStore
from tests.paid_images import paid_image
from tests.store_files import path_of, read, remove, write

pytest_plugins = ["tests.store_locations"]

HOUR = 3600


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
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
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
        with pytest.raises(StoreError, match=r"newer version: its schema 2 .* Update"):
            attempt()
    assert read(path_of(store, record, ".json")) == newer
    assert any("newer version" in fault for fault in store.verify().values())
    assert store.stats().images == 1


def test_put_says_when_the_record_does_not_fit(tmp_path: Path) -> None:
    """What could never be read back is an error at once, not a surprise in the next run."""
    record, data = paid_image(1)
    with pytest.raises(StoreError, match=r"is not kept .* bytes are not the .* that came"):
        ImageStore(tmp_path).put(replace(record, sha256=sha256(b"other")), data)
    assert list(tmp_path.iterdir()) == []


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


@given(kept=st.sets(st.integers(0, 5)), by_name=st.booleans(), dry_run=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
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


def test_files_are_replaced_and_never_written_into(tmp_path: Path) -> None:
    """Who has a file open goes on reading what was whole when it was opened."""
    store, (record, data) = ImageStore(tmp_path), paid_image(1)
    store.put(record, data)
    image = Path(store.url(record.file_name))
    with image.open("rb") as opened:
        image.with_suffix(".json").unlink()
        store.put(*paid_image(1, pixels="blue"))
        assert opened.read() == data
