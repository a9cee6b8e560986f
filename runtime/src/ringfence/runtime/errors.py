"""The exceptions of the library, the same for all engines; the driver's error is their cause."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class RingfenceError(Exception):
    """The base class of all errors that this library raises on purpose."""


class BadSettings(RingfenceError):
    """The settings do not describe a database; the message names every variable that is wrong."""


class BadMirror(RingfenceError):
    """The mirror file cannot be read, or has a format that this runtime does not know."""


class UsageError(RingfenceError):
    """The program uses the library wrongly: repeating the call cannot help, the program must be changed.

    The message says what to do instead. The subclasses say what is wrong.
    """


class UnknownName(UsageError):
    """The mirror has no table, field or scope of this name."""


class ArgumentError(UsageError):
    """An argument has a wrong type or value, or does not fit the other arguments, the table or the statement."""


class NotSupportedError(UsageError):
    """The operation exists in PyDAL or in SQL, and Ringfence refuses it, or the engine does not have it."""


class InterfaceError(UsageError):
    """A session or its transaction is used wrongly.

    It has ended or failed, belongs to another thread, task or process, is read-only, has not bound a scope that the
    statement requires, or would be mixed with another transaction.
    """


class PoolClosed(InterfaceError):
    """The pool was closed by `Database.close()` and gives no more connections."""


def must_bind(verb: str | None, table: str, name: str) -> InterfaceError:
    """Make the error for a statement that requires a scope which the session has not bound.

    Args:
        verb: the verb of the statement.
        table: the key of the table.
        name: the scope.
    """
    return InterfaceError(
        f'to {verb} on {table} a session must bind {name}: open it with session(scope={{"{name}": …}})'
    )


class Unavailable(RingfenceError):
    """The database cannot be reached, or the connection was lost in use; trying later may help."""


class ConnectionLost(Unavailable):
    """The connection was lost before COMMIT was sent: nothing of the transaction is stored."""


class PoolExhausted(Unavailable):
    """No connection of the pool came free in time; the message says who holds them and for how long."""


class Timeout(RingfenceError):
    """A statement ran longer than the session allows; the transaction is rolled back."""


class Conflict(RingfenceError):
    """A conflict with another transaction (deadlock, serialization failure, lock wait timeout).

    The whole transaction can be repeated.
    """


class TransactionTooLarge(RingfenceError):
    """The transaction exceeds a size limit of the server; nothing of it is stored.

    Galera replicates a transaction as one write set, limited by `wsrep_max_ws_rows` and `wsrep_max_ws_size`; the binary
    log is limited by `max_binlog_cache_size`. Repeating it does not help: use smaller transactions.
    """


class CommitUnknown(RingfenceError):
    """The connection was lost, or the server failed, during COMMIT: the transaction may or may not be stored."""


class DataError(RingfenceError, ValueError):
    """A value cannot be stored in its column without being changed; nothing was stored.

    It is also a ValueError, because PyDAL's RestAPI answers a ValueError with status 400.
    """


@dataclass(eq=False)
class UnreadableValue(RingfenceError):
    """A stored value has no Python equivalent, or does not fit its column's type, and is not replaced by another one.

    `table`, `column` and `key` say where it is; `key` has the row's key, as far as it was selected too. Other rows, and
    other columns of this row, can still be read, and the session remains usable.
    """

    message: str
    table: str | None = None
    column: str | None = None
    key: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message


class ProgrammingError(RingfenceError):
    """The server could not run the statement: no such function, a syntax error, an unknown relation."""


@dataclass(eq=False)
class AccessDenied(RingfenceError):
    """The account lacks a privilege; the fields name account, verb and table, as far as known."""

    message: str
    account: str | None = None
    verb: str | None = None
    table: str | None = None

    def __str__(self) -> str:
        return self.message


@dataclass(eq=False)
class IntegrityError(RingfenceError):
    """A constraint refused the row; the fields name it and its columns, as far as the server and the mirror do."""

    message: str
    constraint: str | None = None
    table: str | None = None
    columns: Sequence[str] = field(default_factory=tuple)

    def __str__(self) -> str:
        return self.message


class UniqueViolation(IntegrityError):
    """Another row has the same value in a unique column."""


class ForeignKeyViolation(IntegrityError):
    """The referenced row does not exist, or a row still refers to this one."""


class NotNullViolation(IntegrityError):
    """A column that may not be null got no value."""


class CheckViolation(IntegrityError):
    """A CHECK constraint, or the scope of the account, refused the row."""


def scope_violation(suffix: str, table: str | None, bound: Iterable[str]) -> CheckViolation:
    """Make the error for a write of a row outside the account's scope.

    Args:
        suffix: the table for the message, as ` on table`; empty if unknown.
        table: the table's name; None if unknown.
        bound: the scopes that a session of this service can bind, one of which may not have been bound.
    """
    names = ", ".join(f'"{name}": …' for name in sorted(bound))
    hint = f"; a session binds it with session(scope={{{names}}})" if names else ""
    return CheckViolation(f"the row would leave the scope of the account{suffix}{hint}", None, table)


@dataclass(eq=False)
class NotReady(RingfenceError):
    """The database is not what this service's mirror needs; `state` is the reason in one word.

    Waiting may resolve `unreachable`, `busy` (every connection of the pool is in use), `starting`, `behind` and
    `joining`. Only a person can resolve `login` (refused), `retired`, `missing-grant`, `can-alter` and `misconfigured`.
    """

    message: str
    state: str

    def __str__(self) -> str:
        return self.message
