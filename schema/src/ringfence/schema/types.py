"""From SQLAlchemy's column types to the portable types of the mirror, and what each engine cannot hold of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.types import TypeEngine

from ringfence.schema import columns
from ringfence.schema.enums import enum_params

# Which SQLAlchemy dialect speaks to each engine, and so which variant of a type is in force there.
DIALECTS: Mapping[str, str] = {
    "postgresql": "postgresql",
    "mysql": "mysql",
    "mariadb": "mariadb",
    "galera": "mariadb",
    "sqlite": "sqlite",
}
ENGINES = tuple(DIALECTS)
POSTGRESQL = frozenset({"postgresql"})
MYSQL_FAMILY = frozenset({"mysql", "mariadb", "galera"})
SQLITE = frozenset({"sqlite"})
EVERYWHERE = frozenset(ENGINES)

Params = dict[str, Any]
Check = Callable[[Any], str | None]
"""What is wrong with a type on an engine, with the way out; None when nothing is."""


def _no_params(type_: Any) -> Params:
    return {}


def _known(**pairs: Any) -> Params:
    return {name: value for name, value in pairs.items() if value is not None}


def _array_params(type_: sa.ARRAY[Any]) -> Params:
    item = portable(type_.item_type, ("postgresql",))
    return {"item": {"type": item.type} | ({"params": item.params} if item.params else {})}


def _unsigned(type_: Any) -> Params:
    return {"unsigned": True} if getattr(type_, "unsigned", False) else {}


def _variant(plain: str, own: str) -> str:
    return f"use {plain}.with_variant(mysql.{own}, 'mysql', 'mariadb')"


def _refuse(reason: str) -> Check:
    return lambda type_: reason


def _unless(good: Callable[[Any], bool], reason: str) -> Check:
    return lambda type_: None if good(type_) else reason


def _whole_fraction(type_: Any) -> bool:
    """Whether a PostgreSQL type keeps all six digits of a second."""
    return getattr(type_, "precision", None) in (None, 6)


def _fsp6(type_: Any) -> bool:
    return getattr(type_, "fsp", None) == 6


_MOMENT = "use ringfence.schema.models.Timestamp"
_LENGTH = (
    "has no length, which VARCHAR needs there: say String(length), or use ringfence.schema.models.LongText"
)


@dataclass(frozen=True)
class Kind:
    """One row: SQLAlchemy's classes, the portable type they become, and what stands in the way on which engines."""

    classes: tuple[type[Any], ...]
    name: str
    params: Callable[[Any], Params] = _no_params
    checks: Sequence[tuple[frozenset[str], Check]] = ()
    limits: Mapping[type[Any], int] = field(default_factory=dict)
    """Bytes that a class of MySQL's holds."""
    only: tuple[frozenset[str], str] = (EVERYWHERE, "")
    """The engines that have the type at all, and the way out on the others."""


