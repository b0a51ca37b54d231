"""What every test may use: a loopback endpoint, and a Prefect server of the session's own."""

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, settings

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

# How long an example takes is the machine's business, not a promise.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

pytest_plugins = ["flows.testing", "tests.gallery_browser"]

from tasks_lib import Distiset  # noqa: E402  # after the environment is set
from tasks_lib.generator import ImageGenerator  # noqa: E402
from tasks_lib.models import InferenceEndpointsImageGeneration  # noqa: E402
from tasks_lib.recipe import load_recipe  # noqa: E402
from tests.endpoint import Endpoint  # noqa: E402
from tests.generating import generator_with  # noqa: E402


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """An endpoint of the test's own."""
    with Endpoint() as running:
        yield running


@pytest.fixture
def generator(endpoint: Endpoint, tmp_path: Path) -> Iterator[ImageGenerator]:
    """A generator over the endpoint, with eight places and a store."""
    model = InferenceEndpointsImageGeneration(base_url=endpoint.url, timeout_s=20)
    with generator_with(model, tmp_path, max_concurrency=8) as generator:
        yield generator


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


@pytest.fixture
def build_dataset(prefect_server: None, in_folder: Path) -> Callable[..., Distiset]:
    """Builds a recipe, given as a mapping, through the real flow, in a folder of the test's own."""
    from flows.build_image_dataset import build_image_dataset

    def build(recipe: dict[str, Any], **arguments: Any) -> Distiset:
        return asyncio.run(build_image_dataset(load_recipe(recipe), **arguments))

    return build


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where everything is installed, a skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("IMAGELOOM_NO_SKIPS") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
