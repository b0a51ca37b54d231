"""Waiting for an image that a provider puts into a queue, and says later where it is."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from tasks_lib.errors import BadImageError, GenerationError, LostImageError, RefusedError, TransientError
from tasks_lib.models.http_answers import body_of, is_refusal, redact
from tasks_lib.models.http_post import HTTP_FAULTS, HttpPoster
from tasks_lib.models.hub_answers import image_and_metadata, object_in, words_of
from tasks_lib.models.patience import ask_patiently

__all__ = ["Queue", "queued_image"]

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
GROWTH = 1.5
"""Of the pause from one question to the next; most images take some seconds, a few take minutes."""
WAITING = frozenset({"created", "in_progress", "in_queue", "processing", "queued"})
DONE = frozenset({"completed", "success"})
"""What the providers call the states of a task, in small letters."""


@dataclass(frozen=True)
class Queue:
    """Whose queue it is and how it is asked."""

    provider: str
    home: str
    """URL of the provider's API, or of Hugging Face's way to it; nothing is asked elsewhere."""
    query: str
    """Of the call's URL, such as ``_subdomain=queue``."""
    headers: Mapping[str, str]
    """With the token."""
    where: str
    """The model and place, fit for a message."""
    secrets: Sequence[str]
    """What must not get into a message."""


async def queued_image(http: HttpPoster, queue: Queue, first_answer: bytes) -> tuple[bytes | str, dict[str, Any]]:
    """The image or its link, once there is one, and the facts beside it; cancelled, nothing more is asked.

    Args:
        http: the connections.
        queue: where the image waits.
        first_answer: what the provider answered to the call for it.

    Raises:
        GenerationError: there is no image; the kind says whether another attempt is worth it.
        StopError: no request of this run can succeed.
    """
    said = object_in(first_answer)
    status_url, result_url = _places(queue, said)
    pause_s = FIRST_PAUSE_S
    while _is_waiting(queue, said):
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * GROWTH, LONGEST_PAUSE_S)
        said = await _asked(http, queue, status_url)
    if result_url != status_url:
        said = await _asked(http, queue, result_url)
    image, metadata = image_and_metadata(_task_in(said))
    if not image:
        raise _no_image(queue, said)
    return image, metadata


def _places(queue: Queue, said: Mapping[str, Any]) -> tuple[str, str]:
    """Where to ask how far a task is and where its result is, as the helpers of ``huggingface_hub`` have them."""
    status = result = ""
    match queue.provider, said:
        case "fal-ai", {"response_url": str(url)}:
            # The path only: another host must not get the token.
            result = _path_of(url)
            status = f"{result}/status"
        case "wavespeed", {"data": {"urls": {"get": str(url)}}}:
            status = result = _path_of(url)
        case "zai-org", {"id": str(task)}:
            status = result = f"api/paas/v4/async-result/{quote(task, safe='')}"
    if not result:
        raise _no_image(queue, said)
    home, query = queue.home.rstrip("/"), f"?{queue.query}" if queue.query else ""
    return f"{home}/{status}{query}", f"{home}/{result}{query}"


def _path_of(url: str) -> str:
    try:
        return quote(urlsplit(url).path.strip("/"), safe="/%:@+,;=")
    except ValueError:
        return ""


def _is_waiting(queue: Queue, said: Mapping[str, Any]) -> bool:
    task = _task_in(said)
    state = str(task.get("status") or task.get("task_status")).lower()
    if state not in WAITING | DONE:
        raise _no_image(queue, said)
    return state in WAITING


def _task_in(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """WaveSpeed wraps what it says of a task."""
    inner = said.get("data")
    return inner if isinstance(inner, Mapping) else said


async def _asked(http: HttpPoster, queue: Queue, url: str) -> Mapping[str, Any]:
    """The answer to one question: the image is paid for, whether or not we hear of it."""

    async def ask() -> Mapping[str, Any]:
        answer = await http.get(url, queue.headers)
        return object_in(body_of(answer, queue.where, queue.secrets, queue.secrets))

    try:
        return await ask_patiently(ask)
    except TransientError as error:
        raise LostImageError(str(error), error.retry_after) from error
    except HTTP_FAULTS as error:
        raise LostImageError(f"{queue.where} gave no answer: {type(error).__name__}.") from error


def _no_image(queue: Queue, said: Mapping[str, Any]) -> GenerationError:
    """What an end without an image means; the provider's reason is in its answer."""
    text = redact(json.dumps(said, ensure_ascii=False), queue.secrets)
    error = RefusedError if is_refusal(200, words_of(said)) else BadImageError
    return error(f"{queue.where} made no image; it answered {text[:300]}")
