"""Drops of indexes and constraints whose downgrade uses the server's definition, where reflection is incomplete."""

import re

import sqlalchemy as sa
from alembic.operations import ops

from ringfence.schema.comparison.attached import StatementOp
from ringfence.schema.comparison.manual_changes import ManualChangeOp
from ringfence.schema.comparison.server_definitions import drop_expression_index
from ringfence.schema.comparison.snapshot import Facets, Name
from ringfence.schema.sql.text import identifier, verbatim

_CLAUSE = re.compile(r"(PRIMARY KEY|UNIQUE|CHECK|FOREIGN KEY|EXCLUDE)\b")
_WAITS = re.compile(r"(?<!NOT) DEFERRABLE\b")
_COLLATED = re.compile(r"\bCOLLATE\b")


def drop_constraint_by_definition(name: Name, found: Facets, dialect: sa.Dialect) -> ops.MigrateOperation:
    """Return the drop of a constraint that SQLAlchemy does not reflect, such as EXCLUDE.

    Args:
        name: the constraint.
        found: its facets in the database.
        dialect: the dialect of the database.

    Returns:
        The statement with its reverse; a `ManualChangeOp` if the catalog does not give a definition.
    """
    definition = found.get("definition") or ""
    if not _CLAUSE.match(definition):
        return ManualChangeOp(f"remove {name}: SQLAlchemy cannot read what is to be written back")
    table, label = identifier(dialect, name.schema, name.table), identifier(dialect, name.name)
    drop = f"ALTER TABLE {table} DROP CONSTRAINT {label}"
    back = f"ALTER TABLE {table} ADD CONSTRAINT {label} {definition}"
    return StatementOp(dialect.name, drop, back)


def with_deferrable(read: sa.Constraint, found: Facets) -> sa.Constraint:
    """Add DEFERRABLE and INITIALLY DEFERRED to a unique constraint, which SQLAlchemy does not reflect.

    Args:
        read: the reflected constraint; it is changed in place if the definition says DEFERRABLE.
        found: its facets in the database.

    Returns:
        The same constraint.
    """
    definition = (found.get("definition") or "").upper()
    if isinstance(read, sa.UniqueConstraint) and _WAITS.search(definition):
        read.deferrable = True
        read.initially = "DEFERRED" if definition.endswith(" INITIALLY DEFERRED") else None
    return read


def drop_index_by_definition(
    name: Name, found: Facets, schema: str | None, existing: sa.Index | None
) -> ops.DropIndexOp | None:
    """Return the drop of an index that SQLAlchemy reflects incompletely; its downgrade uses the server's definition.

    SQLAlchemy does not reflect the collations of PostgreSQL's indexes; for the other cases see `drop_expression_index`.

    Args:
        name: the index.
        found: its facets in the database.
        schema: the schema as the models write it.
        existing: the index as SQLAlchemy reflects it.

    Returns:
        The drop operation; None if SQLAlchemy reflects the index completely.
    """
    if existing is not None and (words := _collated(found.get("definition") or "")):
        return _with_words(existing, words)
    return drop_expression_index(name, found, schema)


def _with_words(existing: sa.Index, words: str) -> ops.DropIndexOp:
    """Return the drop of an index whose downgrade has this text as its list of columns."""
    made = ops.CreateIndexOp.from_index(existing)
    options = {word: value for word, value in made.kw.items() if not word.endswith("_ops")}
    back = ops.CreateIndexOp(
        made.index_name, made.table_name, [verbatim(words)], schema=made.schema, unique=made.unique, **options
    )
    return ops.DropIndexOp(
        str(made.index_name), made.table_name, schema=made.schema, _reverse=back, **made.kw
    )


def _collated(definition: str) -> str | None:
    """Return the column list of an index, of `btree (a COLLATE "C", lower(b)) WHERE …`; None without a collation."""
    start = definition.find("(")
    depth, quoted = 0, ""
    for at in range(max(start, 0), len(definition)):
        mark = definition[at]
        if quoted:
            quoted = "" if mark == quoted else quoted
        elif mark in "'\"":
            quoted = mark
        else:
            depth += (mark == "(") - (mark == ")")
            if not depth:
                inner = definition[start + 1 : at]
                return inner if _COLLATED.search(inner) else None
    return None
