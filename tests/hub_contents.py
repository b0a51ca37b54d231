"""What a Hub holds, in memory: dataset repositories with branches of commits, and large files by their sha256."""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Entry", "Repository"]

LARGE = (".parquet", ".webp", ".png", ".jpg")


@dataclass(frozen=True)
class Entry:
    """One file at one commit."""

    content: bytes
    lfs: bool = False

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def oid(self) -> str:
        """The hash of its git blob, which for a large file is that of the pointer."""
        return _git_hash(self.sha256.encode() if self.lfs else self.content)

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid

    def told(self, path: str) -> dict[str, Any]:
        """As the tree tells it."""
        lfs = {"lfs": {"oid": self.sha256, "size": len(self.content), "pointerSize": 130}} if self.lfs else {}
        return {"type": "file", "path": path, "size": len(self.content), "oid": self.oid, **lfs}


@dataclass
class Repository:
    """One dataset repository; a commit is all of its files by path."""

    name: str
    private: bool = False
    commits: dict[str, dict[str, Entry]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.record("main", {".gitattributes": Entry(b"*.parquet filter=lfs diff=lfs merge=lfs -text\n")})

    @property
    def files(self) -> dict[str, Entry]:
        """Those of the main branch."""
        return self.commits[self.branches["main"]]

    def at(self, revision: str) -> tuple[str, dict[str, Entry]]:
        """The commit that a branch or a hash names, and its files; raises KeyError."""
        commit = self.branches.get(revision, revision)
        return commit, self.commits[commit]

    def record(self, branch: str, files: dict[str, Entry]) -> str:
        """A new commit."""
        commit = _git_hash(f"{self.name} {branch} {len(self.commits)}".encode())
        self.commits[commit] = files
        self.branches[branch] = commit
        return commit

    def info(self, revision: str) -> dict[str, Any]:
        """As the API tells the repository."""
        commit, files = self.at(revision)
        return {
            "_id": "1",
            "id": self.name,
            "author": self.name.partition("/")[0],
            "sha": commit,
            "private": self.private,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": [{"rfilename": path} for path in sorted(files)],
        }

    def tree(self, revision: str, folder: str, recursive: bool) -> list[dict[str, Any]]:
        """Files and folders below a folder; raises KeyError where there is none."""
        _, files = self.at(revision)
        prefix = f"{folder}/" if folder else ""
        inside = sorted(path.removeprefix(prefix) for path in files if path.startswith(prefix))
        if not inside:
            raise KeyError(folder)
        folders = {parent for path in inside for parent in _parents(path)}
        told = [{"type": "directory", "path": prefix + each, "oid": _git_hash(each.encode())} for each in folders]
        told += [files[prefix + path].told(prefix + path) for path in inside]
        top = [each for each in told if recursive or "/" not in each["path"].removeprefix(prefix)]
        return sorted(top, key=lambda each: str(each["path"]))

    def upload_modes(self, revision: str, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """How each file is to be sent."""
        _, files = self.at(revision)
        return [
            {
                "path": each["path"],
                "uploadMode": "lfs" if each["path"].endswith(LARGE) or each["size"] > 10_000_000 else "regular",
                "shouldIgnore": False,
                "oid": files[each["path"]].etag if each["path"] in files else None,
            }
            for each in asked
        ]

    def commit(self, branch: str, body: bytes, objects: dict[str, bytes]) -> str | None:
        """Apply the lines of a commit; ``None`` where its parent is not the newest one."""
        files = dict(self.at(branch)[1])
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            match line["key"]:
                case "header" if value.get("parentCommit", self.branches[branch]) != self.branches[branch]:
                    return None
                case "file":
                    files[value["path"]] = Entry(base64.b64decode(value["content"]))
                case "lfsFile":
                    files[value["path"]] = Entry(objects[value["oid"]], lfs=True)
                case "deletedFile":
                    del files[value["path"]]
        return self.record(branch, files)


def _parents(path: str) -> Iterator[str]:
    parts = path.split("/")[:-1]
    return ("/".join(parts[: count + 1]) for count in range(len(parts)))


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
