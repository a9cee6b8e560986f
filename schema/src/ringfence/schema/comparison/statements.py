"""The statements that `create_all` runs for models in addition to those for tables, indexes, types and sequences."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.ddl import BaseDDLElement, ExecutableDDLElement

from ringfence.schema.comparison.scratch import placeholder_error
from ringfence.schema.comparison.snapshot import Models
from ringfence.schema.sql.text import single_percents

_WORD = r"(?:[^\W\d][\w$]*|\"(?:[^\"]|\"\")+\"|`(?:[^`]|``)+`)"
_PATH = rf"(?:(?P<{{0}}schema>{_WORD})\s*\.\s*)?(?P<{{0}}name>{_WORD})"
# What may come before the kind: https://mariadb.com/kb/en/create-view/, https://www.postgresql.org/docs/current/sql-createview.html
_MADE = re.compile(
    r"\bCREATE\s+(?:OR\s+REPLACE\s+)?(?:ALGORITHM\s*=\s*\w+\s+)?(?:DEFINER\s*=\s*\S+\s+)?(?:SQL\s+SECURITY\s+\w+\s+)?"
    r"(?:TEMP(?:ORARY)?\s+|RECURSIVE\s+|CONSTRAINT\s+|AGGREGATE\s+|UNLOGGED\s+)*"
    r"(?P<kind>TRIGGER|FUNCTION|PROCEDURE|(?:UNIQUE\s+|FULLTEXT\s+|SPATIAL\s+)?INDEX|(?:MATERIALIZED\s+)?VIEW|SEQUENCE"
    r"|TABLE|TYPE|DOMAIN|EXTENSION|SCHEMA)\s+(?:IF\s+NOT\s+EXISTS\s+)?" + _PATH.format(""),
    re.IGNORECASE,
)
_ON = re.compile(r"\bON\s+(?:ONLY\s+)?" + _PATH.format(""), re.IGNORECASE)
_KINDS = {"procedure": "function", "domain": "type"}


@dataclass(frozen=True, slots=True)
class CreatedObject:
    """An object that a statement creates, according to its text.

    Args:
        kind: trigger, function (also for procedures), index, view, sequence, table, type, extension or schema.
        schema: as the statement names it; None if it names none.
        name: without its quotes.
        table: the table of a trigger, without its schema; "" for other kinds.
    """

    kind: str
    schema: str | None
    name: str
    table: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of the models, as it is sent to the server, with the table or metadata that it is attached to."""

    target: sa.Table | sa.MetaData
    sql: str
    before: bool
    """Whether it runs before the table or the metadata is created."""

    def makes(self, *, lowers: bool) -> list[CreatedObject]:
        """Return the objects that the statement creates, as far as its text shows them.

        Args:
            lowers: whether the server folds unquoted names to lower case.
        """
        found = []
        for match in _MADE.finditer(self.sql):
            word = match["kind"].lower().split()[-1]
            schema = None if match["schema"] is None else catalog_name(match["schema"], lowers=lowers)
            on = _ON.search(self.sql, match.end()) if word == "trigger" else None
            table = "" if on is None else catalog_name(on["name"], lowers=lowers)
            found.append(
                CreatedObject(
                    _KINDS.get(word, word), schema, catalog_name(match["name"], lowers=lowers), table
                )
            )
        return found


def catalog_name(name: str, *, lowers: bool) -> str:
    """Return a name as the server's catalog stores it: unquoted, or folded to lower case.

    Args:
        name: as it is written in a statement, without a schema.
        lowers: whether the server folds unquoted names to lower case.
    """
    if name[:1] in ('"', "`"):
        return name[1:-1].replace(name[0] * 2, name[0])
    return name.lower() if lowers else name


def statements(models: Models, connection: sa.Connection) -> Iterator[Statement]:
    """Yield the statements of the models in the order in which `create_all` runs them.

    Event listeners that are plain Python functions are skipped: their statements cannot be known.

    Args:
        models: the tables and metadata.
        connection: its dialect compiles the statements, and `execute_if` conditions are evaluated against it.

    Raises:
        JobFailed: the text of a DDL element has a percent sign that SQLAlchemy takes for a placeholder.
    """
    for target, element, before in _elements(models, connection):
        given: BaseDDLElement = (
            element.against(target) if isinstance(element, ExecutableDDLElement) else element
        )
        yield Statement(target, _compiled(given, connection.dialect), before)


def _compiled(element: BaseDDLElement, dialect: sa.Dialect) -> str:
    """Return the statement as it is sent to the server.

    Raises:
        JobFailed: its text has a percent sign that SQLAlchemy takes for a placeholder.
    """
    try:
        text = str(element.compile(dialect=dialect))
    except (KeyError, TypeError, ValueError) as error:
        if not isinstance(element, sa.DDL):
            raise
        raise placeholder_error(element, error) from error
    return single_percents(text.strip(), dialect)


def _elements(models: Models, connection: sa.Connection) -> Iterator[tuple[Any, Any, bool]]:
    for metadata in models.metadata:
        yield from _listening(metadata, "before_create", connection)
    for table in models.tables.values():
        for event in ("before_create", "after_create"):
            yield from _listening(table, event, connection)
    for metadata in models.metadata:
        for table in metadata.tables.values():
            if table.is_view:
                yield table, table._creator_ddl, False  # noqa: SLF001 - SQLAlchemy 2.1 keeps the statement of a view there
        yield from _listening(metadata, "after_create", connection)


def _listening(target: Any, event: str, connection: sa.Connection) -> Iterator[tuple[Any, Any, bool]]:
    for listener in getattr(target.dispatch, event):
        if isinstance(listener, ExecutableDDLElement):
            condition = getattr(listener, "_ddl_if", None)
            if condition is None or condition._should_execute(  # noqa: SLF001 - as SQLAlchemy asks it
                listener, target, connection
            ):
                yield target, listener, event == "before_create"
