"""Which indexes serve the foreign keys of tables: MySQL and MariaDB refuse to drop the last one (error 1553)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation, ops

from ringfence.schema.operations.foreign_key_indexes import IndexForeignKeyOp, UnindexForeignKeyOp
from ringfence.schema.sql.table_keys import key_of

_PRIMARY = ""
"""The name under which `Serving.indexes` stores a primary key."""


def serves(index: Sequence[str], key: Sequence[str]) -> bool:
    """Return whether an index begins with the columns of a foreign key, in any order."""
    return bool(key) and set(index[: len(key)]) == set(key)


@dataclass
class Serving:
    """The indexes and foreign keys that operations created: table -> name -> columns."""

    indexes: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    keys: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def needed(self, operation: MigrateOperation) -> list[tuple[str, list[str]]]:
        """Return the foreign keys, as (name, columns), that no index would serve after the operation."""
        if not isinstance(operation, ops.DropIndexOp | ops.DropConstraintOp) or operation.table_name is None:
            return []
        table = key_of(operation.schema, operation.table_name)
        there = self.indexes.get(table, {})
        gone = there.get(str(_name(operation)), [])
        others = [columns for name, columns in there.items() if name != str(_name(operation))]
        return [
            (name, columns)
            for name, columns in self.keys.get(table, {}).items()
            if serves(gone, columns) and not any(serves(other, columns) for other in others)
        ]

    def apply(self, operation: MigrateOperation) -> None:
        """Apply the changes of one operation."""
        match operation:
            case ops.CreateTableOp():
                table = operation.to_table()
                key = key_of(operation.schema, operation.table_name)
                self.indexes[key] = dict(_indexes(table))
                self.keys[key] = dict(_foreign(operation))
            case ops.DropTableOp():
                self.indexes.pop(key_of(operation.schema, operation.table_name), None)
                self.keys.pop(key_of(operation.schema, operation.table_name), None)
            case ops.RenameTableOp():
                old = key_of(operation.schema, operation.table_name)
                new = key_of(operation.schema, operation.new_table_name)
                self.indexes[new], self.keys[new] = self.indexes.pop(old, {}), self.keys.pop(old, {})
            case ops.CreateForeignKeyOp():
                key = key_of(operation.kw.get("source_schema"), operation.source_table)
                name = str(operation.constraint_name or operation.local_cols[0])
                self.keys.setdefault(key, {})[name] = list(operation.local_cols)
            case ops.CreateIndexOp() | ops.CreateUniqueConstraintOp() | ops.CreatePrimaryKeyOp():
                self._of(operation)[_name(operation)] = [
                    str(getattr(one, "name", one)) for one in operation.columns
                ]
            case ops.DropIndexOp() | ops.DropConstraintOp():
                self._of(operation).pop(_name(operation), None)
                self.keys.get(key_of(operation.schema, operation.table_name or ""), {}).pop(
                    _name(operation), None
                )
            case UnindexForeignKeyOp():
                self._of(operation).pop(operation.name, None)
            case IndexForeignKeyOp():
                self._of(operation)[operation.name] = operation.columns
            case _:
                pass

    def _of(self, operation: Any) -> dict[str, list[str]]:
        return self.indexes.setdefault(key_of(operation.schema, operation.table_name or ""), {})


def _indexes(table: sa.Table) -> Iterator[tuple[str, list[str]]]:
    yield _PRIMARY, [column.name for column in table.primary_key.columns]
    for item in (*table.indexes, *table.constraints):
        if isinstance(item, sa.Index | sa.UniqueConstraint):
            columns = [column.name for column in item.columns]
            yield str(item.name or f"of {', '.join(columns)}"), columns


def _foreign(operation: ops.CreateTableOp) -> Iterator[tuple[str, list[str]]]:
    """Yield the foreign keys from the operation's columns, as Alembic's copy of the table omits keys of a column."""
    for item in operation.columns:
        if isinstance(item, sa.ForeignKeyConstraint):
            columns = list(item.column_keys)
            yield str(item.name or columns[0]), columns
        elif isinstance(item, sa.Column):
            for key in item.foreign_keys:
                # A key whose column is already attached to a table has a constraint: either one of the items, or its
                # own.
                own = key.constraint
                if own is None or not any(own is other for other in operation.columns):
                    yield str((own.name if own is not None else None) or key.name or item.name), [item.name]


def _name(operation: Any) -> str:
    if isinstance(operation, ops.CreateIndexOp | ops.DropIndexOp):
        return str(operation.index_name)
    if (
        isinstance(operation, ops.CreatePrimaryKeyOp)
        or getattr(operation, "constraint_type", None) == "primary"
    ):
        return _PRIMARY
    return str(operation.constraint_name)
