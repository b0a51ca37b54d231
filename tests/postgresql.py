"""A real PostgreSQL server for tests, from Debian's package, over a database of its own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import free_port, running_process, wait_until

__all__ = ["running_postgresql"]

DEBIAN = Path("/usr/lib/postgresql")
USER = "postgres"
"""PostgreSQL refuses to be run by root; Debian's package makes this user."""


@contextmanager
def running_postgresql() -> Iterator[str]:
    """Run a server on a free loopback port while the block runs; gives the URL of its database, for Prefect."""
    programs = _programs()
    # The folders of pytest are closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="imageloom-postgresql-"))
    user = USER if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user, user)
    data, port = folder / "data", free_port()
    # Without waiting for the disk: nothing here outlives the test.
    made = [programs / "initdb", "--pgdata", data, "--username", USER, "--auth", "trust", "--encoding", "UTF8"]
    served = [programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", port, "-k", folder, "-c", "fsync=off"]
    try:
        subprocess.run(
            [*map(str, made), "--locale", "C.UTF-8", "--no-sync"],
            cwd=folder,
            user=user,
            check=True,
            capture_output=True,
        )
        with running_process([*map(str, served)], folder, dict(os.environ), folder / "server.log", user):
            ready = [str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "--quiet"]
            wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, 60, "PostgreSQL")
            yield f"postgresql+asyncpg://{USER}@127.0.0.1:{port}/postgres"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    for programs in sorted(DEBIAN.glob("*/bin"), reverse=True):
        return programs
    pytest.skip("Prefect on PostgreSQL is not tested: install Debian's package postgresql")
