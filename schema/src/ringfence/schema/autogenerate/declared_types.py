"""Types and defaults as the migrations declared them, in place of those that a database of one engine reflects."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from ringfence.schema.comparison.declared_types import Declared
from ringfence.schema.models.columns import preserve_on_copy
from ringfence.schema.revisions.table_state import key_of

Defaults = Mapping[str, Mapping[str, Any]]
"""The server defaults that the migrations declared last, by table and column; None for a column without one."""


def declare(types: Declared, defaults: Defaults, key: str, column: sa.Column[Any]) -> None:
    """Give a reflected column the type and the server default that the migrations declared.

    Args:
        types: the declared types.
        defaults: the declared server defaults.
        key: the table, as `table` or `schema.table`.
        column: the reflected column; it is changed in place.
    """
    column.type = preserve_on_copy(types.get(key, {}).get(column.name, column.type))
    known = defaults.get(key, {})
    plain = column.server_default is None or isinstance(column.server_default, sa.DefaultClause)
    if column.name in known and plain:
        column.server_default = as_default(known[column.name])


def as_default(said: Any) -> Any:
    """Convert a server default to the form that a column has.

    Args:
        said: a default as `alter_column` takes it, also a text or an expression; None for no default.
    """
    bare = said is not None and not isinstance(said, sa.FetchedValue)
    return sa.DefaultClause(said) if bare else said


def declare_table(types: Declared, defaults: Defaults, drop: ops.DropTableOp) -> None:
    """Make the downgrade of a DROP TABLE create the table with the declared types and defaults.

    Args:
        types: the declared types.
        defaults: the declared server defaults.
        drop: the operation; it is changed in place.
    """
    table = drop.to_table()
    for column in table.columns:
        declare(types, defaults, key_of(drop.schema, drop.table_name), column)
    drop._reverse = ops.CreateTableOp.from_table(table)  # noqa: SLF001 - Alembic keeps the downgrade of a drop there
