"""A Prefect server for one command, started before Prefect is imported so that both load at once.

Prefect would start one by itself, but only at the first call and after importing the whole server into the
caller as well: seconds in which nothing else happens.
"""

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from flows.quick_imports import quick_imports

__all__ = ["EmbeddedServer", "start_embedded_server"]

CHOICES = (
    "PREFECT_API_URL",
    "PREFECT_PROFILE",
    "PREFECT_PROFILES_PATH",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE",
    "PREFECT_SERVER_EPHEMERAL_ENABLED",
)
AUTH = "PREFECT_SERVER_API_AUTH_STRING"
PATIENCE_S = 180
"""For the first start on a slow machine: Prefect creates its database in a hundred migrations."""
SETTINGS = {
    # An embedded server needs none of the block types that this registers. Both, or the next `prefect server start`
    # would believe them registered.
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
    "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
}


def start_embedded_server() -> "EmbeddedServer | None":
    """Start a server and make it the one that Prefect, imported later, will use.

    Returns:
        The server, still loading; ``None`` where somebody chose a server or a profile, which is Prefect's to read.
    """
    if os.name == "nt" or "prefect" in sys.modules or _somebody_chose():
        return None
    server = EmbeddedServer()
    os.environ["PREFECT_API_URL"] = server.url
    # No proxy leads to this machine. Both spellings are in use, and the small one comes first.
    but_for = [value for name in ("no_proxy", "NO_PROXY") if (value := os.environ.get(name))]
    if "*" not in but_for:
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join([*but_for, "127.0.0.1"])
    return server


def _somebody_chose() -> bool:
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    files = (home / "profiles.toml", Path("prefect.toml"))
    return (
        any(name in os.environ for name in CHOICES)
        or any(file.exists() for file in files)
        or _mentions(Path(".env"), "PREFECT_")
        or _mentions(Path("pyproject.toml"), "[tool.prefect")
    )


def _mentions(file: Path, words: str) -> bool:
    return file.is_file() and words.lower() in file.read_text(encoding="utf-8", errors="replace").lower()


class EmbeddedServer:
    """A server in a process of its own, over the database in ``PREFECT_HOME``; it ends with this process."""

    def __init__(self) -> None:
        # It inherits a listening socket: no port is taken in between, and whoever connects early waits in line.
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
            self._process = subprocess.Popen(  # noqa: S603  # this very file
                # Without the current folder, where a file may be called like a library.
                [sys.executable, "-P", "-m", "flows.embedded_server", str(listener.fileno())],
                # Only this process talks to it, and knows no password.
                env={name: value for name, value in os.environ.items() if name != AUTH} | SETTINGS,
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                # Ctrl-C is for the build: it still has its end to report.
                start_new_session=True,
            )
        # Prefect sends its last events when the threads end, which is before this.
        atexit.register(self.stop)

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            ImageloomError: it does not start.
        """
        # Not above: the server's process imports this file too, and would wait for all of ours.
        import httpx2

        from tasks_lib.errors import ImageloomError

        try:
            with httpx2.Client(trust_env=False, timeout=PATIENCE_S) as client:
                client.get(f"{self.url}/health").raise_for_status()
        except httpx2.HTTPError as error:
            raise ImageloomError(
                f"the embedded Prefect server does not answer ({type(error).__name__}: {error}). See why with --debug, "
                "or start one with `prefect server start` and set PREFECT_API_URL."
            ) from error

    def stop(self) -> None:
        """End it, giving it time to write what it was told."""
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _serve(listener: int) -> None:
    with quick_imports():
        import uvicorn
        from prefect.server.api.server import create_app

        from flows.new_database import make_new_database

    # The end of standard input is the end of the process that started this one, however it ended.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    make_new_database()
    uvicorn.run(create_app(ephemeral=True, final=True), fd=listener, log_level="error", lifespan="on")


def _end_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
