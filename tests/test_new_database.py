"""The embedded server's database: what Prefect's migrations would have made, in a moment, and never over another."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows import new_database
from flows.new_database import STATEMENTS

MAKE = "from flows.new_database import make_new_database; print(make_new_database())"
DUMP = "import pathlib, sys; from flows import new_database as n; print(n.dump_migrated(pathlib.Path(sys.argv[1])))"


def python(home: Path, code: str, *arguments: str, **settings: str) -> str:
    """What a new process prints that has these settings of Prefect and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment = {**kept, "PREFECT_HOME": str(home), **settings}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.strip()


def test_it_is_what_the_migrations_leave(tmp_path: Path) -> None:
    """Table by table the statements are those of the installed Prefect; if not: ``python -m flows.new_database``."""
    assert _shape(STATEMENTS.read_text(encoding="utf-8")) == _shape(python(tmp_path / "home", DUMP, str(tmp_path)))


def test_a_new_home_gets_it_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    """Made where there is none; a second time nothing is touched, and no other file is left."""
    assert python(tmp_path, MAKE) == "True"
    (tmp_path / "prefect.db").write_bytes(b"somebody's")
    assert python(tmp_path, MAKE) == "False"
    assert (tmp_path / "prefect.db").read_bytes() == b"somebody's"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("tmp")] == []


@pytest.mark.parametrize("url", ["postgresql+asyncpg://me@127.0.0.1/prefect", "sqlite+aiosqlite:///:memory:"])
def test_another_database_is_left_to_prefect(tmp_path: Path, url: str) -> None:
    """A server elsewhere, or memory, is none of ours."""
    assert python(tmp_path, MAKE, PREFECT_API_DATABASE_CONNECTION_URL=url) == "False"
    assert not (tmp_path / "prefect.db").exists()


def test_a_prefect_that_does_not_know_the_revision_makes_its_own() -> None:
    """With an older Prefect the statements would be of the future, and are not used."""
    statements = STATEMENTS.read_text(encoding="utf-8")
    assert new_database._is_known(statements)
    revision = new_database.REVISION.search(statements)
    assert revision
    assert not new_database._is_known(statements.replace(revision[1], "0000deadbeef"))


def _shape(statements: str) -> list[list[str]]:
    """Without the order of a table's columns and constraints, which Prefect's migrations leave to chance."""
    each = statements.strip().removesuffix(";").split(";\n")
    return sorted(sorted(line.strip().rstrip(", ") for line in statement.strip().splitlines()) for statement in each)
