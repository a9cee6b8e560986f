"""The statements that `create_all` runs in addition to those for tables and indexes, and the operations that run them.

A migration does not run these statements (views, triggers, functions, DDL that is attached to a table or a metadata) by
itself, so a revision must contain them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from sqlalchemy.sql.ddl import BaseDDLElement, ExecutableDDLElement

from ringfence.schema import sqlalchemy_compat
from ringfence.schema.alembic_compat import renderer
from ringfence.schema.comparison.differences import Difference
from ringfence.schema.comparison.manual_changes import ManualChangeOp
from ringfence.schema.comparison.model_objects import ModelLookup
from ringfence.schema.comparison.scratch import if_not_exists, placeholder_error
from ringfence.schema.comparison.snapshot import Facets, Models, Name
from ringfence.schema.operations.operations import ONLINE_IMPORT
from ringfence.schema.sql.identifiers import spelling
from ringfence.schema.sql.text import identifier, single_percents

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
                yield table, sqlalchemy_compat.creator_statement(table), False
        yield from _listening(metadata, "after_create", connection)


def _listening(target: Any, event: str, connection: sa.Connection) -> Iterator[tuple[Any, Any, bool]]:
    for listener in getattr(target.dispatch, event):
        if isinstance(listener, ExecutableDDLElement):
            condition = sqlalchemy_compat.condition(listener)
            if condition is None or sqlalchemy_compat.holds(condition, listener, target, connection):
                yield target, listener, event == "before_create"


PREREQUISITE_KINDS = ("schema", "extension", "enum", "type", "sequence")
"""The kinds of objects that must exist before the tables that use them."""
_NEEDED = ("extension", "function", "schema", "sequence", "type")
NEVER_DROPPED = ("schema", "extension")
"""Kinds that no downgrade drops: others may use the object, and it may have existed before the revision."""


class StatementOp(ops.MigrateOperation):
    """A statement for one dialect, with the statement that reverses it.

    Args:
        dialect: SQLAlchemy's name of the dialect; on other dialects the statement is not run.
        statement: the SQL text.
        reverse_sql: the SQL text that reverses it; None if that is unknown.
        before_tables: whether tables may need the created object, so that the statement must run before they are
            created.
        never_dropped: whether a downgrade leaves the created object in the database.
        order: index among the statements of the models; -1 for a statement that is not from the models.
    """

    def __init__(
        self,
        dialect: str,
        statement: str,
        reverse_sql: str | None,
        *,
        before_tables: bool = False,
        never_dropped: bool = False,
        order: int = -1,
    ) -> None:
        self.dialect = dialect
        self.statement = statement
        self.reverse_sql = reverse_sql
        self.before_tables = before_tables
        self.never_dropped = never_dropped
        self.order = order

    def reverse(self) -> ops.MigrateOperation:
        """Return the operation that reverses the statement: a `ManualChangeOp` if unknown, nothing if it stays."""
        if self.never_dropped:
            return ops.OpContainer([])
        if self.reverse_sql is None:
            return ManualChangeOp(f"the reverse of: {self.statement}")
        return StatementOp(self.dialect, self.reverse_sql, self.statement)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the statement as `alembic check` lists it."""
        return ("statement", self.statement)


@renderer(StatementOp)
def _render(context: AutogenContext, operation: StatementOp) -> str:
    context.imports.add(ONLINE_IMPORT)
    return f"online.execute_on({operation.dialect!r}, {operation.statement!r})"


@dataclass(frozen=True, slots=True)
class ModelStatement:
    """One statement of the models, and the objects that it creates."""

    statement: str
    creates: frozenset[CreatedObject]
    before_tables: bool = False
    """Whether it must run before tables are created: tables may need its objects, and its objects need no table."""
    order: int = -1
    """Its index among the statements of the models."""

    def created_object(self, name: Name) -> CreatedObject | None:
        """Return the object of this name that the statement creates, or None; function arguments are not compared.

        Args:
            name: the object's name in the reference snapshot.
        """
        kind = "index" if name.kind == "unique" else name.kind  # some servers do not distinguish them
        plain = name.name.partition("(")[0] if name.kind == "function" else name.name
        for each in self.creates:
            same_table = not each.table or each.table == name.table
            if (each.kind, each.name) == (kind, plain) and each.schema in (None, name.schema) and same_table:
                return each
        return None


def model_statements(modelled: ModelLookup, connection: sa.Connection) -> list[ModelStatement]:
    """Return the statements that `create_all` would run in addition to those for tables and indexes, in order.

    Args:
        modelled: the models.
        connection: a connection to the database; `execute_if` conditions are evaluated against it.

    Returns:
        Every statement whose text shows that it creates an object; the default schema is "" in these objects.
    """
    lowers = spelling(connection.dialect.name).lowers
    found: list[ModelStatement] = []
    for each in statements(modelled.models, connection):
        makes = frozenset(
            made if made.schema is None else replace(made, schema=modelled.schema(made.schema))
            for made in each.makes(lowers=lowers)
        )
        if makes:
            first = each.before and all(made.kind in _NEEDED for made in makes)
            found.append(ModelStatement(each.sql, makes, first, len(found)))
    return found


