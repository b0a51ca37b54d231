"""What the test session's Prefect server holds."""

import os
from typing import Any

import httpx2

from tests.processes import wait_until

__all__ = ["asked", "events"]


def asked(path: str, body: Any) -> Any:
    with httpx2.Client(trust_env=False, timeout=60) as client:
        answer = client.post(f"{os.environ['PREFECT_API_URL']}{path}", json=body)
    answer.raise_for_status()
    return answer.json()


def events(prefix: str, resource: str, count: int) -> list[dict[str, Any]]:
    """The events about a resource, once there are so many: they are recorded a moment after they happen."""
    wanted = {"filter": {"event": {"prefix": [prefix]}, "resource": {"id": [resource]}}, "limit": 50}

    def found() -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = asked("/events/filter", wanted)["events"]
        return told if len(told) >= count else []

    return list(wait_until(found, timeout_s=60, what=f"{count} events {prefix} about {resource}"))
