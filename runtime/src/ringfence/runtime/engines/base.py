"""The protocol of an engine backend: connections, transactions, codecs and the translation of driver errors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from ringfence.runtime.errors import RingfenceError
from ringfence.runtime.mirror import Mirror, Table
from ringfence.runtime.settings import Host, Settings
from ringfence.runtime.values.codecs import Make, Quote


@dataclass(frozen=True, slots=True)
class StatementContext:
    """The verb and table of a statement, as far as the caller knows them; used in error messages only."""

    verb: str | None = None
    table: str | None = None

    @property
    def suffix(self) -> str:
        """` on TABLE`, for the end of an error message; empty for the program's own SQL, whose tables are not known."""
        return f" on {self.table}" if self.table else ""


NO_CONTEXT = StatementContext()
NO_SCOPE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Mode:
    """How a session runs: read-only or not, its statement timeout in seconds, and the scope values it binds.

    `scope` maps the names of bound scopes to values that their codecs' `check` returned; a name of the mirror that is
    missing here is unset, even if the connection's previous session had bound it.
    """

    read_only: bool = False
    timeout: float | None = None
    scope: Mapping[str, Any] = field(default_factory=lambda: NO_SCOPE)


@dataclass(frozen=True, slots=True)
class Limits:
    """The connection limits of the account and of the server; None where there is no limit or it cannot be read."""

    account: int | None = None
    server: int | None = None


@dataclass(frozen=True, slots=True)
class Features:
    """What an engine family and its driver can do; each engine states it in its module `features`.

    Attributes:
        paramstyle: the placeholders of the driver: `pyformat` for `%s` and `%(name)s`, `qmark` for `?` and `:name`.
        survives_fork: whether a forked child may keep the parent's idle connections open.
        interruptible: whether an exception of a signal handler can be raised while a statement runs on the server.
        local_settings_end: whether the effect of SET LOCAL ends with the transaction.
        has_replace: whether the engine supports REPLACE.
        advance_sequence_insert: an INSERT that advances the key sequence by `{count}` and is rolled back; None where
            explicit keys advance it.
    """

    paramstyle: str
    survives_fork: bool
    interruptible: bool
    local_settings_end: bool
    has_replace: bool
    advance_sequence_insert: str | None = None


Run = Callable[..., Any]
"""`run(sql, parameters=None, cursor=None)`: runs a statement of the session; returns its cursor."""


class RowSource(Protocol):
    """The rows of one select, read from the engine in batches. Every method may raise the driver's errors."""

    def start(self, run: Run, sql: str, count: int) -> list[Any]:
        """Run the select and return its first rows.

        Args:
            run: runs a statement of the session.
            sql: the select.
            count: how many rows to return; fewer means that there are no more.
        """
        ...

    def fetch(self, run: Run, count: int) -> list[Any]:
        """Return the next rows.

        Args:
            run: runs a statement of the session.
            count: how many rows to return; fewer means that there are no more.
        """
        ...

    def conflicts_with(self, sql: str) -> bool:
        """Return whether this statement cannot run in the same session before the last row has been read."""
        ...

    def end(self) -> str:
        """Release the result; return SQL to prepend to the session's next statement for that, or an empty string."""
        ...