# First match wins, so that a subclass stands before its base.
KINDS: tuple[Kind, ...] = (
    Kind((columns.Timestamp,), "datetime", lambda t: {"timezone": True}),
    Kind((columns.NaiveTimestamp,), "datetime", lambda t: {"timezone": False}),
    Kind((columns.PreciseTime,), "time"),
    Kind((columns.Duration,), "interval"),
    Kind((columns.LongText,), "text"),
    Kind((columns.LongBytes,), "bytes"),
    Kind((columns.Json,), "json", lambda t: {"binary": True}),
    Kind((columns.BigKey,), "bigint"),
    Kind((sa.Boolean,), "boolean"),
    Kind(
        (mysql.TINYINT,),
        "smallint",
        lambda t: {"bits": 8} | _unsigned(t),
        only=(MYSQL_FAMILY, _variant("SmallInteger()", "TINYINT()")),
    ),
    Kind(
        (mysql.MEDIUMINT,),
        "integer",
        lambda t: {"bits": 24} | _unsigned(t),
        only=(MYSQL_FAMILY, _variant("Integer()", "MEDIUMINT()")),
    ),
    Kind((sa.SmallInteger,), "smallint", _unsigned),
    Kind((sa.BigInteger,), "bigint", _unsigned),
    Kind((sa.Integer,), "integer", _unsigned),
    Kind((mysql.YEAR,), "year", only=(MYSQL_FAMILY, "use SmallInteger")),
    Kind((mysql.BIT,), "bit", lambda t: {"length": t.length or 1}, only=(MYSQL_FAMILY, "use BigInteger")),
    Kind((sa.Double, sa.DOUBLE_PRECISION), "float", _unsigned),
    Kind(
        (sa.Float,),
        "float",
        _unsigned,
        checks=(
            (
                MYSQL_FAMILY | POSTGRESQL,
                _unless(
                    lambda t: not isinstance(t, sa.REAL) and (t.precision or 0) > 24,
                    "may hold only single precision, and so change a value: use Double",
                ),
            ),
        ),
    ),
    Kind(
        (sa.Numeric,),
        "decimal",
        lambda t: (
            _known(precision=t.precision, scale=t.scale if t.scale is not None else t.precision and 0)
            | _unsigned(t)
        ),
        (
            (
                MYSQL_FAMILY,
                _unless(lambda t: t.precision, "has no precision, and would be rounded: Numeric(p, s)"),
            ),
            (
                SQLITE,
                _unless(
                    lambda t: t.precision is not None and t.precision <= 15,
                    "is kept as a REAL, which holds 15 digits exactly: say Numeric(p, s) with p <= 15,"
                    " an Integer of the smallest unit, or a String",
                ),
            ),
        ),
    ),
    Kind(
        (sa.Enum,),
        "enum",
        enum_params,
        (
            (
                MYSQL_FAMILY,
                _unless(lambda t: all(t.enums), "has an empty label, which means an error there: name it"),
            ),
        ),
    ),
    Kind(
        (postgresql.CITEXT,), "citext", only=(POSTGRESQL, "use String(length), and lower the value yourself")
    ),
    Kind((postgresql.INET,), "inet", only=(POSTGRESQL, "use String(45)")),
    Kind(
        (sa.CHAR, sa.NCHAR),
        "string",
        lambda t: _known(length=t.length),
        ((EVERYWHERE, _refuse("is padded with blanks, and so changes values: use String(length)")),),
    ),
    Kind(
        (mysql.LONGTEXT, mysql.MEDIUMTEXT, mysql.TINYTEXT),
        "text",
        limits={mysql.MEDIUMTEXT: 16_777_215, mysql.TINYTEXT: 255},
        only=(MYSQL_FAMILY, "use ringfence.schema.models.LongText"),
    ),
    Kind(
        (mysql.SET,),
        "set",
        lambda t: {"values": list(t.values)},
        ((MYSQL_FAMILY, _unless(lambda t: all(t.values), "has an empty label, which is no label: name it")),),
        only=(MYSQL_FAMILY, "use JSON, or a table of its own"),
    ),
    Kind((sa.Text,), "text", limits={sa.Text: 65_535}),
    Kind(
        (sa.String,),
        "string",
        lambda t: _known(length=t.length),
        ((MYSQL_FAMILY, _unless(lambda t: t.length, _LENGTH)),),
    ),
    Kind(
        (mysql.LONGBLOB, mysql.MEDIUMBLOB, mysql.TINYBLOB),
        "bytes",
        limits={mysql.MEDIUMBLOB: 16_777_215, mysql.TINYBLOB: 255},
        only=(MYSQL_FAMILY, "use ringfence.schema.models.LongBytes"),
    ),
    Kind(
        (sa.BINARY,),
        "bytes",
        # The engine fills up what is shorter, so nothing shorter is taken.
        lambda t: {"length": t.length or 1, "fixed": True},
        only=(MYSQL_FAMILY | SQLITE, "use LargeBinary"),
    ),
    Kind(
        (sa.VARBINARY,),
        "bytes",
        lambda t: _known(length=t.length),
        only=(MYSQL_FAMILY | SQLITE, "use LargeBinary"),
    ),
    Kind((sa.LargeBinary, postgresql.BYTEA), "bytes", limits={sa.LargeBinary: 65_535}),
    Kind((sa.Date,), "date"),
    Kind(
        (sa.Time,),
        "time",
        checks=(
            (
                EVERYWHERE,
                _unless(lambda t: not t.timezone, "has a zone, which is lost: use models.PreciseTime"),
            ),
            (
                POSTGRESQL,
                _unless(_whole_fraction, "loses microseconds: use ringfence.schema.models.PreciseTime"),
            ),
            (MYSQL_FAMILY, _unless(_fsp6, "loses microseconds: use ringfence.schema.models.PreciseTime")),
        ),
    ),
    Kind(
        (sa.DateTime,),
        "datetime",
        lambda t: {"timezone": bool(t.timezone)},
        (
            (POSTGRESQL, _unless(_whole_fraction, f"loses microseconds: {_MOMENT} or NaiveTimestamp")),
            (
                MYSQL_FAMILY,
                _unless(
                    lambda t: not isinstance(t, sa.TIMESTAMP), f"ends in 2038 and follows a zone: {_MOMENT}"
                ),
            ),
            (MYSQL_FAMILY, _unless(_fsp6, f"loses microseconds: {_MOMENT} or NaiveTimestamp")),
            (MYSQL_FAMILY | SQLITE, _unless(lambda t: not t.timezone, f"loses the zone: {_MOMENT}")),
        ),
    ),
    Kind(
        (sa.Interval, postgresql.INTERVAL),
        "interval",
        checks=(
            (
                MYSQL_FAMILY | SQLITE,
                _refuse("becomes a date, which loses what it measures: use models.Duration"),
            ),
            (
                POSTGRESQL,
                _unless(_whole_fraction, "loses microseconds: use ringfence.schema.models.Duration"),
            ),
        ),
    ),
    Kind(
        (sa.UUID,),
        "uuid",
        only=(POSTGRESQL | {"mariadb", "galera"}, "use Uuid, which is CHAR(32) where there is no such type"),
    ),
    Kind(
        (sa.Uuid,),
        "uuid",
        checks=(
            (
                EVERYWHERE,
                _unless(lambda t: t.native_uuid, "is not native: say Uuid() without native_uuid=False"),
            ),
        ),
    ),
    Kind(
        (postgresql.JSONB,),
        "json",
        lambda t: {"binary": True},
        only=(POSTGRESQL, "use ringfence.schema.models.Json"),
    ),
    Kind((sa.JSON,), "json"),
    Kind((sa.ARRAY,), "array", _array_params, only=(POSTGRESQL, "use JSON, or a table of its own")),
)


