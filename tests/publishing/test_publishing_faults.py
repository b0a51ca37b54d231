"""Publications that meet a fault: what is tried again, and what is told in one sentence."""

import tempfile
from pathlib import Path
from typing import Any

import pytest

from tasks_lib import ImageStore
from tasks_lib.build import Build
from tasks_lib.errors import ImageloomError, MissingSecretError, OutputError, PublishError, UsageError
from tasks_lib.publishing import check_token, publish_folder
from tasks_lib.recipe import load_recipe
from tests.distisets import made_by_hand
from tests.hub_contents import Entry
from tests.hub_repository import TOKEN, HubRepository
from tests.hub_wire import Answer, Fault
from tests.publishing.folders import NAME, built, commits, edit_card, files_of, held_by, publish
from tests.recipes import drawn_by

# The library sends files by a name of the parameter that its own client has given up.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

SOON = {"Retry-After": "0"}
FAILURES: list[tuple[int, str]] = [
    (400, "Look at what it says"),
    (401, "The token was rejected"),
    (402, "no room left"),
    (403, "may not write there"),
    (404, "There is no such repository"),
    (413, "no room left"),
    (507, "no room left"),
]


@pytest.mark.parametrize("status", [408, 409, 412, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("late", [False, True], ids=["before", "after it took effect"])
def test_a_commit_that_fails_is_tried_again(hub: HubRepository, dataset: Path, status: int, late: bool) -> None:
    """Each passing fault of the commit is tried again, and a commit whose answer got lost is not made twice."""
    fault = Fault(r"POST .*/commit/.*", Answer(status, {"error": "later"}, SOON), late=late)
    hub.faults = [fault]
    report = publish(hub, dataset)
    assert fault.times == 0
    assert (held_by(hub), commits(hub)) == (files_of(dataset), 1)
    assert report.commit == hub.repositories[NAME].branches["main"]
    assert hub.received == {oid: len(content) for oid, content in hub.objects.items()}


@pytest.mark.parametrize("path", ["/api/repos/create", "/api/validate-yaml", r"/api/datasets/me/shapes(/.*)?"])
def test_every_step_is_tried_again(hub: HubRepository, dataset: Path, path: str) -> None:
    """A 503, of whatever body, at any step is no reason to fail."""
    publish(hub, dataset)
    edit_card(dataset, "# changed")
    hub.faults = [Fault(rf"(GET|POST) {path}", Answer(503, b"<html>busy</html>", SOON))]
    publish(hub, dataset)
    assert hub.faults[0].times == 0
    assert held_by(hub) == files_of(dataset)


def commit_in_between(hub: HubRepository, path: str) -> None:
    """Somebody else commits a file just before the publication does."""

    def commit_first(request: Any) -> None:
        if "/commit/" in request.path:
            hub.before = lambda request: None
            repository = hub.repositories[NAME]
            repository.record("main", {**repository.files, path: Entry(b"mine")})

    hub.before = commit_first


def test_somebody_elses_commit_in_between_is_kept(hub: HubRepository, dataset: Path) -> None:
    """When somebody commits while files are sent, both are there in the end, and no shard is sent again."""
    commit_in_between(hub, "notes.md")
    publish(hub, dataset)
    assert held_by(hub) == {**files_of(dataset), "notes.md": b"mine"}
    assert hub.received == {oid: len(content) for oid, content in hub.objects.items()}


def test_somebody_elses_words_in_between_are_kept(hub: HubRepository, dataset: Path) -> None:
    """When somebody writes a card while files are sent, it is not written over."""
    commit_in_between(hub, "README.md")
    with pytest.raises(PublishError, match=r"1 file of the same name.*README\.md"):
        publish(hub, dataset)
    assert held_by(hub) == {"README.md": b"mine"}


def test_a_folder_that_changes_meanwhile_is_not_published(hub: HubRepository, dataset: Path) -> None:
    """When a build replaces the folder while it is sent, nothing becomes visible."""

    def rebuild(request: Any) -> None:
        if request.method == "PUT":
            (dataset / "recipe.yaml").write_text("name: another")

    hub.before = rebuild
    with pytest.raises(PublishError, match=r"recipe\.yaml changed while"):
        publish(hub, dataset)
    assert held_by(hub) == {}


@pytest.mark.parametrize(("status", "hint"), FAILURES)
@pytest.mark.parametrize("step", [r"POST /api/repos/create", r"PUT /lfs/.*", r"POST .*/commit/.*"])
def test_what_cannot_work_is_one_sentence(hub: HubRepository, dataset: Path, step: str, status: int, hint: str) -> None:
    """Each final answer ends with what the Hub said, what to do and how to go on, and the token is not in it."""
    hub.faults = [Fault(step, Answer(status, {"error": f"no entry with {TOKEN}"}), times=9)]
    with pytest.raises(PublishError) as caught:
        publish(hub, dataset, way_on="Go on by hand.")
    said = str(caught.value)
    assert f"the Hub answered {status}: no entry with [redacted]" in said
    assert hint in said
    assert said.endswith(". Go on by hand.")
    assert "\n" not in said
    error: BaseException | None = caught.value
    while error:
        assert TOKEN not in str(error)
        error = error.__cause__ or error.__context__


def test_a_folder_that_goes_away_is_not_named(hub: HubRepository, tmp_path: Path) -> None:
    """When the Hub takes no Distiset made by hand, the error does not say that its temporary folder stays."""
    hub.faults = [Fault(r"POST .*/commit/.*", Answer(507, {"error": "full"}))]
    with pytest.raises(PublishError, match=r"full\. The account has no room left") as caught:
        made_by_hand(ImageStore(tmp_path / "store")).push_to_hub(NAME, endpoint=hub.url)
    assert tempfile.gettempdir() not in str(caught.value)
    assert "stays" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("shapes", UsageError, "with its owner, such as me/shapes"),
        ("me/a b", UsageError, "'me/a b' is no name of a repository"),
        ("a/b/c", UsageError, "'a/b/c' is no name of a repository"),
        ("you/shapes", PublishError, "rights to create a dataset"),
    ],
)
def test_a_name_that_cannot_be(
    hub: HubRepository, dataset: Path, name: str, kind: type[ImageloomError], sentence: str
) -> None:
    """A name without an owner, or that is none, is refused before the Hub is asked; that of others by the Hub."""
    with pytest.raises(kind, match=sentence):
        publish_folder(dataset, name, endpoint=hub.url)
    assert bool(hub.requests) == (kind is PublishError)


