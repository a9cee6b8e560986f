"""Column types that differ between migrations and models, although the compared engine stores both the same way.

SQLite stores JSON and JSONB the same way, also times with and without a time zone, and INTEGER and BIGINT keys. A
revision must contain such a change all the same if another engine of the deployment distinguishes the types.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.types import TypeEngine

from ringfence.schema.sql.dialects import unconnected

Declared = Mapping[str, Mapping[str, TypeEngine[Any]]]
"""The types of columns as the migrations declared them last, by table and column."""


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
