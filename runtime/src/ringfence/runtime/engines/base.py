"""What every backend of the runtime offers: connections, transactions, codecs, and the meaning of its errors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from ringfence.runtime.errors import RingfenceError
from ringfence.runtime.mirror import Mirror, Table
from ringfence.runtime.settings import Host, Settings
from ringfence.runtime.values.codecs import Make, Quote


@dataclass(frozen=True, slots=True)
class Doing:
    """What a statement is about, as far as the caller knows: for error messages alone."""

    verb: str | None = None
    table: str | None = None

    @property
    def place(self) -> str:
        """The end of a message: where; nothing for SQL of the program's own, of which no table is known."""
        return f" on {self.table}" if self.table else ""


NO_SCOPE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Mode:
    """How a session runs: read-only or not, the longest a statement may take, in seconds, and the scopes it binds.

    `scope` holds the values as their codecs' `fit` gave them; a name of the mirror that is not in it is unset, also
    where the connection's last session had bound it.
    """

    read_only: bool = False
    timeout: float | None = None
    scope: Mapping[str, Any] = field(default_factory=lambda: NO_SCOPE)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections the account and the server admit, None where there is no limit or it cannot be seen."""

    account: int | None = None
    server: int | None = None


Run = Callable[..., Any]
"""`run(sql, parameters=None, cursor=None)`: runs a statement of the session; returns its cursor."""


class Source(Protocol):
    """The rows of one select, as an engine gives them bit by bit. Every function may raise the driver's errors."""

    def start(self, run: Run, sql: str, count: int) -> list[Any]:
        """Run the select; returns the first rows, fewer than `count` when those are all."""
        ...

    def fetch(self, run: Run, count: int) -> list[Any]:
        """The next rows, fewer than `count` when those were the last."""
        ...

    def disturbed_by(self, sql: str) -> bool:
        """Whether this statement cannot run in the same session before the last row was read."""
        ...

    def end(self) -> str:
        """Let go of it; returns what must stand before the session's next statement to that end, or nothing."""
        ...


