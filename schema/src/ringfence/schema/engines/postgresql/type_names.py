"""Maps the type names that PostgreSQL's `format_type` prints to SQLAlchemy types."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

_PLAIN: Mapping[str, Callable[[], TypeEngine[Any]]] = {
    "smallint": sa.SmallInteger,
    "integer": sa.Integer,
    "bigint": sa.BigInteger,
    "real": sa.REAL,
    "double precision": sa.Double,
    "numeric": sa.Numeric,
    "boolean": sa.Boolean,
    "text": sa.Text,
    "character varying": sa.String,
    "bytea": postgresql.BYTEA,
    "date": sa.Date,
    "uuid": sa.Uuid,
    "json": sa.JSON,
    "jsonb": postgresql.JSONB,
    "inet": postgresql.INET,
    "cidr": postgresql.CIDR,
    "macaddr": postgresql.MACADDR,
    "macaddr8": postgresql.MACADDR8,
    "money": postgresql.MONEY,
    "oid": postgresql.OID,
    "regclass": postgresql.REGCLASS,
    "citext": postgresql.CITEXT,
    "hstore": postgresql.HSTORE,
    "tsvector": postgresql.TSVECTOR,
    "tsquery": postgresql.TSQUERY,
    "interval": postgresql.INTERVAL,
    "bit varying": lambda: postgresql.BIT(varying=True),
    "int4range": postgresql.INT4RANGE,
    "int8range": postgresql.INT8RANGE,
    "numrange": postgresql.NUMRANGE,
    "daterange": postgresql.DATERANGE,
    "tsrange": postgresql.TSRANGE,
    "tstzrange": postgresql.TSTZRANGE,
    "int4multirange": postgresql.INT4MULTIRANGE,
    "int8multirange": postgresql.INT8MULTIRANGE,
    "nummultirange": postgresql.NUMMULTIRANGE,
    "datemultirange": postgresql.DATEMULTIRANGE,
    "tsmultirange": postgresql.TSMULTIRANGE,
    "tstzmultirange": postgresql.TSTZMULTIRANGE,
}
_SIZED: Mapping[str, Callable[..., TypeEngine[Any]]] = {
    "character varying": sa.String,
    "character": sa.CHAR,
    "numeric": sa.Numeric,
    "bit": postgresql.BIT,
    "bit varying": lambda length: postgresql.BIT(length, varying=True),
}
_TIMED = re.compile(r"(timestamp|time)(?:\((\d)\))? (with|without) time zone\Z")
_INTERVAL = re.compile(r"interval(?: ([a-z ]+?))?(?:\((\d)\))?\Z")
_SIZES = re.compile(r"([a-z ]+)\((-?\d+(?:,-?\d+)*)\)\Z")


def plain_type(spelled: str) -> TypeEngine[Any] | None:
    """Return the SQLAlchemy type of a printed type name; None for arrays, the database's own types and unknown ones.

    Args:
        spelled: the type as `format_type` prints it.
    """
    if spelled in _PLAIN:
        return _PLAIN[spelled]()
    if timed := _TIMED.match(spelled):
        cls: Any = postgresql.TIMESTAMP if timed[1] == "timestamp" else postgresql.TIME
        kind: TypeEngine[Any] = cls(
            timezone=timed[3] == "with", precision=int(timed[2]) if timed[2] else None
        )
        return kind
    if interval := _INTERVAL.match(spelled):
        return postgresql.INTERVAL(
            fields=interval[1].upper() if interval[1] else None,
            precision=int(interval[2]) if interval[2] else None,
        )
    sized = _SIZES.match(spelled)
    if sized and sized[1] in _SIZED:
        return _SIZED[sized[1]](*map(int, sized[2].split(",")))
    return None
