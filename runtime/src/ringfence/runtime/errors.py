"""One small tree of errors for all engines; each keeps the driver's error as its cause."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class RingfenceError(Exception):
    """The root of everything this library raises on purpose."""


class BadSettings(RingfenceError):
    """The environment does not describe a database; the message names every variable that is wrong."""


class BadMirror(RingfenceError):
    """The mirror file cannot be read or is of a format this runtime does not know."""


class Misuse(RingfenceError):
    """The program uses a session in a way that could mix transactions; the message says what to do instead."""


def must_bind(verb: str | None, table: str, name: str) -> Misuse:
    """The error of a statement that a session sent without the scope it cannot do without."""
    return Misuse(
        f'to {verb} on {table} a session must bind {name}: open it with session(scope={{"{name}": …}})'
    )


class Unavailable(RingfenceError):
    """The database cannot be reached, or went away while in use; trying later may help."""


class ConnectionLost(Unavailable):
    """The connection went away in use, before a COMMIT was sent: nothing of the transaction is stored."""


class PoolExhausted(Unavailable):
    """No connection came free in time; the message says who holds them and since when."""


class Timeout(RingfenceError):
    """A statement ran longer than the session allows; the transaction is rolled back."""


class Conflict(RingfenceError):
    """Another transaction won (deadlock, serialization failure, lock wait); the whole one may be tried again."""


class TransactionTooLarge(RingfenceError):
    """The transaction holds more than the server takes at once; nothing of it is stored, what came before included.

    Galera replicates a transaction as one write set, which `wsrep_max_ws_rows` and `wsrep_max_ws_size` bound; a binary
    log is bounded by `max_binlog_cache_size`. To run the same again does not help: smaller transactions do.
    """


class CommitUnknown(RingfenceError):
    """The connection was lost during COMMIT, or the server failed in it: it may or may not have happened."""


class BadValue(RingfenceError, ValueError):
    """A value cannot be stored in its column without being changed; nothing was stored.

    A ValueError too: what calls PyDAL with a request's values (its RestAPI) answers those with 400.
    """


@dataclass(eq=False)
class UnreadableValue(RingfenceError):
    """A stored value has no form in Python, or is none of its column's type: nothing else is given in its stead.

    `table`, `column` and `key` say where it is; `key` holds the row's key as far as it was selected too. Other rows,
    and other columns of this row, can be read; the session goes on.
    """

    message: str
    table: str | None = None
    column: str | None = None
    key: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message


class StatementError(RingfenceError):
    """The server could not run the statement: no such function, a syntax error, an unknown relation."""


@dataclass(eq=False)
class AccessDenied(RingfenceError):
    """The account may not do this; which account, verb and table is in the fields."""

    message: str
    account: str | None = None
    verb: str | None = None
    table: str | None = None

    def __str__(self) -> str:
        return self.message


@dataclass(eq=False)
class IntegrityError(RingfenceError):
    """A constraint refused the row: its name and columns, as far as the server and the mirror tell."""

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


def outside(place: str, table: str | None, bound: Iterable[str]) -> CheckViolation:
    """The error of a write whose row the account's scope does not hold.

    Args:
        place: where, as ` on table`; empty when that is not known.
        table: the same, by name.
        bound: the names that a session of this service may bind, one of which it may have left out.
    """
    names = ", ".join(f'"{name}": …' for name in sorted(bound))
    way = f"; a session binds it with session(scope={{{names}}})" if names else ""
    return CheckViolation(f"the row would leave the scope of the account{place}{way}", None, table)


@dataclass(eq=False)
class NotReady(RingfenceError):
    """The database is not what this service's mirror needs; `state` says in one word why.

    The states time can mend are `unreachable`, `busy` (every connection of the pool is in use), `starting`, `behind`
    and `joining`; the others are `login` (refused), `retired`, `missing-grant`, `can-alter` and `misconfigured`, which
    only a person can mend.
    """

    message: str
    state: str

    def __str__(self) -> str:
        return self.message