class Backend(Protocol):
    """One engine family, as the pool, the sessions and PyDAL's adapter use it.

    A connection is the driver's own object, in autocommit mode: transactions are begun and ended by statements, so
    that nothing happens on the wire for a session that runs nothing.
    """

    paramstyle: str
    survives_fork: bool  # whether connections of the parent may stand idle in a forked child
    interruptible: bool  # whether a signal's exception can come while the server is at work on a statement
    local_settings_end: bool  # whether SET LOCAL ends with the transaction
    replaces: bool  # whether it knows REPLACE
    # An INSERT that draws `{count}` keys, to be undone; None where keys are counted on from those that were given.
    drawing_insert: str | None
    codecs: Mapping[str, Make]
    driver_error: type[Exception]

    def __init__(self, settings: Settings, mirror: Mirror) -> None: ...

    @staticmethod
    def sent(value: Any) -> Any:
        """A parameter of the program's own SQL, as the driver takes it; BadValue for a class that it does not know."""
        ...

    def hosts(self) -> tuple[Host | None, ...]:
        """The addresses to try in turn; one None where the driver or the file system looks after it."""
        ...

    def connect(self, host: Host | None, user: str | None, secret: str | None) -> Any:
        """A new, verified connection. Raises a RingfenceError."""
        ...

    def close(self, connection: Any) -> None:
        """Close for good; never raises."""
        ...

    def abort(self, connection: Any) -> None:
        """Close at once, without a goodbye to the server: nobody knows what was going on; never raises."""
        ...

    def alive(self, connection: Any) -> bool:
        """One round trip that tells whether the connection still answers."""
        ...

    def usable(self, connection: Any) -> bool:
        """Whether the connection may go on after an error, told without a round trip."""
        ...

    def quote(self, connection: Any | None) -> Quote:
        """How literals are written for this connection, or without one for display."""
        ...

    def quote_name(self, name: str) -> str:
        """An identifier, quoted."""
        ...

    def relation(self, table: Table, verb: str) -> str:
        """The relation that a verb goes through on this family of engines, quoted and qualified.

        Known before the first connection: MySQL, MariaDB and Galera agree on it.
        """
        ...

    def restriction(self, table: Table, verb: str, name: str) -> str | None:
        """The condition that an UPDATE or DELETE needs to keep to its scope, or None where the server sees to that.

        Args:
            table, verb: of the mirror.
            name: what the statement calls the table, quoted.
        """
        ...

    def same_json(self, left: str, right: str) -> str:
        """The SQL that compares two JSON expressions by what they say."""
        ...

    def next_value(self, schema: str | None, sequence: str) -> str | None:
        """The SQL that draws from a sequence, as a value of an INSERT; None where the engine has no sequences."""
        ...

    def last_value(self, schema: str | None, sequence: str) -> str | None:
        """The SQL of what this session drew last, where an INSERT does not give back its key; else None."""
        ...

    def draw_nothing(self, schema: str | None, sequence: str) -> str | None:
        """A statement that draws nothing, and that only who may draw may run; None where there are no sequences."""
        ...

    def returns_keys(self, table: Table) -> bool:
        """Whether an INSERT of many rows into it may say RETURNING, where the key may be read."""
        ...

    def upsert(
        self, key: Sequence[str], sets: Sequence[str], *, alone: bool, readable: bool, updatable: bool
    ) -> str | None:
        """What makes an INSERT of one row an upsert, or None where that cannot be said so that it means the same.

        Args:
            key: the quoted columns of the unique key that decides.
            sets: `column=value` for a row that is there; nothing to leave it as it is.
            alone: whether the new row can meet no other unique key.
            readable: whether the account may read the columns of the key.
            updatable: whether the account may update every column that is inserted, and read every one that is updated.
        """
        ...

    def upsert_returns(self, *, updatable: bool) -> bool:
        """Whether such an INSERT may say RETURNING.

        Args:
            updatable: whether the account may update the key that is returned.
        """
        ...

    def typed_null(self, relation: str, column: str) -> str | None:
        """NULL of a column's type, for the CASE that the column is set to; None where that needs no type."""
        ...

    def opening(self, mode: Mode) -> str | None:
        """What may stand before a session's first statement in place of `begin`, or None where that cannot be."""
        ...

    def begin(self, connection: Any, mode: Mode) -> None:
        """Start a transaction."""
        ...

    def unbind(self, connection: Any) -> None:
        """Take back what the session's scopes left on the connection, before another session gets it."""
        ...

    def commit(self, connection: Any) -> None:
        """Commit; raises what went wrong, also where the server would quietly roll back instead."""
        ...

    def rollback(self, connection: Any) -> None:
        """Roll back what was begun."""
        ...

    def in_transaction(self, connection: Any) -> bool:
        """Whether a transaction is open, told without a round trip."""
        ...

    def control(self, connection: Any, sql: str) -> None:
        """Run a savepoint statement of the session itself."""
        ...

    def statement(self, sql: str, mode: Mode) -> str:
        """The statement as sent in this mode: where a time limit is part of the text."""
        ...

    def execute(self, connection: Any, cursor: Any, sql: str, parameters: Any, mode: Mode) -> None:
        """Run one statement within its time limit."""
        ...

    def stream(self, connection: Any, mode: Mode, number: int) -> Source:
        """What reads a select bit by bit.

        Args:
            connection: the session's.
            mode: how it runs.
            number: another one for each select of the connection's transaction.
        """
        ...

    def cancel(self, connection: Any) -> bool:
        """Stop, from another thread, the statement that runs on this connection; does nothing if none does.

        Returns:
            Whether the server was reached; never waits for long.
        """
        ...

    def sever(self, connection: Any) -> None:
        """End the connection under its driver, from another thread: who waits on it gets an error at once."""
        ...

    def silent(self, host: Host | None) -> bool:
        """Whether this host did not answer lately, and there are others."""
        ...

    def translate(self, error: Exception, doing: Doing) -> RingfenceError:
        """The driver's error as one of the tree, without row values."""
        ...

    def dropped(self, connection: Any) -> BaseException | None:
        """An exception from outside that came in a call from the driver, which dropped it for an error of its own."""
        ...

    def stages(self, connection: Any) -> None:
        """Raise NotReady where the server itself is not fit for work: a node that is still joining."""
        ...

    def probes(self, verb: str, relation: str, columns: Sequence[str]) -> list[str]:
        """Statements that change nothing, and that only an account with this right may run.

        Args:
            verb: select, insert, update or delete.
            relation, columns: quoted names.
        """
        ...

    def readable(
        self, connection: Any, error: Exception, relation: str, columns: Sequence[str]
    ) -> bool | None:
        """Whether a SELECT of no row failed by what a view itself calls, though the account may read it.

        Args:
            connection: of the account, in a transaction that has not failed.
            error: what the driver raised.
            relation, columns: quoted names, those of the SELECT.

        Returns:
            None where the error says that an object is missing, which tells nothing of privileges.
        """
        ...

    def out_of_sight(self, connection: Any, name: str) -> str | None:
        """Why a table that is in the database is not found by its name alone.

        Args:
            connection: of the account.
            name: the table's.

        Returns:
            The reason, for `the account …`; None where there is no such table, or the engine has no such reasons.
        """
        ...

    def weak_columns(self) -> str | None:
        """How an account that may update columns that it may not read comes by them, or None where it cannot."""
        ...

    def weak_rows(self) -> str | None:
        """How a scoped account comes by what is in rows outside its scope, or None where it cannot."""
        ...

    def can_alter(self, connection: Any) -> str | None:
        """What lets this account alter the schema, or None."""
        ...

    def limits(self, connection: Any) -> Limits:
        """The connection limits of the account and the server."""
        ...

    def flavour(self) -> str:
        """Which engine it is, as the mirrors name it; known after the first connection."""
        ...
