"""Operations for views and for DDL that the models attach to a table or to a metadata.

`create_all` runs these statements by itself, a migration does not, so a revision must contain them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops

from ringfence.schema.comparison.differences import Difference
from ringfence.schema.comparison.manual_changes import ManualChangeOp
from ringfence.schema.comparison.model_objects import ModelLookup
from ringfence.schema.comparison.scratch import if_not_exists
from ringfence.schema.comparison.snapshot import Facets, Name
from ringfence.schema.comparison.statements import CreatedObject, statements
from ringfence.schema.sql.identifiers import spelling
from ringfence.schema.sql.text import identifier

PREREQUISITE_KINDS = ("schema", "extension", "enum", "type", "sequence")
"""The kinds of objects that must exist before the tables that use them."""
_NEEDED = ("extension", "function", "schema", "sequence", "type")
NEVER_DROPPED = ("schema", "extension")
"""Kinds that no downgrade drops: others may use the object, and it may have existed before the revision."""
_IMPORT = "from ringfence.schema.revisions import online"


class StatementOp(ops.MigrateOperation):
    """A statement for one dialect, with the statement that reverses it.

    Args:
        dialect: SQLAlchemy's name of the dialect; on other dialects the statement is not run.
        statement: the SQL text.
        back: the SQL text that reverses it; None if that is unknown.
        first: whether tables may need the created object, so that the statement must run before they are created.
        stays: whether a downgrade leaves the created object in the database.
        order: index among the statements of the models; -1 for a statement that is not from the models.
    """

    def __init__(
        self,
        dialect: str,
        statement: str,
        back: str | None,
        *,
        first: bool = False,
        stays: bool = False,
        order: int = -1,
    ) -> None:
        self.dialect = dialect
        self.statement = statement
        self.reverse_sql = back
        self.before_tables = first
        self.never_dropped = stays
        self.order = order

    def reverse(self) -> ops.MigrateOperation:
        """Return the operation that reverses the statement: a `ManualChangeOp` if unknown, nothing if it stays."""
        if self.never_dropped:
            return ops.OpContainer([])
        if self.reverse_sql is None:
            return ManualChangeOp(f"what takes this back: {self.statement}")
        return StatementOp(self.dialect, self.reverse_sql, self.statement)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the statement as `alembic check` lists it."""
        return ("statement", self.statement)


@renderers.dispatch_for(StatementOp)
def _render(context: AutogenContext, operation: StatementOp) -> str:
    context.imports.add(_IMPORT)
    return f"online.execute_on({operation.dialect!r}, {operation.statement!r})"


@dataclass(frozen=True, slots=True)
class ModelStatement:
    """One statement of the models, and the objects that it creates."""

    statement: str
    makes: frozenset[CreatedObject]
    first: bool = False
    """Whether it must run before tables are created: tables may need its objects, and its objects need no table."""
    order: int = -1
    """Its index among the statements of the models."""

    def made(self, name: Name) -> CreatedObject | None:
        """Return the object of this name that the statement creates, or None; function arguments are not compared.

        Args:
            name: the object's name in the reference snapshot.
        """
        kind = "index" if name.kind == "unique" else name.kind  # some servers do not distinguish them
        plain = name.name.partition("(")[0] if name.kind == "function" else name.name
        for each in self.makes:
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


def position(difference: Difference, statements: Sequence[ModelStatement]) -> int:
    """Return the index of the statement that creates an object; the number of statements if none does.

    Args:
        difference: the difference of the object.
        statements: the statements of the models, in order.
    """
    return next((n for n, each in enumerate(statements) if each.made(difference.name)), len(statements))


def statements_for(
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
    known = [each for each in statements if each.made(differences[0].name)]
    exact = [each for each in known if (made := each.made(differences[0].name)) and made.schema is not None]
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
        return [StatementOp(dialect.name, if_not_exists(known.statement), None, first=True, stays=True)]
    drop = _drop(name, difference.wanted or {}, dialect)
    if difference.missing:
        return [StatementOp(dialect.name, known.statement, drop, first=known.first, order=known.order)]
    before = _before(difference, dialect)
    if before is None or len(known.makes) > 1:
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
