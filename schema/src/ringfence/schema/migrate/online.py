"""Changes of tables that services use, by each engine's safe path; for `upgrade()` and `downgrade()` of a revision.

    from ringfence.schema.migrate import online

    def upgrade():
        online.create_index("ix_events_kind", "events", ["kind"])

Each function is made of Alembic's own operations, and takes the arguments of the one that it is named after.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

from ringfence.schema.backends.online import Way, way
from ringfence.schema.errors import NullLeft

__all__ = [
    "create_check_constraint",
    "create_foreign_key",
    "create_index",
    "create_unique_constraint",
    "drop_constraint",
    "drop_index",
    "set_not_null",
    "validate",
]


def create_index(
    name: str | None,
    table: str,
    columns: Sequence[Any],
    *,
    unique: bool = False,
    schema: str | None = None,
    **more: Any,
) -> None:
    """Make an index while rows are written.

    On PostgreSQL concurrently: all that stands before it in the revision is committed by it, so let it be alone, or
    with its like. When a build failed, the next run drops what it left behind and begins again.
    """
    _way().create_index(name, table, columns, schema, unique=unique, **more)


def drop_index(name: str, table_name: str | None = None, *, schema: str | None = None, **more: Any) -> None:
    """Drop an index without a lock that readers queue behind; on PostgreSQL it commits what stands before it."""
    _way().drop_index(name, table_name, schema, **more)


def create_unique_constraint(
    name: str, table: str, columns: Sequence[str], *, schema: str | None = None, **more: Any
) -> None:
    """Add a unique constraint while rows are written; on PostgreSQL from an index that is made concurrently."""
    _way().create_unique(name, table, columns, schema, **more)


def create_foreign_key(
    name: str,
    source_table: str,
    referent_table: str,
    local_cols: Sequence[str],
    remote_cols: Sequence[str],
    *,
    source_schema: str | None = None,
    **more: Any,
) -> None:
    """Add a foreign key. On PostgreSQL it binds new rows alone, until a later revision calls `validate`."""
    _way().create_foreign_key(
        name,
        source_table,
        referent_table,
        source_schema,
        local=list(local_cols),
        remote=list(remote_cols),
        **more,
    )


def create_check_constraint(name: str, table: str, condition: Any, *, schema: str | None = None) -> None:
    """Add a CHECK. On PostgreSQL it binds new rows alone, until a later revision calls `validate`."""
    _way().create_check(name, table, condition, schema)


def validate(name: str, table: str, *, schema: str | None = None) -> None:
    """Look at the rows that were there before a foreign key or CHECK was added; where that was done then, nothing."""
    _way().validate(name, table, schema)


def drop_constraint(name: str, table: str, type_: str | None = None, *, schema: str | None = None) -> None:
    """Drop a constraint, on every engine."""
    _way().drop_constraint(name, table, type_, schema)


def set_not_null(
    table: str,
    column: str,
    *,
    existing_type: TypeEngine[Any],
    schema: str | None = None,
    **existing: Any,
) -> None:
    """Refuse NULL in a column from now on.

    Args:
        table: its table.
        column: the column; no row may hold NULL in it.
        existing_type: its type, which MySQL and MariaDB must be told again.
        schema: of the table.
        existing: `existing_server_default` and the like, where there is one.

    Raises:
        NullLeft: when a row holds NULL; nothing was changed then.
    """
    _refuse_null(table, column, schema)
    _way().set_not_null(table, column, existing_type, schema, **existing)


def _way() -> Way:
    return way(op.get_context().dialect.name)


def _refuse_null(table: str, column: str, schema: str | None) -> None:
    """On PostgreSQL and MySQL alike, said before the first statement, and with the way out."""
    context = op.get_context()
    if context.as_sql:  # no database is asked: SQL is printed, or the lint looks
        return
    cell: sa.ColumnClause[Any] = sa.column(column)
    rows = sa.select(sa.literal(1)).select_from(sa.table(table, schema=schema)).where(cell.is_(None)).limit(1)
    if op.get_bind().execute(rows).first() is not None:
        place = f"{schema}.{table}" if schema else table
        raise NullLeft(
            f"{place}.{column} is to be NOT NULL, and rows hold NULL there: fill them first, by"
            f" `ringfence backfill` where one is declared (`ringfence backfill --list`), and run this again"
        )
