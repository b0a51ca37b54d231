"""No secret is left anywhere by a whole build: not on the terminal, not in Prefect's database, not in any file."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
import yaml

from tests.command import IMAGELOOM
from tests.echo import picture_with
from tests.loopback import Asked, LoopbackServer, Reply
from tests.prefect_server import PrefectServer, running_server
from tests.processes import wait_until
from tests.recipes import drawn_by

TOKEN = "hf_MARKEDxTOKENx0123456789"
BLOCK = "a-block-with-a-token"
USER, PASSWORD = "marked-user", "marked/password"
TEMPLATES = {
    "a cat": (200, ""),
    "a refused cat": (400, "flagged as unsafe by content moderation, for {}"),
    "a cat refused with status 200": (200, '{{"error": "NSFW content detected", "sent": "{}"}}'),
    "an invalid cat": (422, "there is no cat for {}"),
    "a cat that fails": (500, '{{"headers": {{"Authorization": "{}"}}}}'),
    "a cat of text": (200, "<p>Signed in with {}</p>"),
    "a cat in a picture": (200, "picture of {}"),
    "the last cat": (401, "no entry with {}"),
}
"""What an endpoint answers to a prompt, with the Authorization header that came; no text is a good image."""
KINDS = ("flow_runs", "task_runs", "artifacts", "logs")
PROMPTS = [prompt for prompt in TEMPLATES if prompt != "the last cat"]


def repeated(asked: Asked) -> Reply:
    """Repeats the Authorization header wherever it can."""
    status, template = TEMPLATES[json.loads(asked.body)["inputs"]]
    text = template.format(asked.headers["authorization"])
    return Reply(text.encode() if text and "picture" not in text else picture_with(text), status)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A Prefect server whose database is ours to read."""
    folder = tmp_path_factory.mktemp("secrets")
    with running_server(folder, folder / "home") as running:
        yield running


def imageloom(server: PrefectServer, folder: Path, *arguments: str, **environment: str) -> str:
    """Run ``imageloom build recipe.yaml --debug`` in a folder; what it says, on both channels."""
    command = [IMAGELOOM, "build", "recipe.yaml", "--debug", *arguments]
    variables = {**server.environment, **environment}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=120)
    return done.stdout + done.stderr


def make_block(server: PrefectServer) -> None:
    """Keep the token in a Secret block of the server."""
    code = f"from prefect.blocks.system import Secret; Secret(value={TOKEN!r}).save({BLOCK!r})"
    subprocess.run([sys.executable, "-c", code], env=server.environment, check=True, capture_output=True, timeout=60)


def write_recipe(folder: Path, base_url: str, prompts: list[str], secrets: dict[str, str]) -> None:
    limits = {"max_attempts": 1, "max_failure_rate": 1.0, "max_concurrency": 1}
    recipe = drawn_by({"type": "inference_endpoints", "base_url": base_url}, prompts, limits=limits, name=folder.name)
    recipe["secrets"] = secrets
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))


def places_of(folder: Path) -> dict[str, str]:
    """The content of every file by its path; of Parquet, the values of all columns, bytes of images included."""
    found = {}
    for path in (path for path in sorted(folder.rglob("*")) if path.is_file()):
        content = path.read_bytes().decode("latin-1")
        found[str(path.relative_to(folder))] = content + (values_of(path) if path.suffix == ".parquet" else "")
    return found


def values_of(path: Path) -> str:
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return repr(rows)


def spellings(*secrets: str) -> set[str]:
    """Secrets as they are, in base64 and as parts of a URL."""
    return {
        spelling
        for secret in secrets
        for spelling in (secret, base64.b64encode(secret.encode()).decode().rstrip("="), quote(secret, safe=""))
    }


@pytest.mark.parametrize("kind", ["token", "block", "password"])
def test_a_build_leaves_no_secret_anywhere(server: PrefectServer, kind: str) -> None:
    """Failures, refusals, a stop and ``--debug`` show the secret on no channel and keep it in no file or database."""
    folder = server.folder / f"build-with-{kind}"
    folder.mkdir()
    with LoopbackServer(repeated) as endpoint:
        place = endpoint.url.removeprefix("http://")
        login = f"{USER}:{quote(PASSWORD, safe='')}@" if kind == "password" else ""
        token = {"HF_TOKEN": TOKEN} if kind == "token" else {}
        blocks = {"HF_TOKEN": BLOCK} if kind == "block" else {}
        if kind == "block":
            make_block(server)
        write_recipe(folder, f"http://{login}{place}", PROMPTS, blocks)
        said = imageloom(server, folder, **token)
        write_recipe(folder, f"http://{login}{place}", [*PROMPTS, "the last cat"], blocks)
        said_at_the_stop = imageloom(server, folder, "--output", "stopped", **token)
    # The recipe that a user wrote is the user's.
    (folder / "recipe.yaml").unlink()
    said_of_the_run = recorded(server)

    assert "the key was rejected" in said_at_the_stop and "Traceback" in said_at_the_stop
    places = {"terminal": said, "terminal at the stop": said_at_the_stop, "run": said_of_the_run, **places_of(folder)}
    # The home is not in the folder: database with its log, results, logs of the server.
    places |= {f"home/{name}": content for name, content in places_of(server.home).items()}
    secrets = spellings(TOKEN) if kind != "password" else spellings(PASSWORD, USER, f"{USER}:{PASSWORD}")
    assert [(name, secret) for name, content in places.items() for secret in secrets if secret in content] == []
    holding = {name for name, content in places.items() if "[redacted]" in content}
    assert holding >= {"dataset/ledger.parquet", "dataset/gallery.html", "dataset/failed/train-00000-of-00001.parquet"}
    assert holding >= {"terminal at the stop", "run"}
    # The looking finds things: without this, a wrong folder or an unread file would pass.
    assert holding & {"home/prefect.db", "home/prefect.db-wal"}
    assert {"dataset/README.md", "dataset/recipe.yaml", "dataset/data/train-00000-of-00001.parquet"} <= set(places)
    assert any("a cat" in content for name, content in places.items() if name.startswith("store/"))


def recorded(server: PrefectServer) -> str:
    """All that the server's API tells of its runs: parameters, states, artifacts and logs, once they have arrived."""

    def told() -> str | None:
        found = {kind: server.request("POST", f"/{kind}/filter", {}) for kind in KINDS}
        return json.dumps(found) if all(found.values()) and "the key was rejected" in str(found["logs"]) else None

    return str(wait_until(told, 30, "the runs with their logs"))
