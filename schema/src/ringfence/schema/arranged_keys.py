"""The operations that give a foreign key an index of its own, where an engine holds it to one."""

from collections.abc import Sequence
from typing import Any

from alembic.operations import ops


class IndexForeignKeyOp(ops.MigrateOperation):
    """Gives a foreign key an index of its own where the engine holds it to one; elsewhere it does nothing.

    MySQL and MariaDB make it by themselves when the key is made, and refuse to drop the last index that serves a key.

    Args:
        name: the index: as the key is called.
        table_name: the table.
        columns: the key's.
        schema: of the table; None is the default one.
    """

    def __init__(
        self, name: str, table_name: str, columns: Sequence[str], *, schema: str | None = None
    ) -> None:
        self.name = name
        self.table_name = table_name
        self.columns = list(columns)
        self.schema = schema

    def reverse(self) -> ops.MigrateOperation:
        """Another index serves the key again."""
        return UnindexForeignKeyOp(self.name, self.table_name, self.columns, schema=self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """For `alembic check`."""
        return ("add_key_index", self.schema, self.table_name, self.name)


class UnindexForeignKeyOp(IndexForeignKeyOp):
    """Takes from a foreign key the index of its own, where it has one: another serves it now."""

    def reverse(self) -> ops.MigrateOperation:
        """The key gets it back before the other goes."""
        return IndexForeignKeyOp(self.name, self.table_name, self.columns, schema=self.schema)
