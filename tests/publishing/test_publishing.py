"""Publishing through the real library: what arrives, what is sent again, what is left alone."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks_lib.errors import PublishError
from tasks_lib.publishing.report import PublishProgress
from tests.hub_contents import Entry
from tests.hub_repository import TOKEN, HubRepository
from tests.hub_wire import Answer, Fault
from tests.publishing.folders import NAME, built, commits, edit_card, files_of, held_by, publish

# The library sends files by a name of the parameter that its own client has given up.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


READ = """
import sys
from datasets import load_dataset
for streaming in (False, True):
    for row in load_dataset("me/shapes", streaming=streaming)["train"]:
        print(row["prompt"], row["image"].size, row["image"].convert("RGB").tobytes().hex())
"""


def test_every_file_arrives_in_one_commit(hub: HubRepository, dataset: Path) -> None:
    """The repository is private, holds the folder byte for byte after one commit, and the report says so."""
    told: list[PublishProgress] = []
    report = publish(hub, dataset, on_progress=told.append)
    here = files_of(dataset)
    assert held_by(hub) == here
    assert (commits(hub), hub.repositories[NAME].private) == (1, True)
    assert (report.files, report.bytes) == (len(here), sum(map(len, here.values())))
    assert (report.uploaded, report.skipped, report.removed) == (len(here), 0, 0)
    assert report.commit == hub.repositories[NAME].branches["main"]
    assert report.url == f"{hub.url}/datasets/{NAME}"
    assert report.headline.startswith(f"published {len(here)} files, ")
    assert [stage for stage, _ in itertools.groupby(each.stage for each in told)] == [
        "reading",
        "sending",
        "committing",
    ]
    assert all(each.done_bytes <= each.total_bytes for each in told)


def test_load_dataset_reads_it_back(hub: HubRepository, dataset: Path, tmp_path: Path) -> None:
    """``load_dataset(repo_id)`` in a fresh process, streaming too, gives every image pixel for pixel."""
    from datasets import load_dataset

    publish(hub, dataset)
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", READ],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment, "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
    )
    assert done.returncode == 0, done.stderr
    rows = load_dataset(str(dataset), cache_dir=str(tmp_path / "cache"))["train"]
    expected = [f"{row['prompt']} {row['image'].size} {row['image'].convert('RGB').tobytes().hex()}" for row in rows]
    assert len(expected) > 1
    assert done.stdout.splitlines() == expected * 2


def test_an_unchanged_dataset_gives_no_commit(hub: HubRepository, dataset: Path) -> None:
    """Published again, nothing is sent and nothing committed, and the report says that all of it was there."""
    first = publish(hub, dataset)
    received = hub.received.total()
    again = publish(hub, dataset)
    assert (commits(hub), hub.received.total()) == (1, received)
    assert (again.uploaded, again.skipped, again.commit) == (0, first.files, first.commit)
    assert again.headline.startswith("nothing to publish")


def test_a_changed_dataset_replaces_its_files_and_leaves_those_of_others(hub: HubRepository, tmp_path: Path) -> None:
    """A rebuilt dataset goes up in one commit that drops its stale shards; what somebody else wrote stays."""
    publish(hub, built(tmp_path))
    repository = hub.repositories[NAME]
    theirs = {"notes.md": Entry(b"mine"), "data/extra-00000-of-00001.parquet": Entry(b"mine too", lfs=True)}
    repository.record("main", {**repository.files, **theirs})
    dataset = built(tmp_path, splits={"train": 1.0})
    report = publish(hub, dataset)
    assert held_by(hub) == {**files_of(dataset), **{path: entry.content for path, entry in theirs.items()}}
    assert (len(repository.commits), report.removed) == (4, 2)
    # No longer in the dataset, but no longer what was published either: somebody has taken it over.
    repository.record("main", {**repository.files, "gallery.html": Entry(b"theirs now")})
    (dataset / "gallery.html").unlink()
    assert publish(hub, dataset).removed == 0
    assert held_by(hub)["gallery.html"] == b"theirs now"


def test_what_somebody_else_wrote_is_replaced_on_demand_only(hub: HubRepository, dataset: Path) -> None:
    """A card that was edited on the Hub stops the publication before anything is sent, until ``overwrite`` is given."""
    publish(hub, dataset)
    repository = hub.repositories[NAME]
    repository.record("main", {**repository.files, "README.md": Entry(b"# my own words")})
    writes = len(hub.writes)
    edit_card(dataset, "# a new card")
    with pytest.raises(PublishError, match=r"1 file of the same name.*README\.md.*--overwrite"):
        publish(hub, dataset)
    assert held_by(hub)["README.md"] == b"# my own words"
    assert [request.path for request in hub.writes[writes:]] == ["/api/repos/create"]
    publish(hub, dataset, overwrite=True)
    assert held_by(hub)["README.md"].endswith(b"# a new card\n")


@pytest.mark.parametrize("part_bytes", [None, 4096], ids=["whole", "in parts"])
def test_killed_it_goes_on_and_sends_no_shard_twice(part_bytes: int | None, built_once: Path, tmp_path: Path) -> None:
    """Killed -9 in the middle of a shard, nothing is visible; the next run sends the rest, each shard once."""
    code = "import sys; from tasks_lib.publishing import publish_folder; publish_folder(sys.argv[1], 'me/shapes')"
    with HubRepository(part_bytes=part_bytes) as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
        command = [sys.executable, "-c", code, str(built_once)]
        hub.stall_after = 2
        with subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.DEVNULL) as publishing:
            assert hub.stalled.wait(60)
            publishing.kill()
        whole = dict(hub.objects)
        assert len(whole) >= 2
        assert held_by(hub) == {}
        hub.release()
        subprocess.run(command, check=True, timeout=60, capture_output=True, env={**os.environ, **environment})
        assert held_by(hub) == files_of(built_once)
        assert {oid: hub.received[oid] for oid in whole} == {oid: len(content) for oid, content in whole.items()}


def test_what_a_killed_run_sent_is_counted_as_there(hub: HubRepository, dataset: Path) -> None:
    """Shards that arrived before a publication was cut off are reported as already there."""
    hub.faults = [Fault(r"POST .*/commit/.*", Answer(403, {"error": "no"}))]
    with pytest.raises(PublishError, match="403"):
        publish(hub, dataset)
    shards = len(list(dataset.rglob("*.parquet")))
    assert publish(hub, dataset).skipped == shards >= 4


def test_a_dry_run_sends_nothing(hub: HubRepository, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run needs no token, changes nothing, and counts what a publication would do."""
    monkeypatch.delenv("HF_TOKEN")
    count = len(files_of(dataset))
    report = publish(hub, dataset, dry_run=True)
    assert (hub.writes, hub.repositories) == ([], {})
    assert (report.uploaded, report.skipped, report.commit, report.changed) == (count, 0, None, True)
    publish(hub, dataset, token=TOKEN, private=False)
    writes = len(hub.writes)
    edit_card(dataset, "# changed")
    (dataset / "gallery.html").unlink()
    report = publish(hub, dataset, dry_run=True)
    assert (report.uploaded, report.skipped, report.removed) == (1, count - 2, 1)
    assert "1 to send, " in report.headline and "1 to remove" in report.headline
    assert len(hub.writes) == writes


def test_a_public_repository_takes_no_private_dataset(hub: HubRepository, dataset: Path) -> None:
    """Where a public repository has that name, a private publication stops before anything is sent."""
    publish(hub, dataset, private=False)
    edit_card(dataset, "# a secret")
    with pytest.raises(PublishError, match=r"public repository.*--public"):
        publish(hub, dataset, private=True)
    assert commits(hub) == 1


def test_a_branch_is_made(hub: HubRepository, dataset: Path) -> None:
    """With a revision, that branch gets the dataset, and main stays as it is."""
    publish(hub, dataset, revision="try/1")
    assert held_by(hub) == {}
    assert set(hub.repositories[NAME].at("try/1")[1]) >= set(files_of(dataset))