def statement_index(difference: Difference, statements: Sequence[ModelStatement]) -> int:
    """Return the index of the statement that creates an object; the number of statements if none does.

    Args:
        difference: the difference of the object.
        statements: the statements of the models, in order.
    """
    return next(
        (n for n, each in enumerate(statements) if each.created_object(difference.name)), len(statements)
    )


def statement_operations(
    differences: Sequence[Difference], statements: Sequence[ModelStatement], connection: sa.Connection
) -> list[ops.MigrateOperation]:
    """Return the operations that create or replace a view, trigger, function or other object made by a statement.

    Args:
        differences: the difference of one object; several if they share a name, as overloaded functions do.
        statements: the statements of the models.
        connection: a connection to the database.

    Returns:
        One or two operations for each difference; a `ManualChangeOp` if no statement creates this object alone.
    """
    known = [each for each in statements if each.created_object(differences[0].name)]
    exact = [
        each
        for each in known
        if (made := each.created_object(differences[0].name)) and made.schema is not None
    ]
    known = exact or known
    by_hand = [ManualChangeOp(f"{each}: write it with op.execute") for each in differences]
    if len(known) == 1 and len(differences) == 1:
        return _statement_for(differences[0], known[0], connection)
    if len(known) != len(differences) or not all(each.missing for each in differences):
        return [*by_hand]
    # All of them are missing, so it does not matter which statement creates which object.
    return [
        operation
        for each, one in zip(differences, known, strict=True)
        for operation in _statement_for(each, one, connection)
    ]


def _statement_for(
    difference: Difference, known: ModelStatement, connection: sa.Connection
) -> list[ops.MigrateOperation]:
    name, dialect = difference.name, connection.dialect
    if name.kind in NEVER_DROPPED and difference.missing:
        return [
            StatementOp(
                dialect.name, if_not_exists(known.statement), None, before_tables=True, never_dropped=True
            )
        ]
    drop = _drop(name, difference.wanted or {}, dialect)
    if difference.missing:
        return [
            StatementOp(
                dialect.name, known.statement, drop, before_tables=known.before_tables, order=known.order
            )
        ]
    before = _before(difference, dialect)
    if before is None or len(known.creates) > 1:
        return [ManualChangeOp(f"{difference}: write it with op.execute")]
    return [
        StatementOp(dialect.name, _drop(name, difference.found or {}, dialect), before),
        StatementOp(dialect.name, known.statement, drop),
    ]


def _drop(name: Name, facets: Facets, dialect: sa.Dialect) -> str:
    whole, alone = identifier(dialect, name.schema, name.name), identifier(dialect, name.name)
    on_table = f"{alone} ON {identifier(dialect, name.schema, name.table)}"
    if name.kind in ("index", "unique"):
        return f"DROP INDEX {on_table if spelling(dialect.name).indexes_of_tables else whole}"
    if name.kind == "function":
        routine = "procedure" if (facets.get("header") or "").startswith("p ") else facets.get("routine")
        bare, parenthesis, arguments = name.name.partition("(")
        called = identifier(dialect, name.schema, bare)
        return f"DROP {(routine or 'function').upper()} {called}{parenthesis}{arguments}"
    if name.kind == "view":
        return f"DROP {'MATERIALIZED ' if facets.get('materialized') else ''}VIEW {whole}"
    if name.kind == "type":
        return f"DROP {'DOMAIN' if facets.get('of') == 'domain' else 'TYPE'} {whole}"
    if name.kind in ("table", "sequence"):
        return f"DROP {name.kind.upper()} {whole}"
    return f"DROP TRIGGER {on_table if spelling(dialect.name).triggers_of_tables else whole}"


def _before(difference: Difference, dialect: sa.Dialect) -> str | None:
    """Return the statement that creates the object as the database has it; None if the catalog does not hold it."""
    name, found = difference.name, difference.found or {}
    definition = found.get("definition") or ""
    if name.kind == "view":
        words = [
            "CREATE",
            f"SQL SECURITY {found['security']}" if found.get("security") else "",
            "MATERIALIZED VIEW" if found.get("materialized") else "VIEW",
            identifier(dialect, name.schema, name.name),
            found.get("columns") or "",
            f"WITH ({found['options']})" if found.get("options") else "",
            f"AS {definition.rstrip(';')}",
            f"WITH {found['check option']} CHECK OPTION" if found.get("check option") else "",
        ]
        return " ".join(filter(None, words))
    return definition if definition.lower().startswith("create ") else None
