"""Translates SQLAlchemy's column types to the portable types of the mirror, and finds what an engine cannot store."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.types import TypeEngine

from ringfence.schema.features import FEATURES, MYSQL_FAMILY, POSTGRESQL, SQLITE, engines_where
from ringfence.schema.models import columns, per_engine_types
from ringfence.schema.models.engine_types import effective, mapped_to
from ringfence.schema.models.enums import enum_params
from ringfence.schema.models.per_engine_types import Form, combine, mapped

# The SQLAlchemy dialect of each engine, which decides the variant of a type that applies there.
DIALECTS: Mapping[str, str] = {name: features.dialect for name, features in FEATURES.items()}
ENGINES = tuple(DIALECTS)
EVERYWHERE = frozenset(ENGINES)

Params = dict[str, Any]
Check = Callable[[Any], str | None]
"""Gives the problem of a type on an engine and how to resolve it; None where there is none."""


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


_LENGTH = (
    "has no length, which VARCHAR needs there: use String(length), or use ringfence.schema.models.LongText"
)


@dataclass(frozen=True)
class Kind:
    """One row of `KINDS`: SQLAlchemy's classes, their portable type, and the checks by engine.

    `name` is the portable type, `params` makes its parameters, and `checks` find problems that prevent any use.
    """

    classes: tuple[type[Any], ...]
    name: str
    params: Callable[[Any], Params] = _no_params
    checks: Sequence[tuple[frozenset[str], Check]] = ()
    writes: Sequence[tuple[frozenset[str], Check]] = ()
    """Like `checks`, for problems that only prevent writing."""
    narrowing: Sequence[tuple[frozenset[str], Callable[[Any], Params]]] = ()
    """Limits that are narrower on some engines: parameters by which the runtime refuses values that would change."""
    limits: Mapping[type[Any], int] = field(default_factory=dict)
    """The maximum size in bytes, by class, on MySQL and MariaDB."""
    available: tuple[frozenset[str], str] = (EVERYWHERE, "")
    """The engines that have the type, and how to resolve it on the others."""


# The first match is used, so a subclass comes before its base.
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
        available=(MYSQL_FAMILY, _variant("SmallInteger()", "TINYINT()")),
    ),
    Kind(
        (mysql.MEDIUMINT,),
        "integer",
        lambda t: {"bits": 24} | _unsigned(t),
        available=(MYSQL_FAMILY, _variant("Integer()", "MEDIUMINT()")),
    ),
    Kind((sa.SmallInteger,), "smallint", _unsigned),
    Kind((sa.BigInteger,), "bigint", _unsigned),
    Kind((sa.Integer,), "integer", _unsigned),
    Kind((mysql.YEAR,), "year", available=(MYSQL_FAMILY, "use SmallInteger")),
    Kind(
        (mysql.BIT,), "bit", lambda t: {"length": t.length or 1}, available=(MYSQL_FAMILY, "use BigInteger")
    ),
    Kind((sa.Double, sa.DOUBLE_PRECISION), "float", _unsigned),
    Kind(
        (sa.Float,),
        "float",
        _unsigned,
        writes=(
            (
                MYSQL_FAMILY,
                _unless(lambda t: getattr(t, "scale", None) is None, "rounds what it is given: use Double"),
            ),
        ),
        narrowing=(
            (POSTGRESQL, per_engine_types.single_on_postgresql),
            (MYSQL_FAMILY, per_engine_types.single_on_mysql),
        ),
    ),
    Kind(
        (sa.Numeric,),
        "decimal",
        lambda t: (
            _known(precision=t.precision, scale=t.scale if t.scale is not None else t.precision and 0)
            | _unsigned(t)
        ),
        narrowing=(
            (MYSQL_FAMILY, lambda t: {} if t.precision else {"precision": 10, "scale": 0}),
            (SQLITE, per_engine_types.sqlite_decimal),
        ),
    ),
    Kind(
        (sa.Enum,),
        "enum",
        enum_params,
        writes=(
            (
                MYSQL_FAMILY,
                _unless(lambda t: all(t.enums), "has an empty label, which means an error there: name it"),
            ),
        ),
    ),
    Kind(
        (postgresql.CITEXT,),
        "citext",
        available=(POSTGRESQL, "use String(length), and lower the value yourself"),
    ),
    Kind((postgresql.INET,), "inet", available=(POSTGRESQL, "use String(45)")),
    Kind(
        (sa.CHAR, sa.NCHAR),
        "string",
        # Without a length it has one character, by the SQL standard.
        lambda t: {"length": t.length or 1, "fixed": True},
    ),
    Kind(
        (mysql.LONGTEXT, mysql.MEDIUMTEXT, mysql.TINYTEXT),
        "text",
        limits={mysql.MEDIUMTEXT: 16_777_215, mysql.TINYTEXT: 255},
        available=(MYSQL_FAMILY, "use ringfence.schema.models.LongText"),
    ),
    Kind(
        (mysql.SET,),
        "set",
        lambda t: {"values": list(t.values)},
        ((MYSQL_FAMILY, _unless(lambda t: all(t.values), "has an empty label: name it")),),
        available=(MYSQL_FAMILY, "use JSON, or a table of its own"),
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
        available=(MYSQL_FAMILY, "use ringfence.schema.models.LongBytes"),
    ),
    Kind(
        (sa.BINARY,),
        "bytes",
        # The engine pads shorter values, so the runtime accepts only the full length.
        lambda t: {"length": t.length or 1, "fixed": True},
        available=(MYSQL_FAMILY | SQLITE, "use LargeBinary"),
    ),
    Kind(
        (sa.VARBINARY,),
        "bytes",
        lambda t: _known(length=t.length),
        available=(MYSQL_FAMILY | SQLITE, "use LargeBinary"),
    ),
    Kind((sa.LargeBinary, postgresql.BYTEA), "bytes", limits={sa.LargeBinary: 65_535}),
    Kind((sa.Date,), "date"),
    Kind(
        (sa.Time,),
        "time",
        checks=(
            (
                POSTGRESQL,
                _unless(lambda t: not t.timezone, "has a zone, which is lost: use models.PreciseTime"),
            ),
        ),
        narrowing=(
            (POSTGRESQL, per_engine_types.postgresql_fraction),
            (MYSQL_FAMILY, per_engine_types.mysql_fraction),
        ),
    ),
    Kind(
        (sa.DateTime,),
        "datetime",
        # Only PostgreSQL has datetimes with a zone; elsewhere the stored value has none.
        narrowing=(
            (POSTGRESQL, lambda t: {"timezone": bool(t.timezone)} | per_engine_types.postgresql_fraction(t)),
            (MYSQL_FAMILY, per_engine_types.mysql_fraction),
        ),
    ),
    Kind(
        (sa.Interval, postgresql.INTERVAL),
        "interval",
        narrowing=((POSTGRESQL, per_engine_types.postgresql_fraction),),
    ),
    Kind(
        (sa.UUID,),
        "uuid",
        available=(
            engines_where(lambda engine: engine.has_uuids),
            "use Uuid, which is CHAR(32) where there is no such type",
        ),
    ),
    Kind((sa.Uuid,), "uuid"),
    Kind(
        (postgresql.JSONB,),
        "json",
        lambda t: {"binary": True},
        available=(POSTGRESQL, "use ringfence.schema.models.Json"),
    ),
    Kind((sa.JSON,), "json"),
    Kind((sa.ARRAY,), "array", _array_params, available=(POSTGRESQL, "use JSON, or a table of its own")),
)


@dataclass(frozen=True)
class Portable:
    """A portable type with its parameters, and what prevents its use, one sentence for each problem.

    `problems` prevent any use of the column, `writing` only writing it. `notes` are remarks: what is stored is not what
    the models' own programs see.
    """

    type: str
    params: Params
    problems: tuple[str, ...] = ()
    writing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def portable(type_: TypeEngine[Any], engines: Iterable[str]) -> Portable:
    """Translate a column type to the portable type of the mirror for these engines.

    Where an engine's limits are narrower, the type gets parameters by which the runtime refuses values that would not
    be read back unchanged: the digits of a second, the length, the digits of a single-precision float.

    Args:
        type_: of a column of the models.
        engines: the names of the deployment's engines.

    Returns:
        The portable type; its `problems` say on which engine and why values cannot be stored and read back, and what
        to use instead. A type with problems is only a guess.
    """
    found = _TypeReport()
    for engine in engines:
        found.look(type_, engine)
    if not found.forms:
        return Portable("text", {}, found.sentences(found.problems))
    name, params, apart = combine(found.forms)
    for engine, reason in apart.items():
        found.note(found.problems, found.labels[engine], reason, engine)
    if name == "string" and "length" not in params:
        name = "text"
    zoneless = [form.engine for form in found.forms if not form.zoned]
    if params.get("timezone") and zoneless and not _is_timestamp(type_):
        reason = "keeps no zone: services store and read moments in UTC there"
        found.note(found.notes, repr(type_), reason, *zoneless)
    return Portable(
        name,
        params,
        found.sentences(found.problems),
        found.sentences(found.writing),
        found.sentences(found.notes),
    )


_Reasons = dict[tuple[str, str], list[str]]


class _TypeReport:
    """Collects the forms and problems of one type, engine by engine."""

    def __init__(self) -> None:
        self.forms: list[Form] = []
        self.labels: dict[str, str] = {}
        self.problems: _Reasons = {}
        self.writing: _Reasons = {}
        self.notes: _Reasons = {}

    def note(self, where: _Reasons, label: str, reason: str, *engines: str) -> None:
        """Add a problem or note to one of the collections, under the type's label."""
        where.setdefault((label, reason), []).extend(engines)

    def sentences(self, where: _Reasons) -> tuple[str, ...]:
        """Write one of the collections as messages, each with all engines it is about."""
        return tuple(
            f"{label} on {', '.join(engines)} {reason}" for (label, reason), engines in where.items()
        )

    def look(self, type_: TypeEngine[Any], engine: str) -> None:
        """Examine the type on one engine."""
        wanted = mapped_to(type_)
        try:
            found = effective(type_, DIALECTS[engine])
        except Exception as error:  # noqa: BLE001 - a TypeDecorator of the models runs here, and may raise anything
            problem = f"cannot render its type ({type(error).__name__}: {error}): {_RESOLUTION}"
            self.note(self.problems, repr(type_), problem, engine)
            return
        label = self.labels[engine] = repr(found.type)
        form, reasons = _judge(found.type, engine)
        if form is None or reasons:
            for reason in reasons:
                self.note(self.problems, label, reason, engine)
        if form is None:
            return
        if wanted is not None:
            other, _ = _judge(effective(wanted, DIALECTS[engine]).type, engine)
            form, refused = mapped(form, other) if other is not None else (form, _RESOLUTION)
            if refused is not None:
                self.note(self.problems, label, refused, engine)
        elif found.converting is not None:
            note = f"converts values in Python: services see what is stored, {form.type}"
            self.note(self.notes, found.converting, note, engine)
        for where, check in _kind(found.type).writes if wanted is None else ():
            if engine in where and (refused := check(found.type)) is not None:
                self.note(self.writing, label, refused, engine)
        self.forms.append(form)


