"""Changes of tables while services use them, for each engine; revisions call `ringfence.schema.revisions.online`."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import sqlalchemy as sa
from alembic import op
from alembic.operations import Operations
from sqlalchemy.schema import CreateSequence, DropSequence
from sqlalchemy.types import TypeEngine

from ringfence.schema import sqlalchemy_compat
from ringfence.schema.errors import JobFailed, LabelInUse
from ringfence.schema.operations.operations import (
    AddEnumLabelOp,
    ChangeLabelsOp,
    CreateExcludeOp,
    removed_labels,
)
from ringfence.schema.text import counted


class OnlineDDL:
    """Online DDL through Alembic's batch mode, which rebuilds a table where the engine cannot alter it.

    The arguments mean the same in all methods: `name` is that of the index, constraint or type; `table` and `schema`
    are the table's, and None is the default schema; `operations` are those of the running migration; `more` is passed
    to Alembic's operation.
    """

    # For PostgreSQL, and for the lint; MySQL and MariaDB allow writes while an index is built, and SQLite is one file.
    concurrent: ClassVar[Mapping[str, Any]] = {"postgresql_concurrently": True}

    def create_index(
        self, name: str | None, table: str, columns: Sequence[Any], schema: str | None, **more: Any
    ) -> None:
        """Create an index."""
        op.create_index(name, table, columns, schema=schema, **(dict(self.concurrent) | more))

    def drop_index(self, name: str, table: str | None, schema: str | None, **more: Any) -> None:
        """Drop an index."""
        op.drop_index(name, table_name=table, schema=schema, **(dict(self.concurrent) | more))

    def create_unique(
        self, name: str, table: str, columns: Sequence[str], schema: str | None, **more: Any
    ) -> None:
        """Add a unique constraint."""
        with op.batch_alter_table(table, schema=schema) as batch:
            batch.create_unique_constraint(name, columns, **more)

    def create_foreign_key(
        self, name: str, source: str, referent: str, schema: str | None, **more: Any
    ) -> None:
        """Add a foreign key.

        Args:
            name: The name of the foreign key.
            source: The table of the foreign key.
            referent: The table that it refers to.
            schema: The schema of both tables.
            more: `local` and `remote`, the columns of the two tables, and what Alembic's operation takes.
        """
        more["postgresql_not_valid"] = True
        with op.batch_alter_table(source, schema=schema) as batch:
            batch.create_foreign_key(name, referent, more.pop("local"), more.pop("remote"), **more)

    def create_check(self, name: str, table: str, condition: Any, schema: str | None) -> None:
        """Add a CHECK constraint."""
        with op.batch_alter_table(table, schema=schema) as batch:
            batch.create_check_constraint(name, condition, postgresql_not_valid=True)

    def validate(self, name: str, table: str, schema: str | None) -> None:
        """Do nothing: the rows were validated when the constraint was added."""

    def set_not_null(
        self, table: str, column: str, type_: TypeEngine[Any], schema: str | None, **more: Any
    ) -> None:
        """Declare a column NOT NULL."""
        with op.batch_alter_table(table, schema=schema) as batch:
            batch.alter_column(column, existing_type=type_, nullable=False, **more)

    def drop_constraint(self, name: str, table: str, kind: str | None, schema: str | None) -> None:
        """Drop a constraint.

        Args:
            name: The name of the constraint.
            table: The table of the constraint.
            schema: The schema of the table.
            kind: Its `type_` in Alembic's operation, such as `unique`, `check` or `foreignkey`.
        """
        with op.batch_alter_table(table, schema=schema) as batch:
            batch.drop_constraint(name, type_=kind)

    def create_enum(
        self, operations: Operations, name: str, labels: Sequence[str], schema: str | None
    ) -> None:
        """Do nothing: on this engine an enum is not a type of its own."""

    def drop_enum(self, operations: Operations, name: str, schema: str | None) -> None:
        """Do nothing: on this engine an enum is not a type of its own."""

    def add_enum_label(self, operations: Operations, added: AddEnumLabelOp) -> None:
        """Do nothing: on this engine an enum is not a type of its own."""

    def drop_enum_label(self, operations: Operations, dropped: AddEnumLabelOp) -> None:
        """Do nothing: on this engine an enum is not a type of its own."""

    def replace_enum(
        self, operations: Operations, name: str, labels: Sequence[str], schema: str | None
    ) -> None:
        """Do nothing: on this engine an enum is not a type of its own."""

    def change_labels(self, operations: Operations, change: ChangeLabelsOp) -> None:
        """Change the type of a column to one with other labels, and replace its CHECK where the labels are in a CHECK.

        Raises:
            LabelInUse: Rows hold a label that the column loses.
        """
        refuse_labels_in_use(operations, change)
        dialect = operations.get_context().dialect
        texts = {kind.compile(dialect=dialect) for kind in (change.type_, change.existing_type)}
        if len(texts) == 1 and not (change.type_.create_constraint or change.existing_type.create_constraint):
            return  # on this engine the labels are neither in the column's type nor in a CHECK
        with operations.batch_alter_table(change.table_name, schema=change.schema) as batch:
            batch.alter_column(change.column_name, type_=change.type_, **existing_arguments(change))

    def create_sequence(self, operations: Operations, sequence: sa.Sequence) -> None:
        """Create a sequence, where the engine has sequences."""
        if operations.get_context().dialect.supports_sequences:
            operations.execute(CreateSequence(sequence, if_not_exists=True))

    def drop_sequence(self, operations: Operations, sequence: sa.Sequence) -> None:
        """Drop a sequence, where the engine has sequences."""
        if operations.get_context().dialect.supports_sequences:
            operations.execute(DropSequence(sequence, if_exists=True))

    def create_exclude(self, operations: Operations, create: CreateExcludeOp) -> None:
        """Do nothing: the engine has no EXCLUDE constraints."""

    def drop_exclude(self, name: str, table: str, schema: str | None) -> None:
        """Do nothing: the engine has no EXCLUDE constraints."""

    def index_foreign_key(self, name: str, table: str, columns: Sequence[str], schema: str | None) -> None:
        """Do nothing: on this engine a foreign key needs no index on its own table."""

    def unindex_foreign_key(self, operations: Operations, name: str, table: str, schema: str | None) -> None:
        """Do nothing: on this engine a foreign key needs no index on its own table."""


def existing_arguments(change: ChangeLabelsOp) -> dict[str, Any]:
    """Return the `existing_*` arguments of Alembic's `alter_column` for a change of labels."""
    default = change.existing_server_default
    return {
        "existing_type": change.existing_type,
        "existing_nullable": change.existing_nullable,
        "existing_server_default": False if default is None else default,
        "existing_comment": change.existing_comment,
    }


