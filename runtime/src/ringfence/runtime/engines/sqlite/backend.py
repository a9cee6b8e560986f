"""The SQLite backend: a file, a fair queue of writers, and an authorizer in place of accounts."""

import contextlib
import os
import random
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote as url_quote

from ringfence.runtime import errors
from ringfence.runtime.engines.base import Limits, Mode, StatementContext
from ringfence.runtime.engines.relations import double_quoted, on_conflict, probes, relation_of
from ringfence.runtime.engines.sqlite.authorizer import Authorizer
from ringfence.runtime.engines.sqlite.codecs import CODECS, QUOTE, to_driver
from ringfence.runtime.engines.sqlite.connection import Connection
from ringfence.runtime.engines.sqlite.errors import Refused, commit_error, connect_error, translate
from ringfence.runtime.engines.sqlite.features import FEATURES
from ringfence.runtime.engines.sqlite.functions import install
from ringfence.runtime.engines.sqlite.row_security import Scopes
from ringfence.runtime.engines.sqlite.streaming import Stepping
from ringfence.runtime.engines.sqlite.writer_queue import writer_queue_for
from ringfence.runtime.mirror import Mirror, Table
from ringfence.runtime.settings import Host, Settings
from ringfence.runtime.values.codecs import Make, Quote

BUSY_SECONDS = 30.0
_BUSY_STEP = 200  # ms


