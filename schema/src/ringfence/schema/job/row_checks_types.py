"""Finds values that a column's new type cannot hold: text that is too long, numbers out of range."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from ringfence.runtime.values import INTEGER_BITS
from ringfence.schema.features import MYSQL_FAMILY, POSTGRESQL
from ringfence.schema.lint.type_changes import integer_range, narrows
from ringfence.schema.models.types import Portable, portable

_CHECKED = POSTGRESQL | MYSQL_FAMILY
"""The engines that reject values which a column's type cannot hold; SQLite accepts any value."""
_TEXTS = frozenset({"string", "text", "citext"})
_NUMBERS = frozenset(INTEGER_BITS) | {"decimal"}


def misfits(
    column: sa.ColumnClause[Any],
    old: TypeEngine[Any],
    new: TypeEngine[Any],
    engine: str,
    dialect: sa.Dialect,
) -> tuple[sa.ColumnElement[bool], str] | None:
    """Return the condition that finds the values which would make a change of a column's type fail.

    Args:
        column: the column, as a query names it.
        old: its type in the database.
        new: its new type.
        engine: the server's engine.
        dialect: SQLAlchemy's dialect of that engine.

    Returns:
        The condition and its meaning in words, such as `are longer than 20 characters`; None if the new type holds
        every value, or only the server can tell which values it rejects.
    """
    if engine not in _CHECKED or not narrows(old, new, engine, dialect):
        return None
    before, after = portable(old, (engine,)), portable(new, (engine,))
    if after.type == "string" and before.type in _TEXTS:
        length = after.params["length"]
        # PostgreSQL removes trailing spaces beyond the length; MySQL and MariaDB report truncation (1265).
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
