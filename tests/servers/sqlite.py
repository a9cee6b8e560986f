"""SQLite databases: files in a temporary folder of their own."""

import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from servers.base import Server


def create(server: "Server", name: str) -> str:
    """Make a folder for the file and return the file's path; SQLite makes the file itself."""
    return str(Path(tempfile.mkdtemp(prefix="ringfence-sqlite-")) / f"{name}.sqlite")


def connect(server: "Server", name: str, user: str, password: str, node: int) -> Any:
    """Open the file; there are no accounts to log in to."""
    connection = sqlite3.connect(name, isolation_level=None, timeout=10)
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def clone(server: "Server", name: str, copy: str) -> str:
    """Copy the file, after what waits in its write-ahead log was brought into it; returns the copy's path."""
    connection = sqlite3.connect(name, isolation_level=None)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    path = create(server, copy)
    shutil.copyfile(name, path)
    return path


def empty(server: "Server", name: str, prefix: str) -> None:
    """Delete every row; there are no accounts."""
    connection = sqlite3.connect(name, isolation_level=None, timeout=10)
    try:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        ).fetchall()
        connection.execute("BEGIN IMMEDIATE")
        for (table,) in tables:
            connection.execute(f'DELETE FROM "{table}"')
        connection.execute("COMMIT")
    finally:
        connection.close()


def fingerprint(server: "Server", name: str) -> object:
    """What the schema is, as far as a test may have changed it."""
    connection = sqlite3.connect(name)
    try:
        return connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
    finally:
        connection.close()


def drop(server: "Server", name: str, prefix: str) -> None:
    """Remove the file and its folder."""
    shutil.rmtree(Path(name).parent, ignore_errors=True)
