"""How big a Prefect server's SQLite database is."""

import sqlite3
from contextlib import closing
from pathlib import Path

__all__ = ["database_bytes"]


def database_bytes(home: Path) -> int:
    """All pages of the database in a ``PREFECT_HOME``, those that are still in its write-ahead log included."""
    with closing(sqlite3.connect(home / "prefect.db", timeout=60)) as connection:
        asked = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        return int(connection.execute(asked).fetchone()[0])
