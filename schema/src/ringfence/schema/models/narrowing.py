"""What an engine holds less of than other engines do: parameters by which the runtime refuses what would be changed."""

from typing import Any

import sqlalchemy as sa

Params = dict[str, Any]

_MICROSECONDS = 6
_SINGLE_BITS = 24
"""The bits of a single-precision float; a FLOAT(p) of more is a double."""
_SINGLE = {"digits": 6}
_DOUBLE_DIGITS = 15


def postgresql_fraction(type_: Any) -> Params:
    """The digits of a second that PostgreSQL keeps: six, unless the type says fewer."""
    digits = getattr(type_, "precision", None)
    return {} if digits in (None, _MICROSECONDS) else {"precision": digits}


def mysql_fraction(type_: Any) -> Params:
    """The digits of a second that the MySQL family keeps: none, unless the type says how many."""
    digits = getattr(type_, "fsp", None) or 0
    return {} if digits == _MICROSECONDS else {"precision": digits}


def single_on_postgresql(type_: Any) -> Params:
    single = isinstance(type_, sa.REAL) or 0 < (type_.precision or 0) <= _SINGLE_BITS
    return dict(_SINGLE) if single else {}


def single_on_mysql(type_: Any) -> Params:
    """FLOAT is single precision, and shows six digits; REAL is another word for DOUBLE."""
    if isinstance(type_, sa.REAL) or (type_.precision or 0) > _SINGLE_BITS:
        return {}
    return _SINGLE | {"single": True}


def sqlite_decimal(type_: Any) -> Params:
    """SQLite keeps a decimal as a REAL, which holds 15 digits exactly."""
    if type_.precision is None or type_.precision <= _DOUBLE_DIGITS:
        return {}
    return {"precision": _DOUBLE_DIGITS, "scale": min(type_.scale or 0, _DOUBLE_DIGITS)}
