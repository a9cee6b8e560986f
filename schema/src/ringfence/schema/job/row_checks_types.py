"""Values that the new type of a column does not take: text that is too long, numbers out of its range."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from ringfence.runtime.values import INTEGER_BITS
from ringfence.schema.lint.type_changes import integer_range, narrows
from ringfence.schema.models.types import MYSQL_FAMILY, POSTGRESQL, Portable, portable

_CHECKED = POSTGRESQL | MYSQL_FAMILY
"""The engines whose columns refuse what their type does not hold; a column of SQLite takes anything."""
_TEXTS = frozenset({"string", "text", "citext"})
_NUMBERS = frozenset(INTEGER_BITS) | {"decimal"}


def misfits(
    column: sa.ColumnClause[Any],
    old: TypeEngine[Any],
    new: TypeEngine[Any],
    engine: str,
    dialect: sa.Dialect,
) -> tuple[sa.ColumnElement[bool], str] | None:
    """The values of a column that a change of its type fails over.

    Args:
        column: the column, as a query names it.
        old: its type, as the database has it.
        new: the type that it gets.
        engine: of the server.
        dialect: SQLAlchemy's, of that engine.

    Returns:
        The condition that finds them, and what they are in words, as `are longer than 20 characters`; None where every
        value is taken, and where the server alone could say which are not.
    """
    if engine not in _CHECKED or not narrows(old, new, engine, dialect):
        return None
    before, after = portable(old, (engine,)), portable(new, (engine,))
    if after.type == "string" and before.type in _TEXTS:
        length = after.params["length"]
        # PostgreSQL takes spaces beyond the length off; MySQL and MariaDB call it truncated (1265).
        text = sa.func.rtrim(column) if engine in POSTGRESQL else column
        return sa.func.char_length(text) > length, f"are longer than {length} characters"
    if before.type not in _NUMBERS:
        return None
    if after.type in INTEGER_BITS:
        least, most = integer_range(after)
        return ~sa.func.round(column).between(least, most), f"are not from {least} to {most}"
    return _too_many_digits(column, after) if after.type == "decimal" else None


def _too_many_digits(
    column: sa.ColumnClause[Any], kind: Portable
) -> tuple[sa.ColumnElement[bool], str] | None:
    precision, scale = kind.params.get("precision"), kind.params.get("scale") or 0
    if precision is None:
        return None
    whole = precision - scale
    words = f"have more than {whole} digits before the point"
    return sa.func.abs(sa.func.round(column, scale)) >= sa.literal(10**whole, sa.Numeric()), words