class Backend(Protocol):
    """One engine family, as used by the pool, the sessions and PyDAL's adapter.

    A connection is the driver's own object in autocommit mode: transactions begin and end by explicit statements, so a
    session that runs no statement sends nothing to the server.
    """

    features: Features
    codecs: Mapping[str, Make]
    driver_error: type[Exception]

    def __init__(self, settings: Settings, mirror: Mirror) -> None: ...

    @staticmethod
    def to_driver(value: Any) -> Any:
        """Convert a parameter of the program's own SQL to what the driver accepts.

        Raises:
            DataError: for a class that the driver does not support.
        """
        ...

    def hosts(self) -> tuple[Host | None, ...]:
        """Return the addresses to try in order; a single None where the driver chooses the host, or for a file."""
        ...

    def connect(self, host: Host | None, user: str | None, secret: str | None) -> Any:
        """Open and verify a new connection.

        Args:
            host: one of `hosts()`.
            user: the account.
            secret: its password.

        Raises:
            Unavailable: when the server cannot be reached.
            NotReady: when the server refuses the login or is not fit for work.
        """
        ...

    def close(self, connection: Any) -> None:
        """Close the connection; never raises a driver's error."""
        ...

    def abort(self, connection: Any) -> None:
        """Close the connection at once, without a message to the server; never raises a driver's error."""
        ...

    def alive(self, connection: Any) -> bool:
        """Test with one round trip whether the connection still works."""
        ...

    def usable(self, connection: Any) -> bool:
        """Return without a round trip whether the connection can be used again after an error."""
        ...

    def quote(self, connection: Any | None) -> Quote:
        """Return the quoting of literals for this connection; without a connection, one for display."""
        ...

    def quote_name(self, name: str) -> str:
        """Return an identifier, quoted."""
        ...

    def relation(self, table: Table, verb: str) -> str:
        """Return the relation that statements of this verb use on this engine family, quoted and qualified.

        It is needed before the first connection, so it is the same on MySQL, MariaDB and Galera.

        Args:
            table: a table of the mirror.
            verb: select, insert, update or delete.
        """
        ...

    def restriction(self, table: Table, verb: str, name: str) -> str | None:
        """Return the condition that limits an UPDATE or DELETE to its scope; None where the server enforces the scope.

        Args:
            table: a table of the mirror.
            verb: update or delete.
            name: the quoted name or alias of the table in the statement.
        """
        ...

    def json_equals(self, left: str, right: str) -> str:
        """Return SQL that compares two JSON expressions by content."""
        ...

    def next_value(self, schema: str | None, sequence: str) -> str | None:
        """Return SQL that draws the next value of a sequence, for an INSERT; None where the engine has no sequences."""
        ...

    def last_value(self, schema: str | None, sequence: str) -> str | None:
        """Return SQL for the sequence value this session drew last, where an INSERT returns no key; else None."""
        ...

    def sequence_privilege_probe(self, schema: str | None, sequence: str) -> str | None:
        """Return a statement that tests the privilege to draw from a sequence, without drawing; or None."""
        ...

    def returns_keys(self, table: Table) -> bool:
        """Return whether an INSERT of many rows into the table can use RETURNING, if the account may read the key."""
        ...

    def upsert(
        self, key: Sequence[str], sets: Sequence[str], *, only_conflict: bool, readable: bool, updatable: bool
    ) -> str | None:
        """Return the clause that makes an INSERT of one row an upsert; None where the engine has no equivalent.

        Args:
            key: the quoted columns of the unique key that decides.
            sets: `column=value` assignments for an existing row; empty to leave it unchanged.
            only_conflict: whether the new row cannot conflict with any other unique key.
            readable: whether the account may read the columns of the key.
            updatable: whether the account may update every inserted column and read every updated one.
        """
        ...

    def upsert_returns(self, *, updatable: bool) -> bool:
        """Return whether such an INSERT can use RETURNING.

        Args:
            updatable: whether the account may update the returned key.
        """
        ...

    def typed_null(self, relation: str, column: str) -> str | None:
        """Return a NULL of a column's type, for the CASE that an UPDATE assigns to it; None where none is needed.

        Args:
            relation: the quoted relation.
            column: the quoted column.
        """
        ...

    def opening(self, mode: Mode) -> str | None:
        """Return SQL sent with the session's first statement in place of `begin`; None if the driver cannot do that."""
        ...

    def begin(self, connection: Any, mode: Mode) -> None:
        """Start a transaction in this mode."""
        ...

    def unbind(self, connection: Any) -> None:
        """Reset the scope values that the session left on the connection, before another session gets it."""
        ...

    def commit(self, connection: Any) -> None:
        """Commit; raises an error even where the server would silently roll back instead."""
        ...

    def rollback(self, connection: Any) -> None:
        """Roll back the transaction."""
        ...

    def in_transaction(self, connection: Any) -> bool:
        """Return without a round trip whether a transaction is open."""
        ...

    def control(self, connection: Any, sql: str) -> None:
        """Run a savepoint statement of the session itself."""
        ...

    def statement(self, sql: str, mode: Mode) -> str:
        """Return the statement as it is sent in this mode; on MariaDB the text includes the time limit."""
        ...

    def execute(self, connection: Any, cursor: Any, sql: str, parameters: Any, mode: Mode) -> None:
        """Run one statement within the mode's time limit."""
        ...

    def stream(self, connection: Any, mode: Mode, number: int) -> RowSource:
        """Return a reader that fetches a select in batches.

        Args:
            connection: the session's connection.
            mode: the session's mode.
            number: a number that is unique among the streams of the transaction.
        """
        ...

    def cancel(self, connection: Any) -> bool:
        """Cancel, from another thread, the statement that runs on this connection; does nothing if none runs.

        Returns:
            Whether the server was reached; the wait for it is short.
        """
        ...

    def shut_down_socket(self, connection: Any) -> None:
        """Shut down the connection's socket from another thread: the thread that waits on it gets an error at once."""
        ...

    def recently_unresponsive(self, host: Host | None) -> bool:
        """Return whether this host did not answer recently and other hosts are configured."""
        ...

    def translate(self, error: Exception, context: StatementContext) -> RingfenceError:
        """Return the RingfenceError for a driver's error, without row values in its message.

        Args:
            error: the driver's error.
            context: the verb and table of the statement.
        """
        ...

    def take_swallowed_exception(self, connection: Any) -> BaseException | None:
        """Return and forget an exception, such as a signal's, that the driver swallowed in a callback."""
        ...

    def check_ready(self, connection: Any) -> None:
        """Check that the server is ready for work.

        Raises:
            NotReady: when it is not, such as a Galera node that is still joining.
        """
        ...

    def probes(self, verb: str, relation: str, columns: Sequence[str]) -> list[str]:
        """Return statements that change nothing and succeed only for an account with this privilege.

        Args:
            verb: select, insert, update or delete.
            relation: the quoted relation.
            columns: the quoted columns.
        """
        ...

    def readable(
        self, connection: Any, error: Exception, relation: str, columns: Sequence[str]
    ) -> bool | None:
        """Return whether a SELECT of no rows failed inside the view it reads, although the account may read the view.

        Args:
            connection: a connection of the account, in a transaction that has not failed.
            error: the driver's error.
            relation: the quoted relation of the SELECT.
            columns: the quoted columns of the SELECT.

        Returns:
            None where the error says that an object does not exist, which shows nothing about privileges.
        """
        ...

    def why_not_found(self, connection: Any, name: str) -> str | None:
        """Return why an existing table is not found by its unqualified name.

        Args:
            connection: a connection of the account.
            name: the table's name.

        Returns:
            The reason, to follow `the account …`; None where no such table exists, or the engine has a single schema.
        """
        ...

    def column_leak(self) -> str | None:
        """Return how an account could learn columns that it may update but not read, or None where it cannot."""
        ...

    def row_leak(self) -> str | None:
        """Return how a scoped account could learn the contents of rows outside its scope, or None where it cannot."""
        ...

    def can_alter(self, connection: Any) -> str | None:
        """Return the privilege that lets this account alter the schema, or None."""
        ...

    def connection_limits(self, connection: Any) -> Limits:
        """Return the connection limits of the account and the server."""
        ...

    def flavour(self) -> str:
        """Return the engine's name as in a mirror; known only after the first connection."""
        ...
