"""Limits of column types that are narrower on one engine than on others.

Each function takes a type and gives the parameters of the mirror by which the runtime refuses values that the engine
would change. No parameters mean no limit.
"""

from typing import Any

import sqlalchemy as sa

Params = dict[str, Any]

_MICROSECONDS = 6
_SINGLE_BITS = 24
"""The mantissa bits of a single-precision float; FLOAT(p) with a larger p is a double."""
_SINGLE = {"digits": 6}
_DOUBLE_DIGITS = 15


def postgresql_fraction(type_: Any) -> Params:
    """The fractional digits of seconds that PostgreSQL stores: six, unless the type says fewer."""
    digits = getattr(type_, "precision", None)
    return {} if digits in (None, _MICROSECONDS) else {"precision": digits}


def mysql_fraction(type_: Any) -> Params:
    """The fractional digits of seconds that MySQL and MariaDB store: none, unless the type says how many."""
    digits = getattr(type_, "fsp", None) or 0
    return {} if digits == _MICROSECONDS else {"precision": digits}


def single_on_postgresql(type_: Any) -> Params:
    """The digits of a single-precision float, which REAL and FLOAT(p) with p up to 24 are on PostgreSQL."""
    single = isinstance(type_, sa.REAL) or 0 < (type_.precision or 0) <= _SINGLE_BITS
    return dict(_SINGLE) if single else {}


def single_on_mysql(type_: Any) -> Params:
    """The digits of FLOAT, on MySQL single precision shown with six digits; REAL is a synonym of DOUBLE there."""
    if isinstance(type_, sa.REAL) or (type_.precision or 0) > _SINGLE_BITS:
        return {}
    return _SINGLE | {"single": True}


def sqlite_decimal(type_: Any) -> Params:
    """The precision of a decimal on SQLite, which stores it as a REAL with 15 exact digits."""
    if type_.precision is None or type_.precision <= _DOUBLE_DIGITS:
        return {}
    return {"precision": _DOUBLE_DIGITS, "scale": min(type_.scale or 0, _DOUBLE_DIGITS)}
