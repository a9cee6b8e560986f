"""Changes of tables that services are using, by each engine's safe method, for the functions of a revision.

    from ringfence.schema.revisions import online

    def upgrade():
        online.create_index("ix_events_kind", "events", ["kind"])

Each function is built from Alembic's own operations, and takes the arguments of the operation of the same name. A
schema of None is the default schema.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.operations import Operations
from sqlalchemy.types import TypeEngine

from ringfence.schema.alembic_compat import implementation
from ringfence.schema.engines import online_ddl_of
from ringfence.schema.engines.online_ddl import OnlineDDL
from ringfence.schema.errors import NullRowsRemain
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
from ringfence.schema.sql.table_keys import key_of
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
    """Create an index while rows are being written.

    PostgreSQL builds it concurrently, which commits everything before it in the revision: put it into a revision of
    its own, or only with others of its kind. If the build fails, the next run drops the invalid index and builds it
    again.

    Args:
        name: the index.
        table: its table.
        columns: column names or SQL expressions.
        unique: whether the index is unique.
        schema: the table's schema.
        more: further arguments of `op.create_index`.
    """
    _online_ddl().create_index(name, table, columns, schema, unique=unique, **more)


def drop_index(name: str, table_name: str | None = None, *, schema: str | None = None, **more: Any) -> None:
    """Drop an index without blocking readers.

    PostgreSQL drops it concurrently, which commits everything before it in the revision.

    Args:
        name: the index.
        table_name: its table, which MySQL and MariaDB need.
        schema: the table's schema.
        more: further arguments of `op.drop_index`.
    """
    _online_ddl().drop_index(name, table_name, schema, **more)


def create_unique_constraint(
    name: str, table: str, columns: Sequence[str], *, schema: str | None = None, **more: Any
) -> None:
    """Add a unique constraint while rows are being written; on PostgreSQL from an index that is built concurrently.

    Args:
        name: the constraint.
        table: its table.
        columns: column names.
        schema: the table's schema.
        more: further arguments of `op.create_unique_constraint`.
    """
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
    """Add a foreign key; on PostgreSQL it applies to new rows only, until a later revision calls `validate`.

    Args:
        name: the constraint.
        source_table: the table that refers.
        referent_table: the table that is referred to.
        local_cols: the referring columns.
        remote_cols: the columns they refer to, in the same order.
        source_schema: the schema of the referring table.
        more: further arguments of `op.create_foreign_key`.
    """
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
    """Add a CHECK; on PostgreSQL it applies to new rows only, until a later revision calls `validate`.

    Args:
        name: the constraint.
        table: its table.
        condition: SQL text or a SQLAlchemy expression.
        schema: the table's schema.
    """
    _online_ddl().create_check(name, table, condition, schema)


def validate(name: str, table: str, *, schema: str | None = None) -> None:
    """Check the existing rows of a foreign key or CHECK; does nothing on engines that did so when it was added.

    Args:
        name: the constraint.
        table: its table.
        schema: the table's schema.
    """
    _online_ddl().validate(name, table, schema)


def drop_constraint(name: str, table: str, type_: str | None = None, *, schema: str | None = None) -> None:
    """Drop a constraint, on every engine.

    Args:
        name: the constraint.
        table: its table.
        type_: `foreignkey`, `unique`, `check` or `primary`, which some engines need.
        schema: the table's schema.
    """
    _online_ddl().drop_constraint(name, table, type_, schema)


def set_not_null(
    table: str,
    column: str,
    *,
    existing_type: TypeEngine[Any],
    schema: str | None = None,
    **existing: Any,
) -> None:
    """Make a column NOT NULL.

    Args:
        table: the column's table.
        column: the column; no row may hold NULL in it.
        existing_type: its type, which MySQL and MariaDB need in the statement.
        schema: the table's schema.
        existing: further attributes to keep, such as `existing_server_default`.

    Raises:
        NullRowsRemain: a row holds NULL; nothing was changed.
    """
    _refuse_null(table, column, schema)
    _online_ddl().set_not_null(table, column, existing_type, schema, **existing)


def create_enum(name: str, labels: Sequence[str], *, schema: str | None = None) -> None:
    """Create a native enum type unless it exists; does nothing on engines without enum types.

    Args:
        name: the type.
        labels: its labels, in their order.
        schema: the type's schema.

    Raises:
        JobFailed: it exists with other labels.
    """
    op.invoke(CreateEnumOp(name, labels, schema))


def drop_enum(name: str, labels: Sequence[str] = (), *, schema: str | None = None) -> None:
    """Drop a native enum type if it exists.

    Args:
        name: the type.
        labels: the labels with which the reverse operation creates it.
        schema: the type's schema.
    """
    op.invoke(DropEnumOp(name, labels, schema))


def add_enum_label(
    name: str, label: str, *, before: str | None = None, after: str | None = None, schema: str | None = None
) -> None:
    """Add a label to a native enum type unless it has it; does nothing on engines without enum types.

    PostgreSQL does not allow the label to be used before the revision is committed: use it in a later one.

    Args:
        name: the type.
        label: the new label.
        before: the label that it comes before.
        after: the label that it comes after; with neither, it comes last.
        schema: the type's schema.
    """
    op.invoke(AddEnumLabelOp(name, label, before=before, after=after, schema=schema))


def drop_enum_label(name: str, label: str, *, schema: str | None = None) -> None:
    """Remove a label from a native enum type if it has it.

    The type is created anew, and every table that uses it is rewritten under a lock.

    Args:
        name: the type.
        label: the label to remove.
        schema: the type's schema.

    Raises:
        LabelInUse: rows hold the label; nothing was changed.
    """
    op.invoke(DropEnumLabelOp(name, label, schema=schema))


def replace_enum(
    name: str, labels: Sequence[str], *, existing_labels: Sequence[str] = (), schema: str | None = None
) -> None:
    """Give a native enum type these labels in this order; every table that uses it is rewritten under a lock.

    Args:
        name: the type.
        labels: the new labels.
        existing_labels: the present labels, for the reverse operation.
        schema: the type's schema.

    Raises:
        LabelInUse: rows hold a label that is removed; nothing was changed.
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
    """Change the labels of an enum that are part of the column's type (MySQL, MariaDB) or of a CHECK.

    This also adds or removes the CHECK of an enum or a Boolean.

    Args:
        table: the column's table.
        column: the column.
        type_: its type with the new labels.
        existing_type: its type with the present labels.
        existing_nullable: whether it is nullable.
        schema: the table's schema.
        existing: further attributes to keep: `existing_server_default`, `existing_comment`.

    Raises:
        LabelInUse: rows hold a label that is removed; nothing was changed.
    """
    operation = ChangeLabelsOp(
        table, column, type_, existing_type, existing_nullable=existing_nullable, schema=schema, **existing
    )
    op.invoke(operation)


