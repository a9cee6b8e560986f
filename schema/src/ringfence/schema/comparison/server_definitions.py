"""What the database has, in the server's words where SQLAlchemy reads too little of it: for the way back."""

import re
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from ringfence.schema.comparison.snapshot import Facets, Name
from ringfence.schema.sql.text import verbatim

_PLAIN = re.compile(r"\((\w+|`\w+`)(, (\w+|`\w+`))*\)")


def in_own_words(name: Name, found: Facets, schema: str | None) -> ops.DropIndexOp | None:
    """What drops an index that has more than plain columns, with the way back in the server's words for them.

    SQLAlchemy reads a unique key over expressions of MySQL as one over the columns beside them, and neither a direction
    nor a collation there and on SQLite.

    Args:
        name: the index.
        found: its facets in the database.
        schema: of its table; None is the default one.

    Returns:
        The operation; None where the index has plain columns alone.
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
    """The default that a column has; SQLAlchemy reads none, or half of one, where it does not understand the server.

    Args:
        existing: the column as SQLAlchemy reads it.
        found: its facets in the database.

    Returns:
        What `AlterColumnOp` takes as `existing_server_default`.
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
