"""SQLite: one file, no accounts; the runtime enforces the manifest from the mirror."""

import contextlib
import fcntl
import os
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import NullPool

import ringfence.schema.engines.sqlite.rebuild  # noqa: F401  # registers Alembic's implementation for SQLite
from ringfence.runtime.errors import NotReady
from ringfence.runtime.settings import Secret, Settings
from ringfence.schema.engines.base import Findings, HeldLock, Identity, Statement
from ringfence.schema.engines.ddl_attempts import NEW, Attempt, taken_back
from ringfence.schema.engines.sqlite.introspection import SQLiteCatalog
from ringfence.schema.engines.sqlite.reflection import SQLiteTranslator
from ringfence.schema.rendering.table_parts import Translator
from ringfence.schema.state.columns import ColumnPath
from ringfence.schema.text import Say

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

_POLL = 0.2
_BUSY = 30_000  # milliseconds that a statement waits for another connection's transaction


def identify(connection: sa.Connection) -> Identity:
    """Return the version of the SQLite library.

    The file is read first: SQLite reports a file that is not a database only then.
    """
    connection.exec_driver_sql("PRAGMA schema_version")
    return Identity("sqlite", str(connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()))


def _nothing_bound(name: str) -> None:
    """Return NULL as the value of every name: the admin's sessions bind none."""


class SQLite:
    """One database file."""

    transactional_ddl = True
    accounts = None

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self.settings = settings
        self.identity = identity
        self.catalog = SQLiteCatalog()

    def translator(self, connection: sa.Connection) -> Translator:
        """Return the translator from SQLite's catalog to the source of models."""
        return SQLiteTranslator()

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

    def preflight(self, connection: sa.Connection, deployment: "Deployment") -> Findings:
        """Check that the file and its folder are writable."""
        found = Findings()
        path = Path(self.settings.name)
        if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
            found.errors.append(
                f"{path} and its folder must be writable: SQLite keeps its journal beside the file"
            )
        return found

    @contextlib.contextmanager
    def lock(self, *, patience: float, say: Say) -> Iterator[HeldLock]:
        """Take the lock of a file beside the database; the operating system releases it when the process ends."""
        path = Path(f"{self.settings.name}.ringfence-lock")
        with path.open("w") as file:
            deadline = time.monotonic() + patience
            told = False
            while not _taken(file.fileno()):
                if not told:
                    say("another job holds the lock of this database; waiting for it")
                    told = True
                if time.monotonic() > deadline:
                    raise NotReady(f"another job has held {path} for {patience:g} s", "locked")
                time.sleep(_POLL)
            yield _Lock()

    def columns(self, connection: sa.Connection) -> frozenset[ColumnPath]:
        """Read the columns of every table and view of the main database."""
        rows = connection.exec_driver_sql(
            "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c"
            " WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        )
        return frozenset((None, table, column) for table, column in rows)

    def drop_standalone_objects(self, connection: sa.Connection) -> list[str]:
        """Return nothing: a function belongs to a connection, and not to the database."""
        return []

    def without_rollback(self, connection: sa.Connection) -> frozenset[tuple[str | None, str]]:
        """Return no table: a rollback undoes every change."""
        return frozenset()

    def broken_references(self, connection: sa.Connection) -> Mapping[str, int]:
        """Count them for every table: SQLite checks no foreign key while they are switched off for a migration.

        A table whose foreign key refers to columns that are not unique cannot be checked, and is left out; the models
        have no such foreign key.
        """
        broken: Counter[str] = Counter()
        quote = connection.dialect.identifier_preparer.quote
        for table in sa.inspect(connection).get_table_names():
            try:
                rows = connection.exec_driver_sql(f"PRAGMA foreign_key_check({quote(table)})").all()
            except sa.exc.OperationalError as error:
                if "foreign key mismatch" not in str(error.orig):
                    raise
            else:
                broken.update(row[0] for row in rows)
        return broken

    def check_environment(self, connection: sa.Connection) -> Findings:
        """Find nothing: a file has no sessions, pooler or cluster to check."""
        return Findings()

    def compare_nodes(
        self, connection: sa.Connection, schemas: Collection[str | None]
    ) -> tuple[list[str], list[str]]:
        """Return nothing: there is one file."""
        return [], []

    def session_of(self, connection: sa.Connection) -> str:
        """Return an empty text: a statement runs in the client's process, and ends with it."""
        return ""

    def session_is_busy(self, session: str) -> bool:
        """Return False: a statement ends with the process that runs it."""
        return False

    def set_lock_timeout(self, connection: sa.Connection, seconds: float) -> None:
        """Do nothing: a writer waits when its transaction begins, and readers do not block it."""

    def is_lock_conflict(self, error: sa.exc.DBAPIError) -> bool:
        """Return whether SQLite reported that the database is locked."""
        return "database is locked" in str(error.orig)

    def long_transactions(self, connection: sa.Connection) -> list[str]:
        """Return nothing: SQLite keeps no list of the connections to a file."""
        return []

    def drop_incomplete_index(
        self, connection: sa.Connection, schema: str | None, index: str
    ) -> Statement | None:
        """Return None: each statement is atomic."""
        return None

    def ddl_attempts(self, tables: Sequence[tuple[str, str]], there: str) -> Iterator[Attempt]:
        """Yield DDL that a rollback would undo.

        CREATE TRIGGER is left out: its body ends in END, which a session refuses before SQLite receives it.
        """
        yield from taken_back(tables)
        for key, _ in tables:
            yield "create index", key, f'CREATE INDEX main.{NEW} ON "{key}" ((1))'

    def permanent_failure(self, error: sa.exc.DBAPIError) -> str | None:
        """Return the reason unless the database is locked: a missing folder or a file that is no database remains."""
        folder = Path(self.settings.name).parent
        if not folder.is_dir():
            return f"there is no folder {folder}"
        return None if "locked" in str(error.orig) else str(error.orig)


class _Lock:
    """The lock of the file while it is held."""

    def register_session(self, connection: sa.Connection) -> None:
        """Do nothing: no other job can take the lock of a file over while this process lives."""

    def check(self) -> None:
        """Do nothing: the lock of a file is not lost while this process lives."""


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


KINDS = {"sqlite": SQLite}