def create_sequence(name: str, *, schema: str | None = None, **options: Any) -> None:
    """Create a sequence unless it exists; does nothing on engines without sequences.

    Args:
        name: the sequence.
        schema: its schema.
        options: those of `sqlalchemy.Sequence`: start, increment, minvalue, maxvalue, cycle, cache, data_type.
    """
    op.invoke(CreateSequenceOp(name, schema=schema, **options))


def drop_sequence(name: str, *, schema: str | None = None, **options: Any) -> None:
    """Drop a sequence if it exists.

    Args:
        name: the sequence.
        schema: its schema.
        options: those with which the reverse operation creates it.
    """
    op.invoke(DropSequenceOp(name, schema=schema, **options))


def execute_on(dialect: str, statement: str) -> None:
    """Execute a statement on one dialect, and nothing on the others.

    Args:
        dialect: SQLAlchemy's name of the dialect: postgresql, mysql, mariadb or sqlite.
        statement: SQL; a colon in it does not begin a parameter.
    """
    if op.get_context().dialect.name == dialect:
        op.execute(verbatim(statement))


def create_exclude_constraint(name: str, table: str, *elements: Any, **more: Any) -> None:
    """Add an EXCLUDE constraint like `op.create_exclude_constraint`; does nothing on engines without them.

    Args:
        name: the constraint.
        table: its table.
        elements: (expression, operator) pairs.
        more: further arguments of `op.create_exclude_constraint`.
    """
    op.invoke(CreateExcludeOp(name, table, elements, **more))


