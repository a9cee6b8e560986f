"""Translates SQLite's extended error codes into Ringfence's errors."""

import re
import sqlite3
from pathlib import Path

from ringfence.runtime import errors
from ringfence.runtime.engines.base import StatementContext
from ringfence.runtime.engines.sqlite.authorizer import Authorizer
from ringfence.runtime.engines.sqlite.connection import UNDECODED
from ringfence.runtime.engines.sqlite.row_security import OUTSIDE
from ringfence.runtime.mirror import VERBS, Mirror


class Refused(sqlite3.DatabaseError):
    """A refusal of the authorizer, with its reason."""

    def __init__(self, authorizer: Authorizer) -> None:
        super().__init__("not authorized")
        self._refusal = authorizer.refusal

    def explain(self, account: str) -> errors.RingfenceError:
        """Return the refusal as a RingfenceError.

        Args:
            account: the service's account, for the message.
        """
        refusal = self._refusal
        if refusal is None:
            return errors.Timeout(_ASKING)
        if refusal.read_only:
            return errors.InterfaceError("a read-only session cannot write")
        if refusal.unbound is not None:
            return errors.must_bind(refusal.verb, str(refusal.table), refusal.unbound)
        column = f".{refusal.column}" if refusal.column else ""
        on = f" on {refusal.table}{column}" if refusal.table else ""
        return errors.AccessDenied(
            f"{account} is not allowed to {refusal.verb}{on}", account, refusal.verb, refusal.table
        )


def connect_error(error: sqlite3.Error, path: Path) -> errors.Unavailable:
    """Return the error for a file that could not be opened."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return errors.Unavailable(f"{path}: {_FAILING} ({name}); {_SPACE}")
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM")):
        return errors.Unavailable(
            f"{path}: {error} ({name}); let this user write the file and its folder, where the log lies"
        )
    return errors.Unavailable(f"{path}: {error}; make it with `ringfence migrate` or `ringfence bootstrap`")


def commit_error(error: sqlite3.Error, path: Path) -> errors.RingfenceError | None:
    """Return the error for a COMMIT that failed because of the disk, else None.

    SQLite writes the commit record last: if the disk was full before, nothing of the transaction is stored.
    """
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL"):
        return errors.Unavailable(
            f"{path}: the disk is full ({name}): nothing of the transaction is stored; {_SPACE}"
        )
    if name.startswith("SQLITE_IOERR"):
        return errors.CommitUnknown(
            f"{path}: {_FAILING} during COMMIT ({name}): what was done may or may not be stored; {_SPACE}"
        )
    return None


_FAILING = "the file system failed, or is full"
_SPACE = (
    "free some space where the file and its log (-wal) lie, and look at the system's messages about that disk"
)


def translate(error: Exception, context: StatementContext, mirror: Mirror) -> errors.RingfenceError:
    """Return the error of a statement as a RingfenceError, without row values.

    Args:
        error: the driver's error.
        context: the verb and table of the statement.
        mirror: the service's mirror.
    """
    where = context.suffix
    if isinstance(error, Refused):
        return error.explain(mirror.login)
    name = getattr(error, "sqlite_errorname", "") or ""
    if name == "SQLITE_CONSTRAINT_TRIGGER" and str(error).startswith(OUTSIDE):
        table = context.table or str(error).removeprefix(OUTSIDE)
        return errors.scope_violation(f" on {table}", table, mirror.scopes)
    if found := _VIEW.match(str(error)):
        return _to_view(found[1], context, mirror)
    if name.startswith("SQLITE_CONSTRAINT"):
        return _integrity(name, str(error), context, mirror)
    for prefix, kind, words in _NAMES:
        if name.startswith(prefix):
            return kind(f"{words}{where} ({name})")
    if isinstance(error, sqlite3.DataError | sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return _of_the_module(error, where)
    if str(error).startswith(UNDECODED):
        column = str(error).split("'")[1]
        error.args = (UNDECODED,)  # without the undecodable text
        return errors.UnreadableValue(
            f"{context.table or 'a row'}.{column} cannot be read: it is text that is no UTF-8 (select() names the row)",
            context.table,
            column,
        )
    # Other messages may quote the statement and thus a value; a traceback prints the cause as well.
    said = str(error) if str(error).startswith(_NAMING) else name or type(error).__name__
    if str(error).endswith(": syntax error"):
        said = "syntax error"
    error.args = (said,)
    return errors.ProgrammingError(f"the statement was refused{where}: {said}")


def _of_the_module(error: Exception, where: str) -> errors.RingfenceError:
    """Return the error that the sqlite3 module raised before SQLite saw the statement."""
    if isinstance(error, sqlite3.DataError):
        return errors.DataError(f"the statement or a value in it is too long{where}: store it in parts")
    return errors.ArgumentError(f"the driver refused the statement{where}: {error}")


def _to_view(name: str, context: StatementContext, mirror: Mirror) -> errors.RingfenceError:
    """Return the error for the program's own write to a view, which SQLite reports before it calls the authorizer."""
    table = next((table for table in mirror.tables.values() if table.name == name), None)
    if table is not None and table.kind == "view":
        words = f"{mirror.login} is not allowed to write to {name}, which is a view"
        return errors.AccessDenied(words, mirror.login, None, name)
    if table is not None and context.verb in VERBS and context.verb not in table.verbs:
        words = f"{mirror.login} is not allowed to {context.verb} on {name}"
        return errors.AccessDenied(words, mirror.login, context.verb, name)
    return errors.NotSupportedError(
        f"{name} is a view of the rows in the account's scope, and cannot be written to: write to main.{name}"
    )


