"""The kinds of location that a store may have, as fixtures."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

__all__ = ["location", "s3", "s3_server"]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """An S3-compatible server on loopback."""
    reason = "the store on S3 is not tested: install the dev dependencies moto[server] and s3fs"
    pytest.importorskip("s3fs", reason=reason)
    server = pytest.importorskip("moto.server", reason=reason).ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A new bucket; the environment alone says where it is."""
    settings_of_s3 = {"ENDPOINT_URL": s3_server, "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "REGION": "eu"}
    for name, value in settings_of_s3.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    bucket = tmp_path.name.replace("_", "-").lower()
    files = fsspec.filesystem("s3")
    files.mkdir(bucket)
    yield f"s3://{bucket}"
    files.clear_instance_cache()  # it has the endpoint that it was made with


@pytest.fixture(params=["local", "memory", "s3"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new store's location, of every kind."""
    if request.param == "s3":
        return f"{request.getfixturevalue('s3')}/store"
    fsspec.filesystem("memory").store.clear()
    return str(tmp_path / "store") if request.param == "local" else "memory://store"