def drop_exclude_constraint(name: str, table: str, *, schema: str | None = None) -> None:
    """Drop an EXCLUDE constraint; does nothing on engines without them.

    Args:
        name: the constraint.
        table: its table.
        schema: the table's schema.
    """
    _online_ddl().drop_exclude(name, table, schema)


def index_foreign_key(name: str, table: str, columns: Sequence[str], *, schema: str | None = None) -> None:
    """Create an index for a foreign key on MySQL and MariaDB, which refuse to drop the last index that serves the key.

    Args:
        name: the index, named like the key, as the server itself would name it.
        table: the key's table.
        columns: the key's columns.
        schema: the table's schema.
    """
    op.invoke(IndexForeignKeyOp(name, table, columns, schema=schema))


def unindex_foreign_key(
    name: str, table: str, columns: Sequence[str] = (), *, schema: str | None = None
) -> None:
    """Drop the index that `index_foreign_key` created, if it exists, once another index serves the key.

    Args:
        name: the index.
        table: the key's table.
        columns: the key's columns, with which the reverse operation creates the index.
        schema: the table's schema.
    """
    op.invoke(UnindexForeignKeyOp(name, table, columns, schema=schema))


@implementation(CreateExcludeOp)
def _create_exclude(operations: Operations, operation: CreateExcludeOp) -> None:
    _online_ddl().create_exclude(operations, operation)


@implementation(CreateEnumOp)
def _create_enum(operations: Operations, operation: CreateEnumOp) -> None:
    _online_ddl().create_enum(operations, operation.name, operation.labels, operation.schema)


@implementation(DropEnumOp)
def _drop_enum(operations: Operations, operation: DropEnumOp) -> None:
    _online_ddl().drop_enum(operations, operation.name, operation.schema)


@implementation(AddEnumLabelOp)
def _add_enum_label(operations: Operations, operation: AddEnumLabelOp) -> None:
    _online_ddl().add_enum_label(operations, operation)


@implementation(DropEnumLabelOp)
def _drop_enum_label(operations: Operations, operation: DropEnumLabelOp) -> None:
    _online_ddl().drop_enum_label(operations, operation)


@implementation(ReplaceEnumOp)
def _replace_enum(operations: Operations, operation: ReplaceEnumOp) -> None:
    _online_ddl().replace_enum(operations, operation.name, operation.labels, operation.schema)


@implementation(ChangeLabelsOp)
def _change_labels(operations: Operations, operation: ChangeLabelsOp) -> None:
    _online_ddl().change_labels(operations, operation)


@implementation(CreateSequenceOp)
def _create_sequence(operations: Operations, operation: CreateSequenceOp) -> None:
    _online_ddl().create_sequence(
        operations, sa.Sequence(operation.name, schema=operation.schema, **operation.options)
    )


@implementation(DropSequenceOp)
def _drop_sequence(operations: Operations, operation: DropSequenceOp) -> None:
    _online_ddl().drop_sequence(operations, sa.Sequence(operation.name, schema=operation.schema))


@implementation(IndexForeignKeyOp)
def _index_foreign_key(operations: Operations, operation: IndexForeignKeyOp) -> None:
    _online_ddl().index_foreign_key(operation.name, operation.table_name, operation.columns, operation.schema)


@implementation(UnindexForeignKeyOp)
def _unindex_foreign_key(operations: Operations, operation: UnindexForeignKeyOp) -> None:
    _online_ddl().unindex_foreign_key(operations, operation.name, operation.table_name, operation.schema)


def _online_ddl() -> OnlineDDL:
    return online_ddl_of(op.get_context().dialect.name)


def _refuse_null(table: str, column: str, schema: str | None) -> None:
    """Refuse NULLs before the first statement, with the same error on every engine.

    Raises:
        NullRowsRemain: a row holds NULL.
    """
    context = op.get_context()
    if context.as_sql:  # offline mode or lint: there is no database to query
        return
    cell: sa.ColumnClause[Any] = sa.column(column)
    rows = sa.select(sa.literal(1)).select_from(sa.table(table, schema=schema)).where(cell.is_(None)).limit(1)
    if op.get_bind().execute(rows).first() is not None:
        raise NullRowsRemain(
            f"{key_of(schema, table)}.{column} is to be NOT NULL, and rows hold NULL there: fill them first, by"
            f" `ringfence backfill` where one is declared (`ringfence backfill --list`), and run this again"
        )
