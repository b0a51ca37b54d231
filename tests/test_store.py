"""The store at every kind of location: what is put is there, and a reference finds it."""

import pickle
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from tasks_lib.errors import StoreError
from tasks_lib.images import read_image_cell
from tasks_lib.store import ImageStore
from tests.paid_images import paid_image
from tests.store_files import path_of, read, write

pytest_plugins = ["tests.store_locations"]

ODD_NAMES = ["plain", "with space", "größe ✓", "a#b", "a[1]b", "a*b", "50%20", "~tilde", "it's", "a?b", "a&b=c"]


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


def test_first_writer_wins(location: str) -> None:
    """A whole generation is never replaced: who comes second gets the record of the first."""
    store = ImageStore(location)
    first, second = paid_image(1, pixels="red"), paid_image(1, pixels="blue")
    store.put(*first)
    assert store.put(*second) == first[0]
    assert store.read([first[0].file_name]) == [first[1]]


def test_stats_count_what_is_readable(tmp_path: Path) -> None:
    """Images, bytes and dollars add up over the readable records."""
    store = ImageStore(tmp_path)
    for number in range(40):
        store.put(*paid_image(number, size=100))
    write(path_of(store, paid_image(0)[0], ".json"), "{")
    stats = store.stats()
    assert (stats.images, stats.size, stats.cost_usd) == (39, 3900, 0.39)
    assert len(list(store.records())) == 39


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("kind", ["local", "memory"])
def test_references_need_nothing_but_themselves(kind: str, name: str, tmp_path: Path) -> None:
    """A reference opens without the store, whatever the folder is called."""
    check_reference(str(tmp_path / name) if kind == "local" else f"memory://{tmp_path.name}/{name}")


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
    fsspec.filesystem("memory").store.clear()
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


FORKING_READER = """
import os, sys
from tasks_lib.store import ImageStore
store = ImageStore(sys.argv[1])
known = [store.get(sys.argv[2]) is not None]
child = os.fork()
known.append(store.get(sys.argv[2]) is not None)
if child == 0:
    os._exit(0 if all(known) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or not all(known))
"""


def test_s3_in_a_forked_process(s3: str) -> None:
    """A store on S3 that was used before a fork works after it, in the child as in the parent."""
    record, data = paid_image(1)
    ImageStore(s3).put(record, data)
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", FORKING_READER, s3, record.fingerprint]
    subprocess.run(command, check=True, timeout=60, cwd=root)


def test_s3_is_listed_anew(s3: str) -> None:
    """What another process wrote since the last look is counted."""
    store = ImageStore(s3)
    store.put(*paid_image(1))
    assert store.stats().images == 1
    record, data = paid_image(2)
    another = fsspec.filesystem("s3", skip_instance_cache=True)
    another.pipe_file(path_of(store, record), data)
    another.pipe_file(path_of(store, record, ".json"), record.to_json().encode())
    assert (store.stats().images, store.verify()) == (2, {})