def checks_of(
    operations: Operations, change: ChangeLabelsOp, kind: sa.Enum | sa.Boolean
) -> list[sa.CheckConstraint]:
    """Return the CHECK constraints that SQLAlchemy creates on this engine for a column of a type.

    Args:
        operations: Those of the running migration.
        change: It names the table and the column.
        kind: The type of the column.
    """
    compiler = operations.impl.dialect.statement_compiler(operations.impl.dialect, None)
    column: sa.Column[Any] = sa.Column(change.column_name, kind)
    table = operations.schema_obj.table(change.table_name, column, schema=change.schema)
    return [
        one for one in table.constraints if isinstance(one, sa.CheckConstraint) and _is_created(one, compiler)
    ]


def _is_created(check: sa.CheckConstraint, compiler: Any) -> bool:
    """Return whether the CHECK of a type is created on the compiler's dialect, as Alembic decides it."""
    rule = sqlalchemy_compat.create_rule(check)
    return rule is None or bool(rule(compiler))


def name_of(check: sa.CheckConstraint, dialect: sa.Dialect) -> str:
    """Return the name under which a CHECK is created, by the naming convention where one applies; it is not quoted.

    Raises:
        JobFailed: The CHECK has no name.
    """
    formatted = dialect.identifier_preparer.format_constraint(check, _alembic_quote=False)
    if formatted is None:
        raise JobFailed(f"the CHECK of an enum has no name, and cannot be replaced: {check.sqltext}")
    return str(formatted)


def refuse_labels_in_use(operations: Operations, change: ChangeLabelsOp) -> None:
    """Refuse a change of labels while rows hold a label that the column loses.

    Args:
        operations: Those of the running migration.
        change: It names the column, and its old and new labels.

    Raises:
        LabelInUse: There are such rows; nothing was changed.
    """
    gone = removed_labels(change)
    if not gone or operations.get_context().as_sql:
        return
    cell: sa.ColumnClause[Any] = sa.column(change.column_name, sa.String())
    table = sa.table(change.table_name, schema=change.schema)
    rows = operations.get_bind().execute(
        sa.select(sa.func.count()).select_from(table).where(sa.cast(cell, sa.String(255)).in_(gone))
    )
    if count := rows.scalar_one():
        raise LabelInUse(
            f"{change.table_name}.{change.column_name}: {counted(count, 'row')} hold {', '.join(map(repr, gone))},"
            " which the enum is to lose: give these rows another value first, and run this again; nothing was changed"
        )
