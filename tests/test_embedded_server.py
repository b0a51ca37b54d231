"""The embedded server: it answers, ends with its process, and leaves a chosen server alone."""

import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from flows.embedded_server import start_embedded_server
from tests.processes import wait_until

KILLED = """
import os, signal
from flows.embedded_server import start_embedded_server
server = start_embedded_server()
server.wait()
print(server.url, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def unconfigured(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**kept, "PREFECT_HOME": str(folder / "home"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


def answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health", timeout=5, trust_env=False).is_success
    except httpx2.TransportError:
        return False


def test_it_answers_and_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    """A build that was killed leaves no server behind, and its database stays for the next."""
    killed = subprocess.run(
        [sys.executable, "-c", KILLED],
        cwd=tmp_path,
        env=unconfigured(tmp_path),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    url = killed.stdout.strip()
    assert url.startswith("http://127.0.0.1:"), killed.stderr
    wait_until(lambda: not answers(url), timeout_s=30, what="the server to end")
    assert (tmp_path / "home" / "prefect.db").stat().st_size > 0


CHOICES = {
    "profiles.toml": "",
    "prefect.toml": "",
    ".env": "PREFECT_API_URL=http://127.0.0.1:9/api\n",
    "pyproject.toml": "[tool.prefect]\n",
}


@pytest.mark.parametrize("choice", ["PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH", *CHOICES])
def test_a_server_that_somebody_chose_is_left_to_prefect(
    choice: str, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a server, a profile or a settings file at hand, nothing is started and nothing is set."""
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(in_folder))
    # As in a new process.
    monkeypatch.delitem(sys.modules, "prefect", raising=False)
    if choice.startswith("PREFECT_"):
        monkeypatch.setenv(choice, "http://127.0.0.1:9/api")
    else:
        Path(choice).write_text(CHOICES[choice], encoding="utf-8")
    assert start_embedded_server() is None
    assert ("PREFECT_API_URL" in os.environ) == (choice == "PREFECT_API_URL")
