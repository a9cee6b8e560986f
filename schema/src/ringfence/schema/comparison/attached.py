"""What the models make beside tables: views, and the DDL that they attach to a table or to a metadata.

`create_all` makes these by itself, a migration does not: so a revision is given their statements.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from sqlalchemy.sql.ddl import BaseDDLElement, ExecutableDDLElement

from ringfence.schema.backends.spelling import spelling
from ringfence.schema.comparison.by_hand import ByHandOp
from ringfence.schema.comparison.differences import Difference
from ringfence.schema.comparison.modelled import Modelled
from ringfence.schema.comparison.snapshot import Facets, Name

_MADE = re.compile(
    r"\bCREATE\s+(?:OR\s+REPLACE\s+)?(?:DEFINER\s*=\s*\S+\s+)?(?:TEMP(?:ORARY)?\s+)?(?:CONSTRAINT\s+)?"
    r"(?P<kind>TRIGGER|FUNCTION|PROCEDURE|(?:UNIQUE\s+)?INDEX|(?:MATERIALIZED\s+)?VIEW)\s+(?:IF\s+NOT\s+EXISTS\s+)?"
    r"(?P<name>(?:[\w$]+|\"[^\"]+\"|`[^`]+`)(?:\s*\.\s*(?:[\w$]+|\"[^\"]+\"|`[^`]+`))?)",
    re.IGNORECASE,
)
_EVENTS = ("before_create", "after_create")
_IMPORT = "from ringfence.schema.migrate import online"


class StatementOp(ops.MigrateOperation):
    """A statement of one dialect, with the one that takes it back.

    Args:
        dialect: SQLAlchemy's name of it; elsewhere the statement is not run.
        statement: as the models have it.
        back: what takes it back; None where that is not known.
    """

    def __init__(self, dialect: str, statement: str, back: str | None) -> None:
        self.dialect = dialect
        self.statement = statement
        self.back = back

    def reverse(self) -> ops.MigrateOperation:
        """The statement that takes it back."""
        if self.back is None:
            return ByHandOp(f"what takes this back: {self.statement}")
        return StatementOp(self.dialect, self.back, self.statement)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """For `alembic check`."""
        return ("statement", self.statement)


@renderers.dispatch_for(StatementOp)
def _render(context: AutogenContext, operation: StatementOp) -> str:
    context.imports.add(_IMPORT)
    return f"online.execute_on({operation.dialect!r}, {operation.statement!r})"


@dataclass(frozen=True, slots=True)
class Attached:
    """One statement of the models, and what it makes, by kind (`view`, `trigger`, `function`, `index`) and name."""

    statement: str
    makes: frozenset[tuple[str, str]]


def attached(modelled: Modelled, connection: sa.Connection) -> list[Attached]:
    """The statements that `create_all` would run beside those for tables and indexes, in their order.

    What a Python function does when it is called by such an event cannot be known.
    """
    found = []
    for target, element in _elements(modelled, connection):
        given: BaseDDLElement = (
            element.against(target) if isinstance(element, ExecutableDDLElement) else element
        )
        statement = _compiled(given, connection.dialect)
        makes = {
            (_kind(match["kind"]), _bare(match["name"], connection.dialect))
            for match in _MADE.finditer(statement)
        }
        if makes:
            found.append(Attached(statement, frozenset(makes)))
    return found


def _compiled(element: BaseDDLElement, dialect: sa.Dialect) -> str:
    """The statement as the server gets it: for some drivers, SQLAlchemy writes every percent sign twice."""
    text = str(element.compile(dialect=dialect)).strip()
    doubled = dialect.identifier_preparer._double_percents  # noqa: SLF001 - SQLAlchemy has no public way to ask
    return text.replace("%%", "%") if doubled else text


def _elements(modelled: Modelled, connection: sa.Connection) -> Iterator[tuple[Any, Any]]:
    tables = [*modelled.models.tables.values()]
    for metadata in modelled.models.metadata:
        yield from _listening(metadata, "before_create", connection)
    for table in tables:
        for event in _EVENTS:
            yield from _listening(table, event, connection)
    for metadata in modelled.models.metadata:
        for table in metadata.tables.values():
            if table.is_view:
                yield table, table._creator_ddl  # noqa: SLF001 - SQLAlchemy 2.1 keeps the statement of a view there
        yield from _listening(metadata, "after_create", connection)


def _listening(target: Any, event: str, connection: sa.Connection) -> Iterator[tuple[Any, Any]]:
    for listener in getattr(target.dispatch, event):
        if isinstance(listener, ExecutableDDLElement):
            condition = getattr(listener, "_ddl_if", None)
            if condition is None or condition._should_execute(  # noqa: SLF001 - as SQLAlchemy asks it
                listener, target, connection
            ):
                yield target, listener


def _kind(word: str) -> str:
    word = word.lower().split()[-1]
    return "function" if word == "procedure" else word


def _bare(name: str, dialect: sa.Dialect) -> str:
    """The name without its schema and quotes, as the server's catalog has it."""
    last = name.rpartition(".")[2].strip()
    bare = last.strip('"`')
    return bare.lower() if bare == last and spelling(dialect.name).lowers else bare


