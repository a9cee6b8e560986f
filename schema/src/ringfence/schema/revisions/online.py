"""Changes of tables that services use, by each engine's safe path; for `upgrade()` and `downgrade()` of a revision.

    from ringfence.schema.revisions import online

    def upgrade():
        online.create_index("ix_events_kind", "events", ["kind"])

Each function is made of Alembic's own operations, and takes the arguments of the one that it is named after.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.operations import Operations
from sqlalchemy.types import TypeEngine

from ringfence.schema.engines import online_ddl
from ringfence.schema.engines.online_ddl import OnlineDDL
from ringfence.schema.errors import NullLeft
from ringfence.schema.operations.foreign_key_indexes import IndexForeignKeyOp, UnindexForeignKeyOp
from ringfence.schema.operations.operations import (
    AddEnumLabelOp,
    ChangeLabelsOp,
    CreateEnumOp,
    CreateExcludeOp,
    CreateSequenceOp,
    DropEnumLabelOp,
    DropEnumOp,
    DropSequenceOp,
    ReplaceEnumOp,
)
from ringfence.schema.sql.text import verbatim

__all__ = [
    "add_enum_label",
    "change_labels",
    "create_check_constraint",
    "create_enum",
    "create_exclude_constraint",
    "create_foreign_key",
    "create_index",
    "create_sequence",
    "create_unique_constraint",
    "drop_constraint",
    "drop_enum",
    "drop_enum_label",
    "drop_exclude_constraint",
    "drop_index",
    "drop_sequence",
    "execute_on",
    "index_foreign_key",
    "replace_enum",
    "set_not_null",
    "unindex_foreign_key",
    "validate",
]


def create_index(
    name: str | None,
    table: str,
    columns: Sequence[Any],
    *,
    unique: bool = False,
    schema: str | None = None,
    **more: Any,
) -> None:
    """Make an index while rows are written.

    On PostgreSQL concurrently: all that stands before it in the revision is committed by it, so let it be alone, or
    with its like. When a build failed, the next run drops what it left behind and begins again.
    """
    _online_ddl().create_index(name, table, columns, schema, unique=unique, **more)


def drop_index(name: str, table_name: str | None = None, *, schema: str | None = None, **more: Any) -> None:
    """Drop an index without a lock that readers queue behind; on PostgreSQL it commits what stands before it."""
    _online_ddl().drop_index(name, table_name, schema, **more)


def create_unique_constraint(
    name: str, table: str, columns: Sequence[str], *, schema: str | None = None, **more: Any
) -> None:
    """Add a unique constraint while rows are written; on PostgreSQL from an index that is made concurrently."""
    _online_ddl().create_unique(name, table, columns, schema, **more)


def create_foreign_key(
    name: str,
    source_table: str,
    referent_table: str,
    local_cols: Sequence[str],
    remote_cols: Sequence[str],
    *,
    source_schema: str | None = None,
    **more: Any,
) -> None:
    """Add a foreign key. On PostgreSQL it binds new rows alone, until a later revision calls `validate`."""
    _online_ddl().create_foreign_key(
        name,
        source_table,
        referent_table,
        source_schema,
        local=list(local_cols),
        remote=list(remote_cols),
        **more,
    )


def create_check_constraint(name: str, table: str, condition: Any, *, schema: str | None = None) -> None:
    """Add a CHECK. On PostgreSQL it binds new rows alone, until a later revision calls `validate`."""
    _online_ddl().create_check(name, table, condition, schema)


def validate(name: str, table: str, *, schema: str | None = None) -> None:
    """Look at the rows that were there before a foreign key or CHECK was added; where that was done then, nothing."""
    _online_ddl().validate(name, table, schema)


def drop_constraint(name: str, table: str, type_: str | None = None, *, schema: str | None = None) -> None:
    """Drop a constraint, on every engine."""
    _online_ddl().drop_constraint(name, table, type_, schema)


def set_not_null(
    table: str,
    column: str,
    *,
    existing_type: TypeEngine[Any],
    schema: str | None = None,
    **existing: Any,
) -> None:
    """Refuse NULL in a column from now on.

    Args:
        table: its table.
        column: the column; no row may hold NULL in it.
        existing_type: its type, which MySQL and MariaDB must be told again.
        schema: of the table.
        existing: `existing_server_default` and the like, where there is one.

    Raises:
        NullLeft: when a row holds NULL; nothing was changed then.
    """
    _refuse_null(table, column, schema)
    _online_ddl().set_not_null(table, column, existing_type, schema, **existing)


def create_enum(name: str, labels: Sequence[str], *, schema: str | None = None) -> None:
    """Make a native enum type, unless it is there; nothing where the engine has none.

    Raises:
        JobFailed: it is there with other labels.
    """
    op.invoke(CreateEnumOp(name, labels, schema))


def drop_enum(name: str, labels: Sequence[str] = (), *, schema: str | None = None) -> None:
    """Drop a native enum type, where it is there; `labels` are what the way back makes it with."""
    op.invoke(DropEnumOp(name, labels, schema))


def add_enum_label(
    name: str, label: str, *, before: str | None = None, after: str | None = None, schema: str | None = None
) -> None:
    """Give a native enum type one more label, unless it has it; nothing where the engine has no such types.

    PostgreSQL lets nobody use the label before the revision is committed: use it in a later one.

    Args:
        name: the type.
        label: the new label.
        before: the label that it comes before.
        after: the label that it comes after; with neither, it comes last.
        schema: of the type.
    """
    op.invoke(AddEnumLabelOp(name, label, before=before, after=after, schema=schema))


def drop_enum_label(name: str, label: str, *, schema: str | None = None) -> None:
    """Take a label out of a native enum type, where it has it.

    The type is made anew and each table that has it is written anew, while others wait.

    Raises:
        LabelHeld: rows hold the label; nothing was changed then.
    """
    op.invoke(DropEnumLabelOp(name, label, schema=schema))


def replace_enum(
    name: str, labels: Sequence[str], *, existing_labels: Sequence[str] = (), schema: str | None = None
) -> None:
    """Give a native enum type these labels in this order; each table that has it is written anew, while others wait.

    Raises:
        LabelHeld: rows hold a label that is not among them; nothing was changed then.
    """
    op.invoke(ReplaceEnumOp(name, labels, existing_labels, schema=schema))


def change_labels(
    table: str,
    column: str,
    *,
    type_: sa.Enum | sa.Boolean,
    existing_type: sa.Enum | sa.Boolean,
    existing_nullable: bool,
    schema: str | None = None,
    **existing: Any,
) -> None:
    """Give a column of an enum other labels, where they stand in the column's type (MySQL, MariaDB) or in a CHECK.

    A Boolean, or an enum, is given its CHECK by it too, or loses it.

    Args:
        table: its table.
        column: the column.
        type_: with the new labels.
        existing_type: with those from before.
        existing_nullable: whether it takes NULL.
        schema: of the table.
        existing: `existing_server_default` and `existing_comment`, where there are.

    Raises:
        LabelHeld: rows hold a label that goes; nothing was changed then.
    """
    operation = ChangeLabelsOp(
        table, column, type_, existing_type, existing_nullable=existing_nullable, schema=schema, **existing
    )
    op.invoke(operation)


def create_sequence(name: str, *, schema: str | None = None, **options: Any) -> None:
    """Make a sequence, unless it is there; nothing where the engine has none.

    Args:
        name: the sequence.
        schema: its schema.
        options: as `sqlalchemy.Sequence` takes them: start, increment, minvalue, maxvalue, cycle, cache, data_type.
    """
    op.invoke(CreateSequenceOp(name, schema=schema, **options))


def drop_sequence(name: str, *, schema: str | None = None, **options: Any) -> None:
    """Drop a sequence, where it is there; `options` are what the way back makes it with."""
    op.invoke(DropSequenceOp(name, schema=schema, **options))


def execute_on(dialect: str, statement: str) -> None:
    """Run a statement on one dialect, and nothing on the others.

    Args:
        dialect: SQLAlchemy's name of it: postgresql, mysql, mariadb or sqlite.
        statement: SQL, in which a colon is a colon.
    """
    if op.get_context().dialect.name == dialect:
        op.execute(verbatim(statement))


def create_exclude_constraint(name: str, table: str, *elements: Any, **more: Any) -> None:
    """Add an EXCLUDE constraint, as `op.create_exclude_constraint`; nothing where the engine has none."""
    op.invoke(CreateExcludeOp(name, table, elements, **more))


def drop_exclude_constraint(name: str, table: str, *, schema: str | None = None) -> None:
    """Drop an EXCLUDE constraint; nothing where the engine has none."""
    _online_ddl().drop_exclude(name, table, schema)


def index_foreign_key(name: str, table: str, columns: Sequence[str], *, schema: str | None = None) -> None:
    """Give a foreign key an index of its own on MySQL and MariaDB, which refuse to drop the last one that serves it.

    Args:
        name: the index, called as the key: so the server itself would call it.
        table: the table.
        columns: the key's.
        schema: of the table.
    """
    op.invoke(IndexForeignKeyOp(name, table, columns, schema=schema))


def unindex_foreign_key(
    name: str, table: str, columns: Sequence[str] = (), *, schema: str | None = None
) -> None:
    """Take that index away, where it is there, once another serves the key."""
    op.invoke(UnindexForeignKeyOp(name, table, columns, schema=schema))


@Operations.implementation_for(CreateExcludeOp)
def _create_exclude(operations: Operations, operation: CreateExcludeOp) -> None:
    _online_ddl().create_exclude(operations, operation)


@Operations.implementation_for(CreateEnumOp)
def _create_enum(operations: Operations, operation: CreateEnumOp) -> None:
    _online_ddl().create_enum(operations, operation.name, operation.labels, operation.schema)


@Operations.implementation_for(DropEnumOp)
def _drop_enum(operations: Operations, operation: DropEnumOp) -> None:
    _online_ddl().drop_enum(operations, operation.name, operation.schema)


@Operations.implementation_for(AddEnumLabelOp)
def _add_enum_label(operations: Operations, operation: AddEnumLabelOp) -> None:
    _online_ddl().add_enum_label(operations, operation)


@Operations.implementation_for(DropEnumLabelOp)
def _drop_enum_label(operations: Operations, operation: DropEnumLabelOp) -> None:
    _online_ddl().drop_enum_label(operations, operation)


@Operations.implementation_for(ReplaceEnumOp)
def _replace_enum(operations: Operations, operation: ReplaceEnumOp) -> None:
    _online_ddl().replace_enum(operations, operation.name, operation.labels, operation.schema)


@Operations.implementation_for(ChangeLabelsOp)
def _change_labels(operations: Operations, operation: ChangeLabelsOp) -> None:
    _online_ddl().change_labels(operations, operation)


@Operations.implementation_for(CreateSequenceOp)
def _create_sequence(operations: Operations, operation: CreateSequenceOp) -> None:
    _online_ddl().create_sequence(
        operations, sa.Sequence(operation.name, schema=operation.schema, **operation.options)
    )


@Operations.implementation_for(DropSequenceOp)
def _drop_sequence(operations: Operations, operation: DropSequenceOp) -> None:
    _online_ddl().drop_sequence(operations, sa.Sequence(operation.name, schema=operation.schema))


@Operations.implementation_for(IndexForeignKeyOp)
def _index_foreign_key(operations: Operations, operation: IndexForeignKeyOp) -> None:
    _online_ddl().index_foreign_key(operation.name, operation.table_name, operation.columns, operation.schema)


@Operations.implementation_for(UnindexForeignKeyOp)
def _unindex_foreign_key(operations: Operations, operation: UnindexForeignKeyOp) -> None:
    _online_ddl().unindex_foreign_key(operations, operation.name, operation.table_name, operation.schema)


def _online_ddl() -> OnlineDDL:
    return online_ddl(op.get_context().dialect.name)


def _refuse_null(table: str, column: str, schema: str | None) -> None:
    """On PostgreSQL and MySQL alike, said before the first statement, and with the way out."""
    context = op.get_context()
    if context.as_sql:  # no database is asked: SQL is printed, or the lint looks
        return
    cell: sa.ColumnClause[Any] = sa.column(column)
    rows = sa.select(sa.literal(1)).select_from(sa.table(table, schema=schema)).where(cell.is_(None)).limit(1)
    if op.get_bind().execute(rows).first() is not None:
        place = f"{schema}.{table}" if schema else table
        raise NullLeft(
            f"{place}.{column} is to be NOT NULL, and rows hold NULL there: fill them first, by"
            f" `ringfence backfill` where one is declared (`ringfence backfill --list`), and run this again"
        )
