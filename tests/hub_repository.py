"""A server on loopback that speaks the Hub's API for dataset repositories: create, send, commit, list and download."""

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import disable_progress_bars

from tests.hub_contents import Entry, Repository
from tests.hub_wire import Answer, Fault, Request
from tests.loopback import Asked, LoopbackServer, Reply, Take

__all__ = ["TOKEN", "HubRepository", "hub_to_publish_to"]

TOKEN = "hf_MARKEDxPUBLISHxTOKEN"
ENTRIES_A_PAGE = 5
NAME = r"(?P<name>[\w.-]+/[\w.-]+)"
API = rf"/api/datasets/{NAME}"


class HubRepository(LoopbackServer):
    """Serves while the block runs.

    Args:
        part_bytes: files above this size are sent in parts of it; ``None`` for whole files.
        role: that of the token.
    """

    def __init__(self, part_bytes: int | None = None, role: str = "write") -> None:
        super().__init__(self._reply, read=self.read)
        self.part_bytes = part_bytes
        self.role = role
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        """Large files that arrived whole, by their sha256."""
        self.received: Counter[str] = Counter()
        """Bytes of large files that were read from the network, by their sha256; those of half a file as well."""
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.before: Callable[[Request], None] = lambda request: None
        """Is called with each request before it is answered."""
        self.stall_after: int | None = None
        """Large files that are taken before one is read by half only, and no more of it."""
        self.stalled = threading.Event()
        self._released = threading.Event()
        self._parts: dict[str, dict[int, bytes]] = {}
        self._routes = (
            ("POST", r"/api/repos/create", self._create),
            ("GET", r"/api/whoami-v2", self._whoami),
            ("POST", r"/api/validate-yaml", lambda request, **_: Answer(200, {"errors": [], "warnings": []})),
            ("POST", rf"{API}/branch/(?P<revision>.+)", self._branch),
            ("POST", rf"{API}/preupload/(?P<revision>[^/]+)", self._preupload),
            ("POST", rf"/datasets/{NAME}\.git/info/lfs/objects/batch", self._batch),
            ("PUT", r"/lfs/(?P<oid>\w+)(/(?P<part>\d+))?", self._put),
            ("POST", r"/lfs/(?P<oid>\w+)", self._join),
            ("POST", rf"{API}/commit/(?P<revision>[^/]+)", self._commit),
            ("GET", rf"{API}(/revision/(?P<revision>[^/]+))?", self._info),
            ("GET", rf"{API}/tree/(?P<revision>[^/]+)(/(?P<path>.+))?", self._tree),
            ("POST", rf"{API}/paths-info/(?P<revision>[^/]+)", self._paths),
            ("GET", rf"/datasets/{NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", self._resolve),
        )

    def __exit__(self, *why: Any) -> None:
        self._released.set()
        super().__exit__(*why)

    @property
    def writes(self) -> list[Request]:
        """The requests that changed something, or were to."""
        return [request for request in self.requests if request.writes]

    def release(self) -> None:
        """Let go of a connection that stalled, and stall no more."""
        self.stall_after = None
        self._released.set()

    def read(self, method: str, path: str, size: int, take: Take) -> bytes | None:
        """Take the body of a request; ``None`` when the connection is to be dropped half-way."""
        if method != "PUT":
            return take(size)
        oid = path.split("/")[2]
        if self.stall_after is not None and len(self.objects) >= self.stall_after:
            self.received[oid] += len(take(size // 2))
            self.stalled.set()
            self._released.wait()
            return None
        body = take(size)
        self.received[oid] += len(body)
        return body

    def _reply(self, asked: Asked) -> Reply:
        request = Request.of(asked)
        self.requests.append(request)
        self.before(request)
        fault = self._fault_for(request)
        if fault and not fault.late:
            return fault.answer.reply
        answer = self._answer(request)
        return (fault.answer if fault else answer).reply

    def _fault_for(self, request: Request) -> Fault | None:
        for fault in self.faults:
            if fault.times and re.fullmatch(fault.pattern, f"{request.method} {request.path}"):
                fault.times -= 1
                return fault
        return None

    def _answer(self, request: Request) -> Answer:
        method = "GET" if request.method == "HEAD" else request.method
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if (request.writes and not request.path.startswith("/lfs/") and not token) or token not in ("", TOKEN):
            return Answer(401, {"error": f"Invalid username or password, not {token}."})
        for verb, pattern, route in self._routes:
            found = re.fullmatch(pattern, request.path) if verb == method else None
            if not found:
                continue
            parts = {key: unquote(value) for key, value in found.groupdict().items() if value is not None}
            if request.writes and parts.get("name", "me/").partition("/")[0] != "me":
                return Answer(403, {"error": "Forbidden: you may not write here."})
            if "name" in parts and not self._visible(parts["name"], token):
                return _missing("RepoNotFound", "Repository not found")
            try:
                return route(request, **parts)
            except KeyError as error:
                return _missing("EntryNotFound", f"{error} not found")
        return Answer(404, {"error": f"no such page: {request.path}"})

    def _visible(self, name: str, token: str) -> bool:
        return name in self.repositories and (bool(token) or not self.repositories[name].private)

    def _create(self, request: Request) -> Answer:
        asked = json.loads(request.body)
        name = f"{asked['organization'] or 'me'}/{asked['name']}"
        if asked["organization"] not in ("me", None):
            return Answer(403, {"error": "You don't have the rights to create a dataset under this namespace"})
        told = {"url": f"{self.url}/datasets/{name}", "name": name}
        if name in self.repositories:
            return Answer(409, {"error": "You already created this dataset repo", **told})
        self.repositories[name] = Repository(name, private=asked.get("visibility") == "private")
        return Answer(200, told)

    def _whoami(self, request: Request) -> Answer:
        if not request.headers.get("authorization"):
            return Answer(401, {"error": "Invalid credentials"})
        token = {"accessToken": {"displayName": "test", "role": self.role}}
        return Answer(200, {"type": "user", "name": "me", "orgs": [{"name": "our-lab"}], "auth": token})

    def _branch(self, request: Request, name: str, revision: str) -> Answer:
        repository = self.repositories[name]
        if revision in repository.branches:
            return Answer(409, {"error": "Reference already exists"})
        repository.branches[revision] = repository.branches["main"]
        return Answer(200)

    def _preupload(self, request: Request, name: str, revision: str) -> Answer:
        asked = json.loads(request.body)
        return Answer(200, {"files": self.repositories[name].upload_modes(revision, asked["files"])})

    def _batch(self, request: Request, name: str) -> Answer:
        objects = [self._way_to_send(each) for each in json.loads(request.body)["objects"]]
        return Answer(200, {"transfer": "basic", "objects": objects})

    def _way_to_send(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["oid"] in self.objects:
            return asked
        href, parts = f"{self.url}/lfs/{asked['oid']}", self.part_bytes
        header: dict[str, str] = {}
        if parts and asked["size"] > parts:
            count = -(-asked["size"] // parts)
            header = {"chunk_size": str(parts), **{str(n): f"{href}/{n}" for n in range(1, count + 1)}}
        return {**asked, "actions": {"upload": {"href": href, "header": header}}}

    def _put(self, request: Request, oid: str, part: str | None = None) -> Answer:
        if part:
            self._parts.setdefault(oid, {})[int(part)] = request.body
            return Answer(200, b"", {"ETag": f'"{part}"'})
        return self._keep(oid, request.body)

    def _join(self, request: Request, oid: str) -> Answer:
        return self._keep(
            oid, b"".join(self._parts[oid][part["partNumber"]] for part in json.loads(request.body)["parts"])
        )

    def _keep(self, oid: str, content: bytes) -> Answer:
        if hashlib.sha256(content).hexdigest() != oid:
            return Answer(400, {"error": "the content is not that of its sha256"})
        self.objects[oid] = content
        return Answer(200)

    def _commit(self, request: Request, name: str, revision: str) -> Answer:
        commit = self.repositories[name].commit(revision, request.body, self.objects)
        if commit is None:
            return Answer(412, {"error": "A commit has happened since. Please refresh and try again."})
        return Answer(
            200, {"success": True, "commitOid": commit, "commitUrl": f"{self.url}/datasets/{name}/commit/{commit}"}
        )

    def _info(self, request: Request, name: str, revision: str = "main") -> Answer:
        return Answer(200, self.repositories[name].info(revision))

    def _tree(self, request: Request, name: str, revision: str, path: str = "") -> Answer:
        entries = self.repositories[name].tree(revision, path, request.query.get("recursive") == ["true"])
        start = int(request.query.get("cursor", ["0"])[0])
        end = start + ENTRIES_A_PAGE
        recursive = request.query.get("recursive", ["false"])[0]
        after = f'<{self.url}{request.path}?recursive={recursive}&cursor={end}>; rel="next"'
        return Answer(200, entries[start:end], {"Link": after} if end < len(entries) else {})

    def _paths(self, request: Request, name: str, revision: str) -> Answer:
        _, files = self.repositories[name].at(revision)
        asked = parse_qs(request.body.decode()).get("paths", [])
        folders = [path for path in asked if any(each.startswith(f"{path}/") for each in files)]
        told: list[dict[str, Any]] = [files[path].told(path) for path in asked if path in files]
        return Answer(200, told + [{"type": "directory", "path": path, "oid": "0"} for path in folders])

    def _resolve(self, request: Request, name: str, revision: str, path: str) -> Answer:
        commit, files = self.repositories[name].at(revision)
        entry: Entry = files[path]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{entry.etag}"', "Accept-Ranges": "bytes"}
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", "")):
            start, size = int(found[1]), len(entry.content)
            end = min(int(found[2] or size - 1), size - 1) + 1
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
            return Answer(206, entry.content[start:end], headers)
        return Answer(200, entry.content, headers)


def _missing(code: str, said: str) -> Answer:
    return Answer(404, {"error": said}, {"X-Error-Code": code, "X-Error-Message": said})


@contextmanager
def hub_to_publish_to(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubRepository]:
    """A Hub on loopback, with its token in the environment; large files go the way of LFS.

    The library reads which way from the environment once, when it is imported; so its constant is set.
    """
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with disable_progress_bars(), HubRepository() as running:
        yield running
