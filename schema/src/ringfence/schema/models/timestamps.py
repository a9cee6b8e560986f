"""The current time as a server default: in UTC, and in the form that the column stores, on every engine."""

import re
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import functions
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import TextClause

from ringfence.schema import sqlalchemy_compat

_WORDS = re.compile(r"\s*\(?\s*((now|current_timestamp)\s*(\(\s*[0-6]?\s*\))?)\s*\)?\s*", re.IGNORECASE)


class UtcNow(sa.ColumnElement[Any]):
    """The current time as a server default.

    PostgreSQL: `now()`, for a column without a zone converted to UTC, whatever the session's time zone. MySQL and
    MariaDB: `UTC_TIMESTAMP(6)`, as `now()` is in the session's time zone there and has no fraction. SQLite: text in
    the runtime's form, with milliseconds.

    Args:
        aware: whether the column has a zone.
        words: the expression on PostgreSQL for a column with a zone, in the form in which the database reports it.
    """

    inherit_cache = False

    def __init__(self, *, aware: bool = True, words: str = "now()") -> None:
        self.aware = aware
        self.words = words

    def __repr__(self) -> str:
        given = [] if self.aware else ["aware=False"]
        given += [f"words={self.words!r}"] if self.words != "now()" else []
        return f"UtcNow({', '.join(given)})"


@compiles(UtcNow)
def _standard(element: UtcNow, compiler: SQLCompiler, **options: Any) -> str:
    return element.words if element.aware else "timezone('utc', now())"


@compiles(UtcNow, "mysql", "mariadb")
def _mysql(element: UtcNow, compiler: SQLCompiler, **options: Any) -> str:
    return "(UTC_TIMESTAMP(6))"


@compiles(UtcNow, "sqlite")
def _sqlite(element: UtcNow, compiler: SQLCompiler, **options: Any) -> str:
    return "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"


def fill_in_utc(column: sa.Column[Any], *, aware: bool) -> None:
    """Replace the server default `func.now()` of a column by `UtcNow`.

    A text such as `text("now()")` is replaced only where the column has a zone; without one it is kept, as it may be
    meant in the session's time zone.

    Args:
        column: of one of the types of `columns`; it is changed.
        aware: whether the column has a zone.
    """
    default = column.server_default
    if not isinstance(default, sa.DefaultClause):
        return
    if (words := _words(default.arg, texts=aware)) is not None:
        column.server_default = None
        sqlalchemy_compat.set_server_default(column, sa.DefaultClause(UtcNow(aware=aware, words=words)))


def _words(given: object, *, texts: bool) -> str | None:
    """The expression on PostgreSQL of a default that is the current time; None for any other default."""
    if isinstance(given, functions.now):
        return "now()"
    if isinstance(given, functions.current_timestamp):
        return "CURRENT_TIMESTAMP"
    if texts and isinstance(given, TextClause) and (found := _WORDS.fullmatch(given.text)):
        return found[1]
    return None