@dataclass(frozen=True)
class Portable:
    """A portable type with its parameters, and what stands in the way of it, one sentence per engine."""

    type: str
    params: Params
    problems: tuple[str, ...] = ()


def portable(type_: TypeEngine[Any], engines: Iterable[str]) -> Portable:
    """What a column type is in the mirror of a deployment for these engines.

    Returns:
        The portable type; its `problems` say for which engine and why the type cannot make the round trip, and what
        to use instead. A type with problems is only a guess.
    """
    name, params = "", Params()
    problems: dict[tuple[str, str], list[str]] = {}
    for engine in engines:
        effective = _effective(type_, DIALECTS[engine])
        kind, reasons = _judge(effective, engine)
        if kind is not None:
            if name and name != kind.name:
                reasons.append(f"is {kind.name}, and {name} on another engine: use one type for all")
            name = name or kind.name
            _merge(params, kind.params(effective) | _limit(kind, effective, engine))
        for reason in reasons:
            problems.setdefault((repr(effective), reason), []).append(engine)
    if name == "string" and "length" not in params:
        name = "text"
    told = (f"{label} on {', '.join(where)} {reason}" for (label, reason), where in problems.items())
    return Portable(name or "text", params, tuple(told))


def _judge(type_: TypeEngine[Any], engine: str) -> tuple[Kind | None, list[str]]:
    """The row for a type as it is on an engine, and what stands in its way there."""
    if codec := _own_codec(type_):
        return None, [f"converts values in Python ({codec}), which the runtime does not run: {_WAYS}"]
    kind = next((kind for kind in KINDS if isinstance(type_, kind.classes)), None)
    if kind is None:
        return None, [f"has no portable form: {_WAYS}"]
    engines, way_out = kind.only
    reasons = [] if engine in engines else [f"does not exist: {way_out}"]
    return kind, reasons + [
        reason for where, check in kind.checks if engine in where and (reason := check(type_)) is not None
    ]


_WAYS = "use a plain SQLAlchemy type or one of ringfence.schema.models"
_CODECS = ("process_bind_param", "process_result_value", "bind_processor", "result_processor")


def _effective(type_: TypeEngine[Any], dialect: str) -> TypeEngine[Any]:
    """The type as it is on one dialect: its variant there, and what a plain decorator decorates."""
    while True:
        variant = type_._variant_mapping.get(dialect)  # noqa: SLF001 - SQLAlchemy has no public way to ask
        if variant is not None:
            type_ = variant
        elif (
            not isinstance(type_, sa.TypeDecorator)
            or isinstance(type_, (*columns.PORTABLE, sa.Interval))
            or _own_codec(type_)
        ):
            return type_
        else:
            type_ = type_.impl_instance


def _own_codec(type_: TypeEngine[Any]) -> str | None:
    """The method with which somebody's decorator converts values, if it has one."""
    if not isinstance(type_, sa.TypeDecorator) or isinstance(type_, (*columns.PORTABLE, sa.Interval)):
        return None
    cls = type(type_)
    return next((name for name in _CODECS if getattr(cls, name) is not getattr(sa.TypeDecorator, name)), None)


def _limit(kind: Kind, type_: TypeEngine[Any], engine: str) -> Params:
    """The bytes that a text or blob holds on an engine that limits them by the column's class."""
    if engine not in MYSQL_FAMILY:
        return {}
    length = getattr(type_, "length", None)
    limit = next((limit for cls, limit in kind.limits.items() if isinstance(type_, cls)), None)
    return _known(length=length or limit) if limit else {}


def _merge(params: Params, more: Params) -> None:
    """Take over parameters; of two lengths the shorter counts, for a value must fit on every engine."""
    for name, value in more.items():
        params[name] = min(params[name], value) if name == "length" and name in params else value


def needs_integer_key(column: sa.Column[Any], engines: Iterable[str]) -> bool:
    """Whether a key that the server counts up would not be counted by SQLite, which does that for INTEGER alone."""
    if SQLITE.isdisjoint(engines) or column.table.autoincrement_column is not column:
        return False
    declared = column.type.dialect_impl(sqlite.dialect())
    return sqlite.dialect().type_compiler_instance.process(declared) != "INTEGER"
