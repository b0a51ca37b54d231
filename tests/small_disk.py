"""A small disk, to be filled or made read-only."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = ["small_disk"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte and a half of the test's own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("full and read-only disks are not tested: there is no mount command")
    command = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(disk)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"full and read-only disks are not tested: mounting is not allowed ({done.stderr.strip()})")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)
