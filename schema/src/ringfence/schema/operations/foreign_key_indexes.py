"""Operations on the index of a foreign key, on engines that require one, and on columns that auto-increment."""

from collections.abc import Sequence
from typing import Any

from alembic.operations import ops


class IndexForeignKeyOp(ops.MigrateOperation):
    """Gives a foreign key an index of its own on engines that require one; elsewhere it does nothing.

    MySQL and MariaDB create that index with the key, and refuse to drop the last index that serves a key.

    Args:
        name: The name of the index: that of the key.
        table_name: The table.
        columns: The columns of the key.
        schema: The schema of the table; None is the default one.
    """

    def __init__(
        self, name: str, table_name: str, columns: Sequence[str], *, schema: str | None = None
    ) -> None:
        self.name = name
        self.table_name = table_name
        self.columns = list(columns)
        self.schema = schema

    def reverse(self) -> ops.MigrateOperation:
        """Drop the index again; another index serves the key."""
        return UnindexForeignKeyOp(self.name, self.table_name, self.columns, schema=self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` shows."""
        return ("add_key_index", self.schema, self.table_name, self.name)


class UnindexForeignKeyOp(IndexForeignKeyOp):
    """Drops a foreign key's own index, where it exists: another index serves the key now."""

    def reverse(self) -> ops.MigrateOperation:
        """Create the index again, before the other index is dropped."""
        return IndexForeignKeyOp(self.name, self.table_name, self.columns, schema=self.schema)


class AutoincrementOp(ops.AlterColumnOp):
    """Changes how a column auto-increments: by a sequence of its own, as an IDENTITY, or no longer.

    `was_counted` says whether it auto-increments before; Alembic's argument `autoincrement` says it for afterwards.
    """

    was_counted = False

    @classmethod
    def of(cls, alter: ops.AlterColumnOp, *, counted: bool, was_counted: bool) -> "AutoincrementOp":
        """Return an operation that alters a column, and says whether the column auto-increments before and afterwards.

        Args:
            alter: Alembic's operation.
            counted: Whether the column auto-increments afterwards.
            was_counted: Whether it does before.
        """
        made = cls.__new__(cls)
        vars(made).update(vars(alter))
        made.kw = {**alter.kw, "autoincrement": counted}
        made.was_counted = was_counted
        return made

    def reverse(self) -> ops.AlterColumnOp:
        """Restore how the column auto-increments."""
        back = super().reverse()
        back.kw["autoincrement"] = self.was_counted
        return back
