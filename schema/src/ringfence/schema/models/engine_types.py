"""Determines the type that a column has on a dialect: its variant, and the type inside a TypeDecorator."""

import re
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from ringfence.schema import sqlalchemy_compat
from ringfence.schema.models import columns
from ringfence.schema.sql.dialects import unconnected

_CODECS = ("process_bind_param", "process_result_value", "bind_processor", "result_processor")
_UUID_DIGITS = 32
_MAPPED = "_ringfence_mapped"
_WRITTEN = re.compile(r"(?P<name>[A-Za-z]\w*)(?:\((?P<numbers>\s*\d+\s*(?:,\s*\d+\s*)*)?\))?\Z")


@dataclass(frozen=True)
class Effective:
    """The type of a column on one dialect.

    `converting` names the class, as `module:Class`, whose Python code converts between the values of the models' own
    programs and what is stored; None where no code does.
    """

    type: TypeEngine[Any]
    converting: str | None = None


def effective(type_: TypeEngine[Any], dialect: str, *, through_ours: bool = False) -> Effective:
    """Determine the type that stores the values of a column on a dialect.

    Args:
        type_: of a column of the models.
        dialect: SQLAlchemy's name of the dialect.
        through_ours: whether to resolve the types of `ringfence.schema.models` too, which are portable themselves.

    Raises:
        Exception: whatever `load_dialect_impl` of a TypeDecorator in the models raises.
    """
    converting: str | None = None
    while True:
        variant = sqlalchemy_compat.variants(type_).get(dialect)
        if variant is not None:
            type_ = variant
        elif isinstance(type_, columns.PORTABLE) and not through_ours:
            return Effective(type_, converting)
        elif isinstance(type_, sa.Interval):
            # Where the dialect has no such type, SQLAlchemy stores a DATETIME: 1970-01-01 plus the interval.
            if not isinstance(type_.dialect_impl(unconnected(dialect)), sa.Interval):
                return Effective(type_, converting)
            type_, converting = sa.DateTime(), converting or name_of(type_)
        elif isinstance(type_, sa.Uuid) and not type_.native_uuid:
            type_, converting = sa.CHAR(_UUID_DIGITS), converting or name_of(type_)
        elif not isinstance(type_, sa.TypeDecorator):
            return Effective(type_, converting)
        else:
            converting = converting or (name_of(type_) if _converts(type_) else None)
            inner = type_.load_dialect_impl(unconnected(dialect))
            type_ = type_.impl_instance if inner is type_ else inner


def to_stored(type_: TypeEngine[Any], value: Any, dialect: str) -> Any:
    """Convert a value by the column's TypeDecorators, as it is before the dialect's own type gets it.

    Args:
        type_: of a column of the models.
        value: a Python value.
        dialect: SQLAlchemy's name of the dialect.

    Raises:
        TypeError: a decorator has its own `bind_processor`, whose result depends on the driver.
        Exception: whatever the code of a TypeDecorator in the models raises.
    """
    chosen = sqlalchemy_compat.variants(type_).get(dialect, type_)
    instance = unconnected(dialect)
    if isinstance(chosen, sa.TypeDecorator) and not isinstance(chosen, (*columns.PORTABLE, sa.Interval)):
        if type(chosen).bind_processor is not sa.TypeDecorator.bind_processor:
            raise TypeError("a value that only its driver sees")
        if type(chosen).process_bind_param is not sa.TypeDecorator.process_bind_param:
            value = chosen.process_bind_param(value, instance)
        inner = chosen.load_dialect_impl(instance)
        return to_stored(chosen.impl_instance if inner is chosen else inner, value, dialect)
    return value


def name_of(type_: TypeEngine[Any]) -> str:
    """Name a type as `module:Class`, as `types` of ringfence.toml does."""
    return f"{type(type_).__module__}:{type(type_).__qualname__}"


def map_type(type_: TypeEngine[Any], mapped: TypeEngine[Any] | None) -> None:
    """Mark a type of the models as one that services see as another type.

    Args:
        type_: the instance of a column's type; it is changed.
        mapped: the portable type that services see; None removes the mark.
    """
    if mapped is not None or mapped_to(type_) is not None:
        setattr(type_, _MAPPED, mapped)


def mapped_to(type_: TypeEngine[Any]) -> TypeEngine[Any] | None:
    """The type that `map_type` marked this one with; None where it has no mark."""
    return getattr(type_, _MAPPED, None)


def parse_type(text: str) -> TypeEngine[Any] | None:
    """Parse a portable type as ringfence.toml writes it, `Timestamp` or `String(40)`; None where it is none."""
    found = _WRITTEN.match(text)
    if found is None:
        return None
    kinds: dict[str, Any] = {each.__name__: each for each in columns.PORTABLE}
    kinds |= {each.__name__: each for each in _OF_SQLALCHEMY}
    numbers = [int(number) for number in (found["numbers"] or "").split(",") if number.strip()]
    try:
        made: TypeEngine[Any] = kinds[found["name"]](*numbers)
    except (KeyError, TypeError):
        return None
    return made


_OF_SQLALCHEMY = (
    sa.BigInteger,
    sa.Boolean,
    sa.Date,
    sa.DateTime,
    sa.Double,
    sa.Integer,
    sa.LargeBinary,
    sa.Numeric,
    sa.SmallInteger,
    sa.String,
    sa.Text,
    sa.Uuid,
)
MAPPABLE = tuple(sorted(each.__name__ for each in (*columns.PORTABLE, *_OF_SQLALCHEMY)))


def _converts(type_: sa.TypeDecorator[Any]) -> bool:
    """Whether a TypeDecorator converts values, rather than only choosing a type."""
    cls = type(type_)
    return any(getattr(cls, name) is not getattr(sa.TypeDecorator, name) for name in _CODECS)
