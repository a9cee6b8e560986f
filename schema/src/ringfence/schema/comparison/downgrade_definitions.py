"""Drops and alterations whose downgrade uses the server's definition, where SQLAlchemy's reflection is incomplete."""

import re
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from ringfence.schema.comparison.manual_changes import ManualChangeOp
from ringfence.schema.comparison.model_statements import StatementOp
from ringfence.schema.comparison.snapshot import Facets, Name
from ringfence.schema.sql.text import identifier, verbatim

_PLAIN = re.compile(r"\((\w+|`\w+`)(, (\w+|`\w+`))*\)")


def drop_expression_index(name: Name, found: Facets, schema: str | None) -> ops.DropIndexOp | None:
    """Drop an index with expressions, directions or collations; the downgrade uses the server's definition of it.

    On MySQL, SQLAlchemy reflects a unique key over expressions as one over the remaining columns. On MySQL and SQLite
    it reflects neither directions nor collations.

    Args:
        name: the index.
        found: its facets in the database.
        schema: the schema of its table; None is the default one.

    Returns:
        The drop operation; None for an index that has plain columns only.
    """
    columns, kind, where = found.get("columns"), found.get("kind"), found.get("where")
    if columns is None or (kind is None and where is None and _PLAIN.fullmatch(columns)):
        return None
    options: dict[str, Any] = {f"{dialect}_prefix": kind for dialect in ("mysql", "mariadb")} if kind else {}
    options["unique"] = "unique" in found or name.kind == "unique"
    if where is not None:
        options |= {f"{dialect}_where": verbatim(where) for dialect in ("sqlite", "postgresql")}
    words = [verbatim(columns[1:-1])]
    back = ops.CreateIndexOp(name.name, name.table, words, schema=schema, **options)
    return ops.DropIndexOp(name.name, name.table, schema=schema, _reverse=back, **options)


def existing_default(existing: sa.Column[Any], found: Facets) -> Any:
    """Return the current default of a column, from the catalog where SQLAlchemy reflects only part of it.

    Args:
        existing: the column as SQLAlchemy reflects it.
        found: its facets in the database.

    Returns:
        The value for `existing_server_default` of `AlterColumnOp`.
    """
    read, default = existing.server_default, found.get("default")
    if isinstance(read, sa.Computed):
        return False
    text = str(read.arg) if isinstance(read, sa.DefaultClause) else ""
    if (
        default is not None
        and not isinstance(read, sa.Identity)
        and default != text
        and default.startswith(text)
    ):
        update = found.get("on update")
        return sa.DefaultClause(verbatim(f"{default} ON UPDATE {update}" if update else default))
    return read


_CLAUSE = re.compile(r"(PRIMARY KEY|UNIQUE|CHECK|FOREIGN KEY|EXCLUDE)\b")
_DEFERRABLE = re.compile(r"(?<!NOT) DEFERRABLE\b")
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
        return ManualChangeOp(f"remove {name}: SQLAlchemy cannot read its definition for the downgrade")
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
    if isinstance(read, sa.UniqueConstraint) and _DEFERRABLE.search(definition):
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
    if existing is not None and (words := _collated_columns(found.get("definition") or "")):
        return _with_column_list(existing, words)
    return drop_expression_index(name, found, schema)


def _with_column_list(existing: sa.Index, words: str) -> ops.DropIndexOp:
    """Return the drop of an index whose downgrade has this text as its list of columns."""
    made = ops.CreateIndexOp.from_index(existing)
    options = {word: value for word, value in made.kw.items() if not word.endswith("_ops")}
    back = ops.CreateIndexOp(
        made.index_name, made.table_name, [verbatim(words)], schema=made.schema, unique=made.unique, **options
    )
    return ops.DropIndexOp(
        str(made.index_name), made.table_name, schema=made.schema, _reverse=back, **made.kw
    )


def _collated_columns(definition: str) -> str | None:
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
