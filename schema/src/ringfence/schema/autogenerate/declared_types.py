"""What the migrations said of columns: a database gives back types and defaults in the words of its own engine."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from ringfence.schema.comparison.declared_types import Declared
from ringfence.schema.models.columns import keep
from ringfence.schema.revisions.table_state import key_of

Defaults = Mapping[str, Mapping[str, Any]]
"""The server defaults of columns as the migrations declared them, by table and column; None for none."""


def declare(types: Declared, defaults: Defaults, key: str, column: sa.Column[Any]) -> None:
    """Give a column that was read from the database the type and the default that it was declared with.

    Args:
        types: what the migrations declared.
        defaults: the defaults that they declared.
        key: the table.
        column: as it was read from the database; it is changed.
    """
    column.type = keep(types.get(key, {}).get(column.name, column.type))
    known = defaults.get(key, {})
    plain = column.server_default is None or isinstance(column.server_default, sa.DefaultClause)
    if column.name in known and plain:
        column.server_default = as_default(known[column.name])


def as_default(said: Any) -> Any:
    """A default as a column has it.

    Args:
        said: as `alter_column` takes it, text and expressions too; None for none.
    """
    bare = said is not None and not isinstance(said, sa.FetchedValue)
    return sa.DefaultClause(said) if bare else said


def declare_table(types: Declared, defaults: Defaults, drop: ops.DropTableOp) -> None:
    """Let the way back of a drop make the table as it was declared.

    Args:
        types: what the migrations declared.
        defaults: the defaults that they declared.
        drop: the operation; it is changed.
    """
    table = drop.to_table()
    for column in table.columns:
        declare(types, defaults, key_of(drop.schema, drop.table_name), column)
    drop._reverse = ops.CreateTableOp.from_table(table)  # noqa: SLF001 - Alembic keeps the way back there
