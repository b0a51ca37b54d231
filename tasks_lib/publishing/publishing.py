"""Publishing: a finished dataset folder becomes a repository on the Hub, in one commit, resumable at any moment."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id

from tasks_lib.errors import MissingSecretError, PublishError, UsageError
from tasks_lib.publishing.dataset_files import DatasetFile, check_finished, check_unchanged, files_of
from tasks_lib.publishing.hub_dataset import MANIFEST, HubDataset, RepositoryState, already_sent
from tasks_lib.publishing.hub_faults import HubFaults
from tasks_lib.publishing.report import PublishProgress, PublishReport
from tasks_lib.report import count_of

__all__ = ["PublishProgress", "PublishReport", "check_token", "publish_folder"]

BYTES_A_GROUP = 16 * 1024 * 1024
"""Small files are sent in groups of this size, larger ones one by one: with Xet, a kill loses what is under way."""


def check_token(repo_id: str, *, token: str | None = None, endpoint: str | None = None) -> None:
    """Whether a later publication will be let in, as far as a question can tell; sends nothing.

    Args:
        repo_id: such as ``me/shapes``.
        token: that of the environment or the login by default.
        endpoint: where the Hub is; ``HF_ENDPOINT`` by default.

    Raises:
        UsageError: no such name can be.
        MissingSecretError: there is no token.
        PublishError: the Hub does not know it, or it may not write there.
    """
    _check_repo_id(repo_id)
    found = _token(token)
    account = HubFaults(repo_id, found).retried(lambda: HfApi(endpoint=endpoint).whoami(token=found))
    role = account.get("auth", {}).get("accessToken", {}).get("role")
    owners = [account.get("name"), *(each.get("name") for each in account.get("orgs", []))]
    owner = repo_id.partition("/")[0]
    if role == "read":
        raise PublishError(f"{repo_id}: the token may only read. Take one with the role 'write'.")
    # What a fine-grained token may do is known when it does it.
    if role == "write" and owner.lower() not in {str(each).lower() for each in owners}:
        raise PublishError(f"{repo_id}: the token belongs to {owners[0]}, who is not in {owner}. Name another repo_id.")


def publish_folder(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    revision: str | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    endpoint: str | None = None,
    on_progress: Callable[[PublishProgress], None] = lambda progress: None,
    way_on: str = "",
) -> PublishReport:
    """Publish a dataset folder to the Hub.

    Whatever is large is sent first, and one commit makes all of it visible, so that a reader never sees half. What
    was sent stays there: killed at any moment, the next publication goes on. Files of an earlier publication
    that the dataset no longer has go in the same commit; what anybody else wrote stays. A dataset that is there
    already gives no commit.

    Args:
        folder: a finished dataset, as a build leaves it.
        repo_id: such as ``me/shapes``; made if it is not there.
        private: whether a new repository is private; ``None`` for the account's default. An existing one keeps
            what it has, and a public one is refused where ``True`` is asked.
        token: that of the environment (``HF_TOKEN``) or the login by default.
        revision: the branch; ``main`` by default, made if it is not there.
        overwrite: replace files of the same name that somebody else wrote or changed.
        dry_run: only say what would be done; asks, but sends nothing, and needs no token for a public repository.
        endpoint: where the Hub is; ``HF_ENDPOINT`` by default.
        on_progress: is told how far it is.
        way_on: the last sentence when the Hub does not take it, from a caller that knows how to go on.

    Raises:
        UsageError: the folder is no finished dataset, the name cannot be, or there is no token.
        PublishError: the Hub did not take it.
    """
    _check_repo_id(repo_id)
    folder = Path(folder)
    check_finished(folder)
    found = (token or get_token()) if dry_run else _token(token)
    faults = HubFaults(repo_id, found, way_on)
    repository = HubDataset(repo_id, revision, found, endpoint, faults)
    if not dry_run:
        repository.create(private)
    publication = _Publication(_files(folder, on_progress), repository, overwrite, on_progress)
    if dry_run:
        publication.plan()
        return publication.report(repo_id, None, dry_run)
    return publication.report(repo_id, faults.retried(publication.update), dry_run)


class _Publication:
    """The files of one folder on their way into one repository."""

    def __init__(
        self,
        files: Sequence[DatasetFile],
        repository: HubDataset,
        overwrite: bool,
        on_progress: Callable[[PublishProgress], None],
    ) -> None:
        self._files = files
        self._repository = repository
        self._overwrite = overwrite
        self._on_progress = on_progress
        self._operations: dict[str, CommitOperationAdd] = {}
        """By path; what is sent stays sent when the update is tried again."""
        self._uploaded: set[str] = set()
        self._removed: set[str] = set()
        self._changed = False

    def update(self) -> str | None:
        """Bring the repository to what the folder holds, and give the commit; safe to be tried again at any time."""
        state = self._repository.state()
        added, removed = self._difference(state)
        if not added and not removed:
            return state.head
        self._changed = True
        self._send([file for file in added if file.path not in self._operations])
        check_unchanged(self._files)
        self._tell("committing", 1, 1)
        additions = [self._operations[file.path] for file in added]
        self._removed.update(removed)
        # With its parent: if another commit came first, or ours although its answer was lost, look again.
        return self._repository.commit(additions, removed, "Publish a dataset built by imageloom", state.head)

    def plan(self) -> None:
        """Count what an update would do."""
        added, removed = self._difference(self._repository.state())
        self._changed = bool(added or removed)
        self._uploaded.update(file.path for file in added)
        self._removed.update(removed)

    def report(self, repo_id: str, commit: str | None, dry_run: bool) -> PublishReport:
        """What was done."""
        uploaded = len(self._uploaded - {MANIFEST})
        return PublishReport(
            repo_id=repo_id,
            url=self._repository.url,
            files=len(self._files),
            bytes=sum(file.size for file in self._files),
            uploaded=uploaded,
            skipped=len(self._files) - uploaded,
            removed=len(self._removed),
            commit=commit,
            changed=self._changed,
            dry_run=dry_run,
        )

    def _difference(self, state: RepositoryState) -> tuple[list[DatasetFile], list[str]]:
        """The files to add or replace, and the paths to remove."""
        files = [*self._files, _manifest_of(self._files)]
        added = [file for file in files if not state.has(file)]
        foreign = [file.path for file in added[:-1] if file.path in state.files and not state.wrote(file.path)]
        if foreign and not self._overwrite:
            raise PublishError(
                f"the repository holds {count_of(len(foreign), 'file')} of the same name that somebody else wrote or "
                f"changed: {', '.join(foreign[:3])}. Publish to another repository, or replace them with --overwrite."
            )
        paths = {file.path for file in files}
        return added, sorted(path for path in state.written if path not in paths and state.wrote(path))

    def _send(self, files: Sequence[DatasetFile]) -> None:
        held = self._repository.held([file for file in files if file.path.endswith(".parquet")])
        missing = [file for file in files if file.sha256 not in held]
        self._operations.update({file.path: already_sent(file) for file in files if file.sha256 in held})
        total, done = sum(file.size for file in missing), 0
        for group in _groups(missing):
            self._tell("sending", done, total)
            self._operations.update({each.path_in_repo: each for each in self._repository.send(group)})
            self._uploaded.update(file.path for file in group)
            done += sum(file.size for file in group)
        self._tell("sending", done, total)

    def _tell(self, stage: str, done: int, total: int) -> None:
        self._on_progress(PublishProgress(stage, done, total))


def _files(folder: Path, on_progress: Callable[[PublishProgress], None]) -> list[DatasetFile]:
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    done = 0

    def on_read(count: int) -> None:
        nonlocal done
        done += count
        on_progress(PublishProgress("reading", done, total))

    return files_of(folder, on_read)


def _manifest_of(files: Sequence[DatasetFile]) -> DatasetFile:
    about = "Written by imageloom: the files that it published, and the hashes of their content."
    content = {"about": about, "files": {file.path: sorted(file.hashes) for file in files}}
    return DatasetFile.of_bytes(MANIFEST, json.dumps(content, indent=1, ensure_ascii=False).encode())


def _groups(files: Sequence[DatasetFile]) -> Iterator[list[DatasetFile]]:
    group: list[DatasetFile] = []
    for file in files:
        if group and sum(each.size for each in group) + file.size > BYTES_A_GROUP:
            yield group
            group = []
        group.append(file)
    if group:
        yield group


def _token(token: str | None) -> str:
    found = token or get_token()
    if not found:
        raise MissingSecretError(
            "publishing needs a token of your account at the Hub. "
            "Set the environment variable HF_TOKEN, or log in with: hf auth login"
        )
    return found


def _check_repo_id(repo_id: str) -> None:
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UsageError(f"'{repo_id}' is no name of a repository: {error}") from error
    if repo_id.count("/") != 1:
        raise UsageError(f"'{repo_id}' is no name of a repository. Write it with its owner, such as me/shapes.")
