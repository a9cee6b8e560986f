"""Types that the migrations declare otherwise than the models, where the engine that is looked at keeps both alike.

SQLite keeps JSON and JSONB alike, a moment and a wall-clock time, an INTEGER and a BIGINT key: what a revision is
written from must see the difference all the same, for another engine of the deployment keeps them apart.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.types import TypeEngine

from ringfence.schema.sql.dialects import unconnected

Declared = Mapping[str, Mapping[str, TypeEngine[Any]]]
"""The types of columns as the migrations declared them, by table and column."""


def retyped(
    tables: Mapping[str, sa.Table],
    declared: Declared,
    dialects: Iterable[str],
    known: Collection[tuple[str, str]],
) -> list[ops.MigrateOperation]:
    """What gives columns the types that the models say.

    Args:
        tables: those of the models, by `table` or `schema.table`.
        declared: what the migrations declared last.
        dialects: SQLAlchemy's names of those that the deployment is for.
        known: (table, column) of those whose difference was seen in the database already.

    Returns:
        Operations that alter the type of a column, for each one that some dialect would make otherwise. The labels of
        enums are not looked at here.
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
    """The type in the words of a dialect; None where it has none, or wants more than the type to say it."""
    try:
        return kind.compile(dialect=dialect)
    except (sa.exc.SQLAlchemyError, NotImplementedError):
        return None
