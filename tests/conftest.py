"""What every test may use: a loopback endpoint, and a Prefect server of the session's own."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

HOME = Path(tempfile.mkdtemp(prefix="imageloom-tests-"))
# Before Prefect is imported: its harness isolates neither of these.
os.environ.update(
    {
        "PREFECT_HOME": str(HOME / "prefect"),
        "PREFECT_LOCAL_STORAGE_PATH": str(HOME / "results"),
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "HF_HOME": str(HOME / "huggingface"),
        # Nothing listens there: a test that needs the Hub fails at once.
        "HF_ENDPOINT": "http://127.0.0.1:9",
    }
)
os.environ.pop("HF_TOKEN", None)

from tests.endpoint import Endpoint  # noqa: E402  # after the environment is set


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """An endpoint of the test's own."""
    with Endpoint() as running:
        yield running


@pytest.fixture
def http() -> Iterator[httpx2.Client]:
    """A client that knows nothing of proxies or retries."""
    with httpx2.Client(trust_env=False, timeout=10) as client:
        yield client


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's own current folder: stores and datasets with relative paths land there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