def _kind(type_: TypeEngine[Any]) -> Kind:
    return next(kind for kind in KINDS if isinstance(type_, kind.classes))


def _judge(type_: TypeEngine[Any], engine: str) -> tuple[Form | None, list[str]]:
    """Determine the form of a type on one engine, None for none, and the problems that prevent its use."""
    kind = next((kind for kind in KINDS if isinstance(type_, kind.classes)), None)
    if kind is None:
        return None, [f"has no portable form: {_RESOLUTION}, or leave the column out in ringfence.toml"]
    engines, resolution = kind.available
    reasons = [] if engine in engines else [f"does not exist: {resolution}"]
    reasons += [reason for where, check in kind.checks if engine in where and (reason := check(type_))]
    params = kind.params(type_) | _limit(kind, type_, engine)
    for where, less in kind.narrowing:
        params |= less(type_) if engine in where else {}
    return Form(engine, kind.name, params, engine in POSTGRESQL, engine in SQLITE), reasons


_RESOLUTION = "use a plain SQLAlchemy type or one of ringfence.schema.models"


def _is_timestamp(type_: TypeEngine[Any]) -> bool:
    return isinstance(type_, columns.Timestamp) or isinstance(mapped_to(type_), columns.Timestamp)


def _limit(kind: Kind, type_: TypeEngine[Any], engine: str) -> Params:
    """The maximum size of a text or blob in bytes, where the engine limits it by the column's class."""
    if engine not in MYSQL_FAMILY:
        return {}
    length = getattr(type_, "length", None)
    limit = next((limit for cls, limit in kind.limits.items() if isinstance(type_, cls)), None)
    return _known(length=length or limit) if limit else {}


def needs_integer_key(column: sa.Column[Any], engines: Iterable[str]) -> bool:
    """Whether a column is an autoincrement key that SQLite would not count up, as it does so only for INTEGER.

    Args:
        column: of the models.
        engines: the names of the deployment's engines.
    """
    if SQLITE.isdisjoint(engines) or column.table.autoincrement_column is not column:
        return False
    declared = column.type.dialect_impl(sqlite.dialect())
    return sqlite.dialect().type_compiler_instance.process(declared) != "INTEGER"
