"""Requests to a Hub, its answers, and faults in place of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.loopback import Asked, Reply

__all__ = ["Answer", "Fault", "Request"]


@dataclass(frozen=True)
class Request:
    """One request, as the server got it."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, asked: Asked) -> Self:
        """The request that came, with its query apart."""
        parts = urlsplit(asked.path)
        return cls(asked.method, parts.path, parse_qs(parts.query), asked.headers, asked.body)

    @property
    def writes(self) -> bool:
        """Whether it changes anything; the API has two questions that are asked by POST."""
        return self.method not in ("GET", "HEAD") and not self.path.endswith(("/batch", "/validate-yaml"))


@dataclass(frozen=True)
class Answer:
    """Status, body and headers; a dict or list is JSON."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def reply(self) -> Reply:
        """As it is sent."""
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return Reply(body, self.status, self.headers)


@dataclass
class Fault:
    """What is answered instead, so many times, to requests whose method and path match.

    A late one is answered when the request has had its effect: the answer got lost.
    """

    pattern: str
    answer: Answer
    times: int = 1
    late: bool = False
