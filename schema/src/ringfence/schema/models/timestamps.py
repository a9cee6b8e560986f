"""The present moment as a default that the server fills in: in UTC, in the column's own form, on every engine."""

import re
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import functions
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import TextClause

_WORDS = re.compile(r"\s*\(?\s*((now|current_timestamp)\s*(\(\s*[0-6]?\s*\))?)\s*\)?\s*", re.IGNORECASE)


class UtcNow(sa.ColumnElement[Any]):
    """The moment at which a row is stored.

    PostgreSQL: `now()`, of which a column without a zone takes the time in UTC, whatever the zone of the session.
    MySQL and MariaDB: `UTC_TIMESTAMP(6)`, for `now()` is of the session's zone there, and has no fraction. SQLite: text
    as the runtime writes it, with milliseconds.

    Args:
        aware: whether the column keeps a zone.
        words: what PostgreSQL keeps the default as, where the column keeps a zone.
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
    """Make `func.now()`, as the default of a column of ours, the moment in UTC.

    Words of an engine, as `text("now()")`, are taken for the same where the column keeps a zone; in one without, they
    stay what they are, for they may mean the session's own time.
    """
    default = column.server_default
    if not isinstance(default, sa.DefaultClause):
        return
    if (words := _words(default.arg, texts=aware)) is not None:
        column.server_default = None
        sa.DefaultClause(UtcNow(aware=aware, words=words))._set_parent_with_dispatch(column)  # noqa: SLF001 - what a column does with a default


def _words(given: object, *, texts: bool) -> str | None:
    """What a default says on PostgreSQL, where it is the present moment."""
    if isinstance(given, functions.now):
        return "now()"
    if isinstance(given, functions.current_timestamp):
        return "CURRENT_TIMESTAMP"
    if texts and isinstance(given, TextClause) and (found := _WORDS.fullmatch(given.text)):
        return found[1]
    return None
