"""SQLite: a file, a fair queue of writers, and an authorizer in place of accounts."""

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
from ringfence.runtime.engines.base import Doing, Limits, Mode
from ringfence.runtime.engines.probes import probes
from ringfence.runtime.engines.relations import relation_of
from ringfence.runtime.engines.sqlite.authorizer import Authorizer
from ringfence.runtime.engines.sqlite.codecs import CODECS, QUOTE, sent
from ringfence.runtime.engines.sqlite.connection import Connection
from ringfence.runtime.engines.sqlite.errors import Refused, commit_error, connect_error, translate
from ringfence.runtime.engines.sqlite.functions import install
from ringfence.runtime.engines.sqlite.row_security import Scopes
from ringfence.runtime.engines.sqlite.streaming import Stepping
from ringfence.runtime.engines.sqlite.writer_queue import turnstile_for
from ringfence.runtime.mirror import Mirror, Table
from ringfence.runtime.settings import Host, Settings
from ringfence.runtime.values.codecs import Make, Quote

BUSY_SECONDS = 30.0
_BUSY_STEP = 200  # ms


class SQLite:
    """One file. It guards honest code, not a hostile process: whoever may open the file may read all of it."""

    paramstyle = "qmark"
    interruptible = False
    survives_fork = False  # its locks belong to a process, and it keeps its own count of them
    local_settings_end = True  # there are none
    replaces = True
    drawing_insert: str | None = None
    sent = staticmethod(sent)
    driver_error: type[Exception] = sqlite3.Error

    def __init__(self, settings: Settings, mirror: Mirror) -> None:
        self.codecs: Mapping[str, Make] = CODECS
        self._mirror = mirror
        self._path = Path(settings.name).absolute()
        self._name = str(self._path)
        self._turnstile = turnstile_for(self._path)
        self._scopes = Scopes(mirror)

    def hosts(self) -> tuple[Host | None, ...]:
        """No address: a file."""
        return (None,)

    def connect(self, host: Host | None, user: str | None, secret: str | None) -> Any:
        """A connection in WAL mode with foreign keys on, fenced by the mirror; the file must exist.

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
                cached_statements=0,  # a cached statement is not shown to the authorizer again
                timeout=BUSY_SECONDS,
                factory=Connection,
            )
            connection.file = self._file()
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            install(connection)
            self._fence(connection)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if not isinstance(error, sqlite3.Error):
                raise
            raise connect_error(error, self._path) from error
        return connection

    def _fence(self, connection: Connection) -> None:
        """Set the authorizer, with the views and guards of the scoped tables that are there."""
        connection.set_authorizer(None)
        made = connection.authorizer.fenced if connection.unfenced else ()
        authorizer = Authorizer(self._mirror, connection, self._scopes)
        authorizer.fenced = self._scopes.build(connection, made)
        connection.unfenced = authorizer.fenced != self._scopes.tables.keys()
        connection.create_function("ringfence_scope", 1, authorizer.scope, deterministic=True)
        connection.create_function("ringfence_guard", 2, authorizer.guard)
        connection.authorizer = authorizer
        connection.set_authorizer(authorizer)

    def close(self, connection: Any) -> None:
        """Close for good; never raises."""
        with contextlib.suppress(sqlite3.Error):  # it was broken, which is why it is closed
            # A cursor that somebody still has keeps what is closed alive, and with it the lock of its transaction.
            connection.set_authorizer(None)
            connection.rollback()
        connection.end_turn()
        with contextlib.suppress(sqlite3.Error):
            connection.close()

    def abort(self, connection: Any) -> None:
        """Close it: there is no server."""
        self.close(connection)

    def alive(self, connection: Any) -> bool:
        """There is no server that could have gone away."""
        return self.usable(connection)

    def usable(self, connection: Any) -> bool:
        """Unless the file proved to be no database, or its path leads to another one, or to none any more."""
        return not connection.broken and connection.file == self._file()

    def _file(self) -> tuple[int, int] | None:
        """What tells the file from others of that path; who has it open may write to it, when nobody else can."""
        try:
            found = os.stat(self._name)  # noqa: PTH116  # at each checkout: a Path takes twice as long
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def quote(self, connection: Any | None) -> Quote:
        """SQLite's literals know one escape only."""
        return QUOTE

    def quote_name(self, name: str) -> str:
        """An identifier in double quotes."""
        return '"' + name.replace('"', '""') + '"'

    def relation(self, table: Table, verb: str) -> str:
        """The table's plain name for reads, which may mean a view of the connection's own; see `sqlite_scopes`."""
        behind = self._scopes.relation(table, verb)
        return behind or relation_of(table, verb, ("sqlite",), self.quote_name)

    def restriction(self, table: Table, verb: str, name: str) -> str | None:
        """The scope: nobody else adds it here."""
        return self._scopes.restriction(table, verb, name)

    def same_json(self, left: str, right: str) -> str:
        """By a function of ours."""
        return f"ringfence_same_json({left}, {right})"

    def next_value(self, schema: str | None, sequence: str) -> str | None:
        """None: SQLite has no sequences, and counts up INTEGER keys."""
        return None

    def last_value(self, schema: str | None, sequence: str) -> str | None:
        """None, too."""
        return None

    def draw_nothing(self, schema: str | None, sequence: str) -> str | None:
        """None, too."""
        return None

    def returns_keys(self, table: Table) -> bool:
        """It may."""
        return True

    def upsert(
        self, key: Sequence[str], sets: Sequence[str], *, alone: bool, readable: bool, updatable: bool
    ) -> str | None:
        """ON CONFLICT; the authorizer is asked for the key that is named, as PostgreSQL asks."""
        if not readable:
            return "ON CONFLICT DO NOTHING" if alone and not sets else None
        return f"ON CONFLICT ({', '.join(key)}) DO " + (
            f"UPDATE SET {', '.join(sets)}" if sets else "NOTHING"
        )

    def upsert_returns(self, *, updatable: bool) -> bool:
        """It may."""
        return True

    def typed_null(self, relation: str, column: str) -> str | None:
        """None: a column makes what is stored its own."""
        return None

    def opening(self, mode: Mode) -> str | None:
        """None: this driver sends one statement at a time."""
        return None

    def begin(self, connection: Any, mode: Mode) -> None:
        """BEGIN for a reader; a writer takes its turn and the write lock at once, so that it cannot fail half-way."""
        connection.cancelled.clear()
        if connection.unfenced:
            self._fence(connection)
        if mode.read_only:
            connection.own("BEGIN")
            return
        limit = BUSY_SECONDS if mode.timeout is None else mode.timeout
        until = time.monotonic() + limit
        connection.turn = self._turnstile  # before it is: an exception may come at any point
        try:
            if not self._turnstile.enter(connection, limit, connection.cancelled):
                raise self._no_turn(connection, mode, limit)
            while not self._locked(connection):
                if time.monotonic() > until or connection.cancelled.is_set():
                    raise self._no_turn(connection, mode, limit)
        except BaseException:
            connection.end_turn()
            raise

    def _locked(self, connection: Connection) -> bool:
        """Try for the write lock, which another process may hold, for a moment only: a cancelled session must end."""
        connection.own(f"PRAGMA busy_timeout = {_BUSY_STEP}")
        try:
            connection.own("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(random.uniform(0, 0.005))
            return False
        finally:
            connection.own(f"PRAGMA busy_timeout = {round(BUSY_SECONDS * 1000)}")
        return True

    def _no_turn(self, connection: Connection, mode: Mode, limit: float) -> errors.RingfenceError:
        if connection.cancelled.is_set():
            return errors.Timeout("the session was cancelled while it waited for its turn to write")
        kind = errors.Conflict if mode.timeout is None else errors.Timeout
        return kind(f"{self._path}: no turn to write within {limit:g} s")

    def unbind(self, connection: Any) -> None:
        """Nothing: the next session's scopes take their place."""

    def commit(self, connection: Any) -> None:
        """COMMIT, and let the next writer in. Raises Unavailable and CommitUnknown for a disk that is full or fails."""
        try:
            connection.own("COMMIT")
        except sqlite3.Error as error:
            translated = commit_error(error, self._path)
            if translated is None:
                raise
            raise translated from error
        connection.end_turn()

    def rollback(self, connection: Any) -> None:
        """ROLLBACK, unless SQLite did so by itself, and let the next writer in."""
        try:
            if connection.in_transaction:
                connection.own("ROLLBACK")
        finally:
            connection.end_turn()

    def in_transaction(self, connection: Any) -> bool:
        """As SQLite says."""
        return bool(connection.in_transaction)

    def control(self, connection: Any, sql: str) -> None:
        """Run a statement of the session itself, past the authorizer."""
        connection.own(sql)

    def statement(self, sql: str, mode: Mode) -> str:
        """As it is."""
        return sql

    def execute(self, connection: Any, cursor: Any, sql: str, parameters: Any, mode: Mode) -> None:
        """Run one statement under the authorizer, within its time limit."""
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
        """A select that is stepped through."""
        return Stepping(connection, mode)

    def cancel(self, connection: Any) -> bool:
        """sqlite3_interrupt, and the end of its waiting."""
        connection.cancelled.set()
        self._turnstile.wake()
        with contextlib.suppress(sqlite3.Error):  # closed already: nothing runs on it
            connection.interrupt()
        return True

    def sever(self, connection: Any) -> None:
        """Nothing: a file does not keep silent."""

    def silent(self, host: Host | None) -> bool:
        """Never."""
        return False

    def translate(self, error: Exception, doing: Doing) -> errors.RingfenceError:
        """By extended error code."""
        return translate(error, doing, self._mirror)

    def dropped(self, connection: Any) -> BaseException | None:
        """What came while SQLite asked the authorizer, or looked at the clock."""
        dropped: BaseException | None = connection.authorizer.dropped or connection.dropped
        connection.authorizer.dropped = connection.dropped = None
        return dropped

    def stages(self, connection: Any) -> None:
        """A file that opens is ready."""

    def probes(self, verb: str, relation: str, columns: Sequence[str]) -> list[str]:
        """What may be read is tried; what may be written is the mirror's own word here."""
        return probes(verb, relation, columns) if verb == "select" else []

    def readable(
        self, connection: Any, error: Exception, relation: str, columns: Sequence[str]
    ) -> bool | None:
        """By the words: the authorizer is asked while a statement is prepared, before anything runs."""
        return None if str(error).startswith("no such ") else True

    def out_of_sight(self, connection: Any, name: str) -> str | None:
        """None: there is one schema."""
        return None

    def weak_columns(self) -> str | None:
        """It cannot."""
        return None

    def weak_rows(self) -> str | None:
        """None to speak of: it guards honest code alone, here as everywhere."""
        return None

    def can_alter(self, connection: Any) -> str | None:
        """Nothing: the authorizer refuses every DDL statement."""
        return None

    def limits(self, connection: Any) -> Limits:
        """A file has no limit of connections."""
        return Limits()

    def flavour(self) -> str:
        """Always sqlite."""
        return "sqlite"


def _code(error: sqlite3.Error) -> int:
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA recursive_triggers = ON",  # so that a REPLACE fires the guards of a scope, too
    "PRAGMA temp_store = MEMORY",  # views and triggers alone are kept there
    "PRAGMA case_sensitive_like = ON",  # as LIKE is on PostgreSQL
)
