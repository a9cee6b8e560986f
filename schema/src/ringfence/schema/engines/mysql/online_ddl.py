"""DDL for tables that services use, on MySQL and MariaDB."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.operations import Operations

from ringfence.schema.engines.online_ddl import (
    OnlineDDL,
    checks_of,
    existing_arguments,
    name_of,
    refuse_labels_in_use,
)
from ringfence.schema.operations.operations import ChangeLabelsOp


class MySQLOnlineDDL(OnlineDDL):
    """DDL on MySQL and MariaDB, where a unique constraint is a unique index."""

    def create_unique(
        self, name: str, table: str, columns: Sequence[str], schema: str | None, **more: Any
    ) -> None:
        """Create the constraint as a unique index."""
        self.create_index(name, table, columns, schema, unique=True)

    def change_labels(self, operations: Operations, change: ChangeLabelsOp) -> None:
        """Change the labels in the type of the column, and in its named CHECK, which Alembic does not drop here.

        Raises:
            LabelInUse: rows hold a label that the column loses.
        """
        refuse_labels_in_use(operations, change)
        dialect, impl = operations.get_context().dialect, operations.impl
        for check in checks_of(operations, change, change.existing_type):
            name = name_of(check, dialect)
            operations.drop_constraint(name, change.table_name, type_="check", schema=change.schema)
        if change.type_.compile(dialect=dialect) != change.existing_type.compile(dialect=dialect):
            impl.alter_column(
                change.table_name,
                change.column_name,
                type_=change.type_,
                schema=change.schema,
                **existing_arguments(change),
            )
        for check in checks_of(operations, change, change.type_):
            impl.add_constraint(check)

    def index_foreign_key(self, name: str, table: str, columns: Sequence[str], schema: str | None) -> None:
        """Create an index for a foreign key, as the server itself does when no index serves the key."""
        op.create_index(name, table, list(columns), schema=schema)

    def unindex_foreign_key(self, operations: Operations, name: str, table: str, schema: str | None) -> None:
        """Drop the index of a foreign key, if it exists.

        The server drops one that it made itself as soon as another index serves the key.
        """
        context = operations.get_context()
        if context.as_sql:
            return
        found = sa.inspect(operations.get_bind()).get_indexes(table, schema=schema)
        if any(index["name"] == name for index in found):
            op.drop_index(name, table_name=table, schema=schema)
