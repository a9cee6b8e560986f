"""Column types and defaults as the migrations declared them, where the database at hand stores less.

SQLite stores JSON and JSONB the same way, also times with and without a time zone, and INTEGER and BIGINT keys. A
revision must contain such a change all the same if another engine of the deployment distinguishes the types, and its
downgrade must restore the declared types and not the reflected ones.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.types import TypeEngine

from ringfence.schema.alembic_compat import set_reverse
from ringfence.schema.models.columns import preserve_on_copy
from ringfence.schema.sql.dialects import unconnected
from ringfence.schema.sql.table_keys import key_of

Declared = Mapping[str, Mapping[str, TypeEngine[Any]]]
"""The types of columns as the migrations declared them last, by table and column."""
Defaults = Mapping[str, Mapping[str, Any]]
"""The server defaults that the migrations declared last, by table and column; None for a column without one."""


def apply_declared(types: Declared, defaults: Defaults, key: str, column: sa.Column[Any]) -> None:
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


def as_default(default: Any) -> Any:
    """Convert a server default to the form that a column has.

    Args:
        default: a default as `alter_column` takes it, also a text or an expression; None for no default.
    """
    bare = default is not None and not isinstance(default, sa.FetchedValue)
    return sa.DefaultClause(default) if bare else default


def apply_declared_to_drop(types: Declared, defaults: Defaults, drop: ops.DropTableOp) -> None:
    """Make the downgrade of a DROP TABLE create the table with the declared types and defaults.

    Args:
        types: the declared types.
        defaults: the declared server defaults.
        drop: the operation; it is changed in place.
    """
    table = drop.to_table()
    for column in table.columns:
        apply_declared(types, defaults, key_of(drop.schema, drop.table_name), column)
    set_reverse(drop, ops.CreateTableOp.from_table(table))


def retyped(
    tables: Mapping[str, sa.Table],
    declared: Declared,
    dialects: Iterable[str],
    known: Collection[tuple[str, str]],
) -> list[ops.MigrateOperation]:
    """Return the operations that change declared column types to those of the models.

    Args:
        tables: the tables of the models, by `table` or `schema.table`.
        declared: the types that the migrations declared last.
        dialects: SQLAlchemy's names of the dialects to check.
        known: (table, column) of the columns whose difference was already found in the database.

    Returns:
        An operation for each column whose two types differ on at least one of the dialects. Enum columns are not
        considered here.
    """
    made = [unconnected(name) for name in sorted(set(dialects))]
    found: list[ops.MigrateOperation] = []
    for key, table in tables.items():
        for column in table.columns:
            old = declared.get(key, {}).get(str(column.name))
            if old is None or (key, str(column.name)) in known or isinstance(column.type, sa.Enum):
                continue
            if any(_spelled(old, dialect) != _spelled(column.type, dialect) for dialect in made):
                alter = ops.AlterColumnOp(
                    str(table.name),
                    str(column.name),
                    schema=table.schema,
                    existing_type=old,
                    existing_nullable=column.nullable,
                    existing_server_default=column.server_default if column.computed is None else False,
                    modify_type=column.type,
                )
                found.append(ops.ModifyTableOps(str(table.name), [alter], schema=table.schema))
    return found


def _spelled(kind: TypeEngine[Any], dialect: sa.Dialect) -> str | None:
    """Return the SQL of a type on a dialect; None if the dialect cannot compile it, or not without its column."""
    try:
        return kind.compile(dialect=dialect)
    except (sa.exc.SQLAlchemyError, NotImplementedError):
        return None