def test_a_missing_token_is_told_before_anything_is_read(
    hub: HubRepository, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a token nothing is asked, and the message says where it comes from."""
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(MissingSecretError, match=r"HF_TOKEN.*hf auth login"):
        publish(hub, dataset)
    assert not hub.requests


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("README.md", None, r"it has no README\.md"),
        ("README.md", "# a program", "names no data"),
        ("README.md", "---\nconfigs: [\n---\n", "cannot be read"),
        ("README.md", "---\nconfigs: [7]\n---\n", "cannot be read"),
        ("recipe.yaml", None, r"it has ledger\.parquet only"),
        ("ledger.parquet", None, r"it has recipe\.yaml only"),
        ("data/test-00000-of-00001.parquet", None, r"there is no file data/test-\*"),
    ],
)
def test_a_folder_that_is_no_dataset_is_refused(
    hub: HubRepository, dataset: Path, name: str, content: str | None, sentence: str
) -> None:
    """A folder that would not load, or lacks a part of a build, is no finished dataset, and nothing is asked."""
    if content is None:
        (dataset / name).unlink()
    else:
        (dataset / name).write_text(content)
    with pytest.raises(OutputError, match=f"is not a finished dataset built by imageloom: .*{sentence}"):
        publish(hub, dataset)
    assert not hub.requests


def test_a_folder_at_which_a_build_is_at_work_is_refused(hub: HubRepository, tmp_path: Path) -> None:
    """While a build is under way for the folder, and for its unfinished folder, publishing is refused."""
    dataset = built(tmp_path)
    recipe = {**drawn_by({"type": "procedural"}, ["a"]), "store": str(tmp_path / "s"), "output": {"path": str(dataset)}}
    build = Build(load_recipe(recipe))
    try:
        with pytest.raises(OutputError, match="a build is at work"):
            publish(hub, dataset)
    finally:
        build.close()
    assert publish(hub, dataset).changed


@pytest.mark.parametrize(("role", "name", "sentence"), [("read", NAME, "only read"), ("write", "you/x", "not in you")])
def test_a_token_is_checked_before_a_build(role: str, name: str, sentence: str, hub: HubRepository) -> None:
    """A token that may only read, or belongs to somebody else, is found out by a question that changes nothing."""
    hub.role = role
    with pytest.raises(PublishError, match=sentence):
        check_token(name, endpoint=hub.url)
    hub.role = "write"
    for good in (NAME, "our-lab/shapes"):
        check_token(good, endpoint=hub.url)
    with pytest.raises(PublishError, match=r"401.*The token was rejected") as caught:
        check_token(NAME, token="hf_another", endpoint=hub.url)
    assert "hf_another" not in str(caught.value)
    assert not hub.writes
