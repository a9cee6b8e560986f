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

import ringfence.schema.engines.sqlite.rebuild  # noqa: F401  # Alembic takes what it defines for SQLite
from ringfence.runtime.errors import NotReady
from ringfence.runtime.settings import Secret, Settings
from ringfence.schema.engines.base import Findings, Held, Identity, Say, Statement
from ringfence.schema.engines.ddl_attempts import NEW, Try, taken_back
from ringfence.schema.engines.sqlite.introspection import SQLiteCatalog
from ringfence.schema.engines.sqlite.reflection import SQLiteTranslator
from ringfence.schema.rendering.table_parts import Translator
from ringfence.schema.state.columns import ColumnPath

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

_POLL = 0.2
_BUSY = 30_000  # milliseconds that a statement waits for another connection's transaction


def identify(connection: sa.Connection) -> Identity:
    """The library's version, once the file was read: what is no database is known by nothing else."""
    connection.exec_driver_sql("PRAGMA schema_version")
    return Identity("sqlite", str(connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()))


def _nothing_bound(name: str) -> None:
    """What the admin's sessions bind."""


class SQLite:
    """One database file."""

    transactional_ddl = True
    accounts = None

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self.settings = settings
        self.identity = identity
        self.catalog = SQLiteCatalog()

    def translator(self, connection: sa.Connection) -> Translator:
        """See Backend."""
        return SQLiteTranslator()

    def url(self) -> sa.URL:
        """The file, through Python's own driver."""
        return sa.URL.create("sqlite+pysqlite", database=self.settings.name)

    def engine(self, *, migrating: bool = False) -> sa.Engine:
        """See Backend.

        The driver begins no transaction before DDL by itself, so they are begun here. Foreign keys can be switched
        only outside a transaction; when they are on, dropping the old table of a rebuild deletes its children's rows.
        """
        engine = sa.create_engine(self.url(), poolclass=NullPool, hide_parameters=True)

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, record: object) -> None:
            connection.isolation_level = None
            connection.execute(f"PRAGMA busy_timeout = {_BUSY}")
            if migrating:  # it is written into the file, which what only looks leaves alone
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA foreign_keys = {'OFF' if migrating else 'ON'}")
            # The runtime's function, which views may call: ALTER TABLE and a SELECT of theirs look it up.
            connection.create_function("ringfence_scope", 1, _nothing_bound, deterministic=True)

        @event.listens_for(engine, "begin")
        def begin(connection: sa.Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if migrating else "BEGIN")

        return engine

    def login_works(self, login: str, password: Secret) -> bool:
        """Never asked: there are no accounts."""
        return False

    def preflight(self, connection: sa.Connection, deployment: "Deployment") -> Findings:
        """See Backend."""
        found = Findings()
        path = Path(self.settings.name)
        if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
            found.errors.append(
                f"{path} and its folder must be writable: SQLite keeps its journal beside the file"
            )
        return found

    @contextlib.contextmanager
    def lock(self, *, patience: float, say: Say) -> Iterator[Held]:
        """See Backend. The system takes the lock of a file back when the process ends, however that ends."""
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
        """See Backend."""
        rows = connection.exec_driver_sql(
            "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c"
            " WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        )
        return frozenset((None, table, column) for table, column in rows)

    def drop_routines(self, connection: sa.Connection) -> list[str]:
        """Nothing: a function belongs to a connection here."""
        return []

    def without_rollback(self, connection: sa.Connection) -> frozenset[tuple[str | None, str]]:
        """None."""
        return frozenset()

    def broken_references(self, connection: sa.Connection) -> Mapping[str, int]:
        """See Backend: nothing checks foreign keys while they are switched off for a migration.

        A table whose foreign key refers to columns that are not unique cannot be checked: the models have none such.
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

    def circumstances(self, connection: sa.Connection) -> Findings:
        """See Backend."""
        return Findings()

    def disagreeing(
        self, connection: sa.Connection, schemas: Collection[str | None]
    ) -> tuple[list[str], list[str]]:
        """See Backend. There is one file."""
        return [], []

    def session_of(self, connection: sa.Connection) -> str:
        """See Backend. What runs, runs in its process, and ends with it."""
        return ""

    def runs(self, session: str) -> bool:
        """See Backend."""
        return False

    def be_patient(self, connection: sa.Connection, seconds: float) -> None:
        """See Backend. A writer waits when it begins, and readers are never in its way."""

    def waited(self, error: sa.exc.DBAPIError) -> bool:
        """See Backend."""
        return "database is locked" in str(error.orig)

    def in_the_way(self, connection: sa.Connection) -> list[str]:
        """See Backend. There is no list of who has the file open."""
        return []

    def half_made(self, connection: sa.Connection, schema: str | None, index: str) -> Statement | None:
        """See Backend: a statement happens, or not."""
        return None

    def ddl_tries(self, tables: Sequence[tuple[str, str]], there: str) -> Iterator[Try]:
        """See Backend. The body of a trigger ends in END, which a session refuses before SQLite sees it."""
        yield from taken_back(tables)
        for key, _ in tables:
            yield "create index", key, f'CREATE INDEX main.{NEW} ON "{key}" ((1))'

    def refused(self, error: sa.exc.DBAPIError) -> str | None:
        """See Backend. A missing folder, or a file that is no database, stays so."""
        folder = Path(self.settings.name).parent
        if not folder.is_dir():
            return f"there is no folder {folder}"
        return None if "locked" in str(error.orig) else str(error.orig)


class _Lock:
    def guard(self, connection: sa.Connection) -> None:
        """The lock of a file is not taken over while the process lives."""

    def check(self) -> None:
        """The lock of a file is not lost while the process lives."""


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


KINDS = {"sqlite": SQLite}
