"""SQLite: one file, no accounts; the runtime enforces the manifest from the mirror."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import NullPool

import ringfence.schema.engines.sqlite.rebuild  # noqa: F401  # registers Alembic's implementation for SQLite
from ringfence.runtime.settings import Secret, Settings
from ringfence.schema.engines.base import Findings, Identity, Server
from ringfence.schema.engines.single_server import SingleServer
from ringfence.schema.engines.sqlite.ddl import SQLiteDDL
from ringfence.schema.engines.sqlite.introspection import SQLiteIntrospection
from ringfence.schema.engines.sqlite.sessions import SQLiteLocks, SQLiteSessions
from ringfence.schema.features.sqlite import FEATURES

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

_BUSY = 30_000  # milliseconds that a statement waits for another connection's transaction


def identify(connection: sa.Connection) -> Identity:
    """Return the version of the SQLite library.

    The file is read first: SQLite reports a file that is not a database only then.
    """
    connection.exec_driver_sql("PRAGMA schema_version")
    return Identity("sqlite", str(connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()))


def _nothing_bound(name: str) -> None:
    """Return NULL as the value of every name: the admin's sessions bind none."""


class SQLiteChecks:
    """The checks of one database file.

    Args:
        server: the database.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def admin(self, connection: sa.Connection, deployment: "Deployment") -> Findings:
        """Check that the file and its folder are writable."""
        found = Findings()
        path = Path(self._server.settings.name)
        if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
            found.errors.append(
                f"{path} and its folder must be writable: SQLite keeps its journal beside the file"
            )
        return found

    def environment(self, connection: sa.Connection) -> Findings:
        """Find nothing: a file has no sessions, pooler or cluster to check."""
        return Findings()


class SQLite:
    """One database file."""

    features = FEATURES
    accounts = None

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self.settings = settings
        self.identity = identity
        self.checks = SQLiteChecks(self)
        self.locks = SQLiteLocks(self)
        self.sessions = SQLiteSessions()
        self.introspection = SQLiteIntrospection()
        self.ddl = SQLiteDDL()
        self.nodes = SingleServer()

    def url(self) -> sa.URL:
        """Return the address of the file for Python's own driver."""
        return sa.URL.create("sqlite+pysqlite", database=self.settings.name)

    def engine(self, *, migrating: bool = False) -> sa.Engine:
        """Return an engine that opens the file anew for each connection.

        The driver begins no transaction before DDL, so the engine begins each one itself. Foreign keys can be switched
        only outside a transaction; while they are on, dropping the old table of a rebuild deletes the rows that refer
        to it.
        """
        engine = sa.create_engine(self.url(), poolclass=NullPool, hide_parameters=True)

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, record: object) -> None:
            connection.isolation_level = None
            connection.execute(f"PRAGMA busy_timeout = {_BUSY}")
            if migrating:  # the mode is stored in the file, which a command that only reads must not change
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA foreign_keys = {'OFF' if migrating else 'ON'}")
            # The runtime's function, which views may call: ALTER TABLE, and SELECT from such a view, fail without it.
            connection.create_function("ringfence_scope", 1, _nothing_bound, deterministic=True)

        @event.listens_for(engine, "begin")
        def begin(connection: sa.Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if migrating else "BEGIN")

        return engine

    def login_works(self, login: str, password: Secret) -> bool:
        """Return False; it is never called, because SQLite has no accounts."""
        return False

    def permanent_failure(self, error: sa.exc.DBAPIError) -> str | None:
        """Return the reason unless the database is locked: a missing folder or a file that is no database remains."""
        folder = Path(self.settings.name).parent
        if not folder.is_dir():
            return f"there is no folder {folder}"
        return None if "locked" in str(error.orig) else str(error.orig)


KINDS = {"sqlite": SQLite}