def _integrity(name: str, said: str, context: StatementContext, mirror: Mirror) -> errors.IntegrityError:
    kind, words = _CONSTRAINTS.get(name, (errors.IntegrityError, "the row is refused by a constraint"))
    _, _, rest = said.partition("failed: ")
    table = next((each for each in mirror.tables.values() if context.table in (each.key, each.name)), None)
    if kind is errors.CheckViolation:
        found = table.constraints.get(rest) if table is not None else None
        columns = found.columns if found else ()
        return kind(f"{words} {rest or 'a constraint'}{context.suffix}", rest or None, context.table, columns)
    if index := _INDEX.fullmatch(rest):
        of = table.constraints.get(index[1]) if table is not None else None
        return kind(f"{words} {index[1]}{context.suffix}", index[1], context.table, of.columns if of else ())
    columns = tuple(part.strip().rpartition(".")[2] for part in rest.split(",")) if rest else ()
    constraint = None
    if table is not None and kind is errors.UniqueViolation:
        wanted = ("unique", "partial_unique", "primary_key")
        matching = (
            each
            for each, of in table.constraints.items()
            if of.kind in wanted and set(of.columns) == set(columns)
        )
        constraint = next(matching, None)
    named = f" {constraint or ', '.join(columns)}" if constraint or columns else ""
    return kind(f"{words}{named}{context.suffix}", constraint, context.table, columns)


# SQLite swallows an exception raised as it calls the authorizer, before that's first line; all others are re-raised.
_ASKING = "an exception from outside, a signal's for one, stopped the statement as its rights were looked at"

_CONSTRAINTS: dict[str, tuple[type[errors.IntegrityError], str]] = {
    "SQLITE_CONSTRAINT_UNIQUE": (errors.UniqueViolation, "another row has the same value for"),
    "SQLITE_CONSTRAINT_PRIMARYKEY": (errors.UniqueViolation, "another row has the same value for"),
    "SQLITE_CONSTRAINT_ROWID": (errors.UniqueViolation, "another row has the same value for"),
    "SQLITE_CONSTRAINT_FOREIGNKEY": (errors.ForeignKeyViolation, "a reference is broken"),
    "SQLITE_CONSTRAINT_TRIGGER": (errors.CheckViolation, "the row is refused by"),
    "SQLITE_CONSTRAINT_NOTNULL": (errors.NotNullViolation, "no value was given for"),
    "SQLITE_CONSTRAINT_CHECK": (errors.CheckViolation, "the row is refused by"),
    "SQLITE_CONSTRAINT_DATATYPE": (errors.CheckViolation, "the row is refused by"),
}

_NAMES: tuple[tuple[str, type[errors.RingfenceError], str], ...] = (
    ("SQLITE_BUSY", errors.Conflict, "another process holds the database"),
    ("SQLITE_LOCKED", errors.Conflict, "another connection holds the table"),
    (
        "SQLITE_INTERRUPT",
        errors.Timeout,
        "the statement took longer than the session allows, or was cancelled",
    ),
    ("SQLITE_AUTH", errors.Timeout, _ASKING),
    ("SQLITE_READONLY", errors.Unavailable, "the database file cannot be written"),
    ("SQLITE_TOOBIG", errors.DataError, "a value is too big"),
    ("SQLITE_MISMATCH", errors.DataError, "a value is of the wrong type"),
    ("SQLITE_CANTOPEN", errors.Unavailable, "the database file cannot be opened"),
    ("SQLITE_NOTADB", errors.Unavailable, "the file is no database"),
    ("SQLITE_CORRUPT", errors.Unavailable, "the database file is damaged"),
    ("SQLITE_IOERR", errors.Unavailable, f"{_FAILING}: {_SPACE}"),
    (
        "SQLITE_FULL",
        errors.Unavailable,
        f"the disk is full, or the database has as many pages as its max_page_count allows: {_SPACE}",
    ),
)

_INDEX = re.compile("index '(.*)'")  # an index of expressions
_VIEW = re.compile("cannot modify (.*) because it is a view")

# Their messages name only a relation, a column or a function.
_NAMING = ("no such table", "no such column", "no such function", "ambiguous column name")
