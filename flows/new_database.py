"""An empty database for the embedded server, made in a moment instead of by Prefect's hundred migrations.

``new_database.sql`` holds what those migrations leave behind: tables, indexes, and the revision they reached. A newer
Prefect brings it up to date as it does with every database of an earlier version; one that does not know the revision
makes its own. After an upgrade of Prefect: ``python -m flows.new_database`` writes the file anew.
"""

import asyncio
import os
import re
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["dump_migrated", "make_new_database"]

STATEMENTS = Path(__file__).with_suffix(".sql")
REVISION = re.compile(r"""INSERT INTO "alembic_version" VALUES\('(\w+)'\)""")


def make_new_database() -> bool:
    """Make the database that Prefect's settings name, if it is a file of SQLite that is not there yet.

    Returns:
        Whether it was made; otherwise it is for Prefect to make or to upgrade.
    """
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
    from sqlalchemy.engine import make_url

    url = make_url(str(PREFECT_API_DATABASE_CONNECTION_URL.value()))
    file = Path(url.database or "")
    statements = STATEMENTS.read_text(encoding="utf-8")
    if not url.drivername.startswith("sqlite") or not file.is_absolute() or file.exists() or not _is_known(statements):
        return False
    return _write(file, statements)


def _is_known(statements: str) -> bool:
    """Whether the installed Prefect can go on from the revision."""
    import prefect.server.database

    found = REVISION.search(statements)
    migrations = Path(prefect.server.database.__file__).parent / "_migrations" / "versions" / "sqlite"
    return found is not None and any(found[1] in file.name for file in migrations.glob("*.py"))


def _write(file: Path, statements: str) -> bool:
    file.parent.mkdir(parents=True, exist_ok=True)
    # Seen whole or not at all, and never in the place of one that another command made meanwhile.
    with TemporaryDirectory(dir=file.parent) as folder:
        made = Path(folder) / file.name
        connection = sqlite3.connect(made)
        connection.executescript(statements)
        connection.close()
        try:
            os.link(made, file)
        except OSError:
            return False
    return True


def dump_migrated(home: Path) -> str:
    """What Prefect's own migrations leave in an empty database, as statements of SQL.

    Args:
        home: an empty folder.
    """
    from prefect.server.database import provide_database_interface
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, temporary_settings

    file = home / "prefect.db"
    with temporary_settings({PREFECT_API_DATABASE_CONNECTION_URL: f"sqlite+aiosqlite:///{file}"}):
        asyncio.run(provide_database_interface().create_db())
    connection = sqlite3.connect(file)
    statements = "\n".join(connection.iterdump())
    connection.close()
    return f"{statements}\n"


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        STATEMENTS.write_text(dump_migrated(Path(folder)), encoding="utf-8")
