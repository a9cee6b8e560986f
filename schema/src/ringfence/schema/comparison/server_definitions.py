"""Definitions for downgrades, taken from the server's catalog where SQLAlchemy's reflection is incomplete."""

import re
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from ringfence.schema.comparison.snapshot import Facets, Name
from ringfence.schema.sql.text import verbatim

_PLAIN = re.compile(r"\((\w+|`\w+`)(, (\w+|`\w+`))*\)")


def drop_expression_index(name: Name, found: Facets, schema: str | None) -> ops.DropIndexOp | None:
    """Drop an index with expressions, directions or collations; the downgrade uses the server's definition of it.

    On MySQL, SQLAlchemy reflects a unique key over expressions as one over the remaining columns. On MySQL and SQLite
    it reflects neither directions nor collations.

    Args:
        name: the index.
        found: its facets in the database.
        schema: the schema of its table; None is the default one.

    Returns:
        The drop operation; None for an index that has plain columns only.
    """
    columns, kind, where = found.get("columns"), found.get("kind"), found.get("where")
    if columns is None or (kind is None and where is None and _PLAIN.fullmatch(columns)):
        return None
    options: dict[str, Any] = {f"{dialect}_prefix": kind for dialect in ("mysql", "mariadb")} if kind else {}
    options["unique"] = "unique" in found or name.kind == "unique"
    if where is not None:
        options |= {f"{dialect}_where": verbatim(where) for dialect in ("sqlite", "postgresql")}
    words = [verbatim(columns[1:-1])]
    back = ops.CreateIndexOp(name.name, name.table, words, schema=schema, **options)
    return ops.DropIndexOp(name.name, name.table, schema=schema, _reverse=back, **options)


def existing_default(existing: sa.Column[Any], found: Facets) -> Any:
    """Return the current default of a column, from the catalog where SQLAlchemy reflects only part of it.

    Args:
        existing: the column as SQLAlchemy reflects it.
        found: its facets in the database.

    Returns:
        The value for `existing_server_default` of `AlterColumnOp`.
    """
    read, default = existing.server_default, found.get("default")
    if isinstance(read, sa.Computed):
        return False
    text = str(read.arg) if isinstance(read, sa.DefaultClause) else ""
    if (
        default is not None
        and not isinstance(read, sa.Identity)
        and default != text
        and default.startswith(text)
    ):
        update = found.get("on update")
        return sa.DefaultClause(verbatim(f"{default} ON UPDATE {update}" if update else default))
    return read
