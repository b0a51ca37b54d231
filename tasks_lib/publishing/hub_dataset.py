"""A dataset repository on the Hub: what it holds, and how files get into it in one commit."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.lfs import post_lfs_batch_info

from tasks_lib.errors import PublishError
from tasks_lib.publishing.dataset_files import DatasetFile
from tasks_lib.publishing.hub_faults import HubFaults

if TYPE_CHECKING:
    from huggingface_hub import CommitOperation

__all__ = ["MANIFEST", "HubDataset", "RepositoryState", "already_sent"]

MANIFEST = ".imageloom.json"
"""Names the files that publications wrote, each with the hashes of its content."""
KIND = "dataset"
FILES_A_QUESTION = 256
"""What the library itself asks at once."""


@dataclass(frozen=True)
class RepositoryState:
    """What a repository holds at one commit."""

    head: str | None = None
    """The commit; ``None`` where there is no such repository yet."""
    files: Mapping[str, str] = field(default_factory=dict)
    """The hash of each file by its path: sha256 of an LFS file, git's own of any other."""
    written: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The hashes of each file that a publication wrote, by its path."""

    def has(self, file: DatasetFile) -> bool:
        """Whether it holds this very file."""
        return self.files.get(file.path) in file.hashes

    def wrote(self, path: str) -> bool:
        """Whether what stands there is what a publication wrote, untouched by anybody else."""
        return self.files.get(path) in self.written.get(path, frozenset())


class HubDataset:
    """One revision of a dataset repository; each step may be tried again, and is.

    Args:
        repo_id: such as ``me/shapes``.
        revision: the branch; ``None`` for ``main``.
        token: ``None`` to read only what is public.
        endpoint: where the Hub is; ``None`` for the library's setting, ``HF_ENDPOINT``.
        faults: retries and explains.
    """

    def __init__(
        self, repo_id: str, revision: str | None, token: str | None, endpoint: str | None, faults: HubFaults
    ) -> None:
        self._repo_id = repo_id
        self._revision = revision
        self._faults = faults
        self._api = HfApi(endpoint=endpoint, token=token or False)
        self.url = f"{self._api.endpoint}/datasets/{repo_id}"
        """The page to look at."""

    def create(self, private: bool | None) -> None:
        """Make the repository and its branch, unless they are there.

        Raises:
            PublishError: it is there and public, where it is to be private.
        """
        api, name = self._api, self._repo_id
        self._faults.retried(lambda: api.create_repo(name, repo_type=KIND, private=private, exist_ok=True))
        if private and not self._faults.retried(lambda: api.repo_info(name, repo_type=KIND)).private:
            raise PublishError(
                f"{name} is a public repository, and the dataset is to be private. "
                "Make the repository private in its settings, name another one, or publish with --public."
            )
        if self._revision:
            branch = self._revision
            self._faults.retried(lambda: api.create_branch(name, branch=branch, repo_type=KIND, exist_ok=True))

    def state(self) -> RepositoryState:
        """What it holds now."""
        return self._faults.retried(self._read_state)

    def held(self, files: Sequence[DatasetFile]) -> set[str]:
        """The sha256 of those files whose content the Hub has already, if only from a publication that was cut off."""
        found: set[str] = set()
        for start in range(0, len(files), FILES_A_QUESTION):
            asked = files[start : start + FILES_A_QUESTION]
            try:
                actions, _, _ = self._faults.retried(partial(self._asked_for_upload, asked))
            except PublishError:
                # A question that spares sending; whatever is wrong shows again where it matters.
                break
            found.update(action["oid"] for action in actions if not action.get("actions"))
        return found

    def send(self, files: Sequence[DatasetFile]) -> list[CommitOperationAdd]:
        """Send the content of large files; what is sent is invisible until it is committed.

        Returns:
            the files as :meth:`commit` takes them.
        """
        operations = [_operation(file) for file in files]
        self._faults.retried(
            lambda: self._api.preupload_lfs_files(
                self._repo_id,
                additions=operations,
                repo_type=KIND,
                revision=self._revision,
                # Else the .gitignore of the repository would leave files out without a word.
                gitignore_content="",
            )
        )
        return operations

    def commit(
        self, additions: Sequence[CommitOperationAdd], removed: Sequence[str], message: str, parent: str | None
    ) -> str:
        """Make all of it visible at once; is not tried again, since an answer that got lost may have been a yes.

        Returns:
            the new commit.
        """
        operations: list[CommitOperation] = [
            *additions,
            *(CommitOperationDelete(path, is_folder=False) for path in removed),
        ]
        done = self._api.create_commit(
            self._repo_id,
            operations,
            commit_message=message,
            repo_type=KIND,
            revision=self._revision,
            parent_commit=parent,
        )
        return str(done.oid)

    def _asked_for_upload(self, files: Sequence[DatasetFile]) -> tuple[list[dict[str, Any]], Any, Any]:
        """How each file may be sent, by the LFS batch API; without a way to send it, it is there already."""
        return post_lfs_batch_info(
            upload_infos=[_operation(file).upload_info for file in files],
            token=None,  # it is in the headers
            repo_type=KIND,
            repo_id=self._repo_id,
            revision=self._revision,
            endpoint=self._api.endpoint,
            headers=self._api._build_hf_headers(),
        )

    def _read_state(self) -> RepositoryState:
        try:
            head = self._api.repo_info(self._repo_id, repo_type=KIND, revision=self._revision).sha
        except (RepositoryNotFoundError, RevisionNotFoundError):
            return RepositoryState()
        tree = self._api.list_repo_tree(self._repo_id, repo_type=KIND, revision=head, recursive=True)
        files = {each.path: _hash_of(each) for each in tree if isinstance(each, RepoFile)}
        return RepositoryState(head, files, self._read_manifest(head) if MANIFEST in files else {})

    def _read_manifest(self, head: str | None) -> dict[str, frozenset[str]]:
        with tempfile.TemporaryDirectory() as folder:
            path = self._api.hf_hub_download(self._repo_id, MANIFEST, repo_type=KIND, revision=head, cache_dir=folder)
            try:
                files = json.loads(Path(path).read_text(encoding="utf-8"))["files"]
                return {str(name): frozenset(hashes) for name, hashes in files.items()}
            except (ValueError, LookupError, TypeError, AttributeError):
                # Somebody else's file of that name: nothing is known to be ours.
                return {}


def already_sent(file: DatasetFile) -> CommitOperationAdd:
    """A file whose content the Hub has, as :meth:`HubDataset.commit` takes it."""
    operation = _operation(file)
    # The library has no public way to say so, and would send it again through Xet.
    operation._upload_mode, operation._is_uploaded = "lfs", True
    return operation


def _operation(file: DatasetFile) -> CommitOperationAdd:
    operation = CommitOperationAdd(file.path, file.source)
    operation.upload_info.sha256 = bytes.fromhex(file.sha256)
    return operation


def _hash_of(file: RepoFile) -> str:
    return str(file.lfs.sha256 if file.lfs else file.blob_id)
