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


class CountedColumnOp(ops.AlterColumnOp):
    """A column is counted up in another way than before, or no more: by a sequence of its own, or as an IDENTITY.

    `was_counted` says whether it is counted up before; Alembic's word `autoincrement`, whether it is so afterwards.
    """

    was_counted = False

    @classmethod
    def of(cls, alter: ops.AlterColumnOp, *, counted: bool, was_counted: bool) -> "CountedColumnOp":
        """What alters a column, and says how it is counted up before and afterwards."""
        made = cls.__new__(cls)
        vars(made).update(vars(alter))
        made.kw = {**alter.kw, "autoincrement": counted}
        made.was_counted = was_counted
        return made

    def reverse(self) -> ops.AlterColumnOp:
        """It is counted up as before."""
        back = super().reverse()
        back.kw["autoincrement"] = self.was_counted
        return back
