"""Processes that a test starts and of which none is left behind, and how to wait for what they do."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["free_port", "running_process", "wait_until"]


@contextmanager
def running_process(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path, user: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process and its children while the block runs; none is left afterwards.

    Args:
        arguments: the command.
        folder: where it runs.
        environment: all of its variables.
        log: the file for its output.
        user: whose process it is, where root starts it for somebody else.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            arguments,
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=[] if user else None,
        )
    try:
        yield process
    finally:
        _end(process)


def wait_until(condition: Callable[[], Any], timeout_s: float = 10, what: str = "what is to come true") -> Any:
    """Ask until the answer is true, and give it; fail when the time is over."""
    deadline = time.monotonic() + timeout_s
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s in vain for {what}.")
        threading.Event().wait(0.02)
    return answer


def free_port() -> int:
    """A port of the loopback interface that nobody uses at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    for sign, patience_s in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
        _signal_group(process, sign)
        try:
            process.wait(timeout=patience_s)
        except subprocess.TimeoutExpired:
            continue
        break
    # What it started may outlive it.
    _signal_group(process, signal.SIGKILL)


def _signal_group(process: subprocess.Popen[bytes], sign: signal.Signals) -> None:
    try:
        os.killpg(process.pid, sign)
    except ProcessLookupError:
        return
