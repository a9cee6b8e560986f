"""Native enum types of PostgreSQL: created once, extended, and recreated where labels are removed or reordered."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from alembic.ddl.postgresql import PostgresqlImpl
from alembic.operations import Operations
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.named_types import CreateEnumType

from ringfence.schema.engines.postgresql.column_types import ColumnChange, dependents_of
from ringfence.schema.errors import JobFailed, LabelInUse
from ringfence.schema.models.enums import native_enums
from ringfence.schema.operations.operations import CreateExcludeOp
from ringfence.schema.sql.text import identifier, literal
from ringfence.schema.text import counted

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_MEMO = "pg_enum"  # SQLAlchemy's key in `memo`, for the enum types that a run has created
_LABELS = """
    SELECT e.enumlabel FROM pg_catalog.pg_enum e WHERE e.enumtypid = to_regtype(:type) ORDER BY e.enumsortorder
"""
_COLUMNS = """
    SELECT n.nspname, c.relname, a.attname, a.atttypid <> t.oid AS several, pg_get_expr(d.adbin, d.adrelid)
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_attribute a ON a.atttypid IN (t.oid, t.typarray) AND NOT a.attisdropped AND a.attinhcount = 0
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'f')
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE t.oid = to_regtype(:type) ORDER BY 1, 2, a.attnum
"""


class EnumAwareImpl(PostgresqlImpl):
    """Alembic's implementation for PostgreSQL, replaced by this subclass as soon as it is defined.

    Alembic creates a column's enum type with every table that uses it, so a second table or a second run fails.
    """

    __dialect__ = "postgresql"

    def create_table(self, table: sa.Table, **kw: Any) -> None:
        """Create a table, with those enum types of its columns that do not exist yet.

        Args:
            table: the table with its columns.
            kw: further arguments of Alembic.
        """
        if not self.as_sql and self.connection is not None:
            for column in table.columns:
                for kind in native_enums(column.type):
                    if _labels(self.connection, str(kind.name), kind.schema) is not None:
                        self.memo.setdefault(_MEMO, set()).add((kind.schema, kind.name))
        super().create_table(table, **kw)

    def alter_column(
        self, table_name: str, column_name: str, *, schema: str | None = None, **kw: Any
    ) -> None:
        """Alter a column, adding the USING of a change of type and the steps between SERIAL and IDENTITY.

        Args:
            table_name: the table.
            column_name: the column.
            schema: the table's schema; None is the default one.
            kw: further arguments of Alembic.
        """
        before: list[str] = []
        after: list[str] = []
        kind, default = kw.get("type_"), kw.get("server_default", False)
        if kind is not None:
            kind = kw["type_"] = sa.types.to_instance(kind)  # Alembic accepts a class too
        if not self.as_sql and self.connection is not None:
            whole = _quoted(table_name, schema)
            column = ColumnChange(self.connection, whole, str(column_name), self.dialect)
            if kind is not None and kw.get("postgresql_using") is None and (using := column.using(kind)):
                kw["postgresql_using"] = using
                before, after = column.default_aside(kind, stays=default is False)
            if default is not False:
                first, last, identity = column.counted(default, by_sequence=kw.pop("autoincrement", None))
                before, after = before + first, after + last
                said = isinstance(kw.get("existing_server_default"), sa.Identity)
                if said is (identity is None):
                    kw["existing_server_default"] = identity
        for statement in before:
            self._exec(_statement(statement))
        super().alter_column(table_name, column_name, schema=schema, **kw)
        for statement in after:
            self._exec(_statement(statement))


def create_enum(operations: Operations, name: str, labels: Sequence[str], schema: str | None) -> None:
    """Create a type, unless it exists with the same labels.

    Args:
        operations: the operations of the running migration.
        name: the type's name.
        labels: its labels in their order.
        schema: the type's schema; None is the default one.

    Raises:
        JobFailed: the type exists with other labels.
    """
    context = operations.get_context()
    found = None if context.as_sql else _labels(operations.get_bind(), name, schema)
    if found is None:
        operations.execute(CreateEnumType(postgresql.ENUM(*labels, name=name, schema=schema)))
    elif found != list(labels):
        raise JobFailed(
            f"the type {_shown(name, schema)} is there already, with the labels {_listed(found)}; the revision makes it"
            f" with {_listed(labels)}: give one of the two another name, or drop what is there if nothing uses it"
        )
    context.impl.memo.setdefault(_MEMO, set()).add((schema, name))


def drop_enum(operations: Operations, name: str, schema: str | None) -> None:
    """Drop a type if it exists.

    Args:
        operations: the operations of the running migration.
        name: the type's name.
        schema: the type's schema; None is the default one.
    """
    context = operations.get_context()
    _send(operations, f"DROP TYPE IF EXISTS {_quoted(name, schema)}")
    context.impl.memo.setdefault(_MEMO, set()).discard((schema, name))


def add_label(
    operations: Operations, name: str, label: str, before: str | None, after: str | None, schema: str | None
) -> None:
    """Add a label to a type, unless it has the label; without `before` and `after` it becomes the last one.

    Args:
        operations: the operations of the running migration.
        name: the type's name.
        label: the new label.
        before: the existing label that it precedes.
        after: the existing label that it follows.
        schema: the type's schema; None is the default one.
    """
    where = ""
    if before is not None or after is not None:
        word, neighbour = ("BEFORE", before) if before is not None else ("AFTER", after)
        where = f" {word} {literal(str(neighbour))}"
    _send(operations, f"ALTER TYPE {_quoted(name, schema)} ADD VALUE IF NOT EXISTS {literal(label)}{where}")


def drop_label(operations: Operations, name: str, label: str, schema: str | None) -> None:
    """Remove a label from a type, if it has the label.

    Args:
        operations: the operations of the running migration.
        name: the type's name.
        label: the label to remove.
        schema: the type's schema; None is the default one.

    Raises:
        LabelInUse: rows still hold the label.
        JobFailed: the migration only prints SQL.
    """
    _refuse_printing(operations, name, schema)
    found = _labels(operations.get_bind(), name, schema) or []
    if label in found:
        replace_enum(operations, name, [one for one in found if one != label], schema)


def replace_enum(operations: Operations, name: str, labels: Sequence[str], schema: str | None) -> None:
    """Recreate a type with other labels, and change every column of the old type to it.

    Args:
        operations: the operations of the running migration.
        name: the type's name.
        labels: the new labels in their order.
        schema: the type's schema; None is the default one.

    Raises:
        LabelInUse: rows hold a label that is not among the new ones; nothing was changed.
        JobFailed: the type does not exist, or the migration only prints SQL.
    """
    _refuse_printing(operations, name, schema)
    bind = operations.get_bind()
    found = _labels(bind, name, schema)
    if found is None:
        raise JobFailed(f"the type {_shown(name, schema)} is to have other labels, and is not there")
    if found == list(labels):
        return
    columns = [_Column(*row) for row in bind.execute(sa.text(_COLUMNS), {"type": _quoted(name, schema)})]
    for column in columns:
        _refuse_held(bind, column, [label for label in found if label not in labels])
    whole, old = _quoted(name, schema), f"{name[:55]}__old"
    aside = dependents_of(bind, whole)
    for statement in aside.drops:
        _send(operations, statement)
    _send(operations, f"ALTER TYPE {whole} RENAME TO {_quoted(old, None)}")
    operations.execute(CreateEnumType(postgresql.ENUM(*labels, name=name, schema=schema)))
    for column in columns:
        kind = f"{whole}[]" if column.several else whole
        cell = _quoted(column.name, None)
        text = f"{cell}::text{'[]' if column.several else ''}"
        parts = [f"ALTER COLUMN {cell} TYPE {kind} USING {text}::{kind}"]
        if column.default is not None:
            parts.insert(0, f"ALTER COLUMN {cell} DROP DEFAULT")
            parts.append(f"ALTER COLUMN {cell} SET DEFAULT {column.default}")
        _send(operations, f"ALTER TABLE {_quoted(column.table, column.schema)} {', '.join(parts)}")
    for statement in aside.makes:
        _send(operations, statement)
    _send(operations, f"DROP TYPE {_quoted(old, schema)}")


def create_exclude(operations: Operations, create: CreateExcludeOp) -> None:
    """Add an EXCLUDE constraint.

    Args:
        operations: the operations of the running migration.
        create: the constraint.

    Raises:
        JobFailed: the constraint has an option that cannot be written.
    """

    def written(given: Any) -> str:
        if isinstance(given, str):
            return given
        return str(
            given.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True, "include_table": False})
        )

    options = dict(create.options)
    elements = ", ".join(f"{written(one)} WITH {operator}" for one, operator in create.elements)
    name = _quoted(create.constraint_name, None)
    statement = (
        f"ALTER TABLE {_quoted(create.table_name, create.schema)} ADD CONSTRAINT {name}"
        f" EXCLUDE USING {options.pop('using', None) or 'gist'} ({elements})"
    )
    if (where := options.pop("where", None)) is not None:
        statement += f" WHERE ({written(where)})"
    if options.pop("deferrable", None):
        statement += " DEFERRABLE"
    if initially := options.pop("initially", None):
        statement += f" INITIALLY {initially}"
    if unknown := sorted(word for word, value in options.items() if value is not None):
        raise JobFailed(
            f"{create.constraint_name}: an EXCLUDE constraint is written without {', '.join(unknown)}"
        )
    _send(operations, statement)


@dataclass(frozen=True)
class _Column:
    """A column of the enum type, or of an array of it."""

    schema: str
    table: str
    name: str
    several: bool
    """Whether the column is an array of the type."""
    default: str | None


def _refuse_held(bind: sa.Connection, column: _Column, gone: Sequence[str]) -> None:
    if not gone:
        return
    cell = _quoted(column.name, None)
    condition = f"{cell}::text[] && CAST(:gone AS text[])" if column.several else f"{cell}::text = ANY(:gone)"
    query = f"SELECT count(*) FROM {_quoted(column.table, column.schema)} WHERE {condition}"  # noqa: S608 - quoted names
    if rows := bind.execute(sa.text(query), {"gone": list(gone)}).scalar_one():
        raise LabelInUse(
            f"{column.table}.{column.name}: {counted(rows, 'row')} hold {_listed(gone)}, which the enum is to lose:"
            " give these rows another value first, and run this again; nothing was changed"
        )


def _labels(bind: sa.Connection, name: str, schema: str | None) -> list[str] | None:
    """Return the labels of a type in their order; None if the type does not exist."""
    found = bind.execute(sa.text(_LABELS), {"type": _quoted(name, schema)}).scalars().all()
    return list(found) or None


def _refuse_printing(operations: Operations, name: str, schema: str | None) -> None:
    if operations.get_context().as_sql:
        raise JobFailed(
            f"what makes the type {_shown(name, schema)} anew depends on the columns that have it, and cannot be"
            " printed as SQL: run the revision on the database"
        )


def _send(operations: Operations, statement: str) -> None:
    operations.execute(_statement(statement))


def _statement(text: str) -> sa.DDL:
    """Build DDL from a text; `sa.DDL` formats percent signs, and leaves colons alone."""
    return sa.DDL(text.replace("%", "%%"))  # type: ignore[no-untyped-call] # SQLAlchemy has no types for it


def _quoted(name: str, schema: str | None) -> str:
    return identifier(_DIALECT, schema, name)


def _shown(name: str, schema: str | None) -> str:
    return f"{schema}.{name}" if schema else name


def _listed(labels: Iterable[str]) -> str:
    return ", ".join(map(repr, labels))