class SQLite:
    """The backend for one file.

    It guards honest code, not a hostile process: any process that can open the file can read all of it.
    """

    features = FEATURES
    to_driver = staticmethod(to_driver)
    driver_error: type[Exception] = sqlite3.Error

    def __init__(self, settings: Settings, mirror: Mirror) -> None:
        self.codecs: Mapping[str, Make] = CODECS
        self._mirror = mirror
        self._path = Path(settings.name).absolute()
        self._name = str(self._path)
        self._writer_queue = writer_queue_for(self._path)
        self._scopes = Scopes(mirror)

    def hosts(self) -> tuple[Host | None, ...]:
        """Return a single None: there is no address."""
        return (None,)

    def connect(self, host: Host | None, user: str | None, secret: str | None) -> Any:
        """Return a connection in WAL mode with foreign keys on, restricted by the mirror; the file must exist.

        Raises:
            Unavailable: when there is no such file, or it is no database.
        """
        uri = f"file:{url_quote(str(self._path))}?mode=rw"
        connection: Connection | None = None
        try:
            connection = sqlite3.connect(
                uri,
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=0,  # the authorizer is not called again for a cached statement
                timeout=BUSY_SECONDS,
                factory=Connection,
            )
            connection.file = self._file()
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            install(connection)
            self._install_row_security(connection)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if not isinstance(error, sqlite3.Error):
                raise
            raise connect_error(error, self._path) from error
        return connection

    def _install_row_security(self, connection: Connection) -> None:
        """Set the authorizer, and create the views and guard triggers of the scoped tables that exist."""
        connection.set_authorizer(None)
        made = connection.authorizer.secured if connection.scopes_incomplete else ()
        authorizer = Authorizer(self._mirror, connection, self._scopes)
        authorizer.secured = self._scopes.build(connection, made)
        connection.scopes_incomplete = authorizer.secured != self._scopes.tables.keys()
        connection.create_function("ringfence_scope", 1, authorizer.scope, deterministic=True)
        connection.create_function("ringfence_guard", 2, authorizer.guard)
        connection.authorizer = authorizer
        connection.set_authorizer(authorizer)

    def close(self, connection: Any) -> None:
        """Close the connection; never raises a driver's error."""
        with contextlib.suppress(sqlite3.Error):  # the connection is broken, and is closed anyway
            # A cursor still referenced elsewhere keeps the closed connection alive, with the lock of its transaction.
            connection.set_authorizer(None)
            connection.rollback()
        connection.end_turn()
        with contextlib.suppress(sqlite3.Error):
            connection.close()

    def abort(self, connection: Any) -> None:
        """Close the connection: there is no server."""
        self.close(connection)

    def alive(self, connection: Any) -> bool:
        """Return whether the connection is usable: there is no server."""
        return self.usable(connection)

    def usable(self, connection: Any) -> bool:
        """Return False if the file proved to be no database, or its path now leads to another file or to none."""
        return not connection.broken and connection.file == self._file()

    def _file(self) -> tuple[int, int] | None:
        """Return device and inode number, as another file may have replaced the opened one; None without a file."""
        try:
            found = os.stat(self._name)  # noqa: PTH116  # runs at each checkout, and a Path takes twice as long
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def quote(self, connection: Any | None) -> Quote:
        """Return the quoting, which is the same for all connections."""
        return QUOTE

    def quote_name(self, name: str) -> str:
        """Return an identifier in double quotes."""
        return double_quoted(name)

    def relation(self, table: Table, verb: str) -> str:
        """Return the table's plain name for reads, which may mean the connection's view, see `row_security`."""
        behind = self._scopes.relation(table, verb)
        return behind or relation_of(table, verb, ("sqlite",), self.quote_name)

    def restriction(self, table: Table, verb: str, name: str) -> str | None:
        """Return the scope's condition: no server adds it here."""
        return self._scopes.restriction(table, verb, name)

    def json_equals(self, left: str, right: str) -> str:
        """Return a call of our SQL function."""
        return f"ringfence_same_json({left}, {right})"

    def next_value(self, schema: str | None, sequence: str) -> str | None:
        """Return None: SQLite has no sequences."""
        return None

    def last_value(self, schema: str | None, sequence: str) -> str | None:
        """Return None: SQLite has no sequences."""
        return None

    def sequence_privilege_probe(self, schema: str | None, sequence: str) -> str | None:
        """Return None: SQLite has no sequences."""
        return None

    def returns_keys(self, table: Table) -> bool:
        """Return True."""
        return True

    def upsert(
        self, key: Sequence[str], sets: Sequence[str], *, only_conflict: bool, readable: bool, updatable: bool
    ) -> str | None:
        """Return ON CONFLICT; naming the key requires the right to read it, as on PostgreSQL."""
        return on_conflict(key, sets, only_conflict=only_conflict, readable=readable)

    def upsert_returns(self, *, updatable: bool) -> bool:
        """Return True."""
        return True

    def typed_null(self, relation: str, column: str) -> str | None:
        """Return None: the value is converted to the column's type."""
        return None

    def opening(self, mode: Mode) -> str | None:
        """Return None: this driver sends one statement at a time."""
        return None

    def begin(self, connection: Any, mode: Mode) -> None:
        """Begin a transaction; a writer waits for its turn and takes the write lock at once, so it cannot fail later.

        Raises:
            Timeout: when the session's timeout passes, or it is cancelled.
            Conflict: when the turn does not come within `BUSY_SECONDS`.
        """
        connection.cancelled.clear()
        if connection.scopes_incomplete:
            self._install_row_security(connection)
        if mode.read_only:
            connection.run_internal("BEGIN")
            return
        limit = BUSY_SECONDS if mode.timeout is None else mode.timeout
        until = time.monotonic() + limit
        connection.turn = self._writer_queue  # set before `enter`, as an exception can be raised at any point
        try:
            if not self._writer_queue.enter(connection, limit, connection.cancelled):
                raise self._no_turn(connection, mode, limit)
            while not self._locked(connection):
                if time.monotonic() > until or connection.cancelled.is_set():
                    raise self._no_turn(connection, mode, limit)
        except BaseException:
            connection.end_turn()
            raise

    def _locked(self, connection: Connection) -> bool:
        """Try briefly to take the write lock, which another process may hold, so that a cancelled session can end."""
        connection.run_internal(f"PRAGMA busy_timeout = {_BUSY_STEP}")
        try:
            connection.run_internal("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(random.uniform(0, 0.005))
            return False
        finally:
            connection.run_internal(f"PRAGMA busy_timeout = {round(BUSY_SECONDS * 1000)}")
        return True

    def _no_turn(self, connection: Connection, mode: Mode, limit: float) -> errors.RingfenceError:
        if connection.cancelled.is_set():
            return errors.Timeout("the session was cancelled while it waited for its turn to write")
        kind = errors.Conflict if mode.timeout is None else errors.Timeout
        return kind(f"{self._path}: no turn to write within {limit:g} s")

    def unbind(self, connection: Any) -> None:
        """Do nothing: the next session's scopes replace these."""

    def commit(self, connection: Any) -> None:
        """Send COMMIT, and let the next writer in.

        Raises:
            Unavailable: when the disk is full; nothing is stored.
            CommitUnknown: when the disk fails.
        """
        try:
            connection.run_internal("COMMIT")
        except sqlite3.Error as error:
            translated = commit_error(error, self._path)
            if translated is None:
                raise
            raise translated from error
        connection.end_turn()

    def rollback(self, connection: Any) -> None:
        """Send ROLLBACK unless SQLite has rolled back already, and let the next writer in."""
        try:
            if connection.in_transaction:
                connection.run_internal("ROLLBACK")
        finally:
            connection.end_turn()

    def in_transaction(self, connection: Any) -> bool:
        """Return SQLite's transaction state."""
        return bool(connection.in_transaction)

    def control(self, connection: Any, sql: str) -> None:
        """Run a statement of the session itself, without the authorizer."""
        connection.run_internal(sql)

    def statement(self, sql: str, mode: Mode) -> str:
        """Return the statement unchanged."""
        return sql

    def execute(self, connection: Any, cursor: Any, sql: str, parameters: Any, mode: Mode) -> None:
        """Run one statement under the authorizer, within its time limit.

        Raises:
            Refused: when the authorizer refuses it.
        """
        authorizer = connection.authorizer
        authorizer.start(sql, mode)
        connection.limit(mode.timeout)
        cursor.sent = sql, parameters or ()
        try:
            cursor.execute(sql, parameters or ())
        except sqlite3.Error as error:
            if _code(error) == sqlite3.SQLITE_AUTH or authorizer.refusal is not None:
                raise Refused(authorizer) from error
            if _code(error) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_IOERR):
                connection.broken = True
            raise

    def stream(self, connection: Any, mode: Mode, number: int) -> Stepping:
        """Return a select that is stepped through."""
        return Stepping(connection, mode)

    def cancel(self, connection: Any) -> bool:
        """Call sqlite3_interrupt, and end the wait for a turn."""
        connection.cancelled.set()
        self._writer_queue.wake()
        with contextlib.suppress(sqlite3.Error):  # already closed: no statement runs
            connection.interrupt()
        return True

    def shut_down_socket(self, connection: Any) -> None:
        """Do nothing: there is no network."""

    def recently_unresponsive(self, host: Host | None) -> bool:
        """Return False: there is no host."""
        return False

    def translate(self, error: Exception, context: StatementContext) -> errors.RingfenceError:
        """Return the RingfenceError for the extended error code."""
        return translate(error, context, self._mirror)

    def take_swallowed_exception(self, connection: Any) -> BaseException | None:
        """Return and forget an exception raised in the authorizer or the progress handler."""
        swallowed: BaseException | None = connection.authorizer.swallowed or connection.swallowed
        connection.authorizer.swallowed = connection.swallowed = None
        return swallowed

    def check_ready(self, connection: Any) -> None:
        """Do nothing: a file that opens is ready."""

    def probes(self, verb: str, relation: str, columns: Sequence[str]) -> list[str]:
        """Return statements for reads only; for writes, the mirror alone decides here."""
        return probes(verb, relation, columns) if verb == "select" else []

    def readable(
        self, connection: Any, error: Exception, relation: str, columns: Sequence[str]
    ) -> bool | None:
        """Return True unless the message means a missing object: the authorizer is called before anything runs."""
        return None if str(error).startswith("no such ") else True

    def why_not_found(self, connection: Any, name: str) -> str | None:
        """Return None: there is one schema."""
        return None

    def column_leak(self) -> str | None:
        """Return None: it cannot."""
        return None

    def row_leak(self) -> str | None:
        """Return None: the scope guards honest code only."""
        return None

    def can_alter(self, connection: Any) -> str | None:
        """Return None: the authorizer refuses every DDL statement."""
        return None

    def connection_limits(self, connection: Any) -> Limits:
        """Return no limits: a file has none."""
        return Limits()

    def flavour(self) -> str:
        """Return sqlite."""
        return "sqlite"


def _code(error: sqlite3.Error) -> int:
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA recursive_triggers = ON",  # so that REPLACE fires the guard triggers
    "PRAGMA temp_store = MEMORY",  # it holds only the temporary views and triggers
    "PRAGMA case_sensitive_like = ON",  # as on PostgreSQL
)