def statement_for(
    difference: Difference, statements: list[Attached], connection: sa.Connection
) -> ops.MigrateOperation:
    """What makes a view, a trigger or a function that is missing, or makes it anew.

    Args:
        difference: of such an object.
        statements: those of the models.
        connection: of the database.
    """
    name = difference.name
    own = (name.kind, name.name.partition("(")[0])
    known = next((each for each in statements if own in each.makes), None)
    if known is None:
        return ByHandOp(f"{difference}: write it with op.execute")
    drop = _drop(name, difference.wanted or {}, connection.dialect)
    if difference.missing:
        return StatementOp(connection.dialect.name, known.statement, drop)
    before = _before(difference, connection.dialect)
    if before is None or len(known.makes) > 1:
        return ByHandOp(f"{difference}: write it with op.execute")
    return ops.OpContainer(
        [
            StatementOp(
                connection.dialect.name, _drop(name, difference.found or {}, connection.dialect), before
            ),
            StatementOp(connection.dialect.name, known.statement, drop),
        ]
    )


def _drop(name: Name, facets: Facets, dialect: sa.Dialect) -> str:
    quote = dialect.identifier_preparer.quote
    schema = f"{quote(name.schema)}." if name.schema else ""
    if name.kind == "index":
        return f"DROP INDEX {schema}{quote(name.name)}"
    if name.kind == "function":
        routine = "procedure" if (facets.get("header") or "").startswith("p ") else facets.get("routine")
        bare, parenthesis, arguments = name.name.partition("(")
        return f"DROP {(routine or 'function').upper()} {schema}{quote(bare)}{parenthesis}{arguments}"
    if name.kind == "view":
        return f"DROP {'MATERIALIZED ' if facets.get('materialized') else ''}VIEW {schema}{quote(name.name)}"
    table = f" ON {schema}{quote(name.table)}" if spelling(dialect.name).triggers_of_tables else ""
    return f"DROP TRIGGER {'' if table else schema}{quote(name.name)}{table}"


def _before(difference: Difference, dialect: sa.Dialect) -> str | None:
    """What makes the object as it is in the database, where its definition says that."""
    name, found, quote = difference.name, difference.found or {}, dialect.identifier_preparer.quote
    definition = found.get("definition") or ""
    if name.kind == "view":
        words = [
            "CREATE",
            f"SQL SECURITY {found['security']}" if found.get("security") else "",
            "MATERIALIZED VIEW" if found.get("materialized") else "VIEW",
            f"{quote(name.schema)}.{quote(name.name)}" if name.schema else quote(name.name),
            f"WITH ({found['options']})" if found.get("options") else "",
            f"AS {definition.rstrip(';')}",
            f"WITH {found['check option']} CHECK OPTION" if found.get("check option") else "",
        ]
        return " ".join(filter(None, words))
    return definition if definition.lower().startswith("create ") else None
