"""Which type a column has on an engine: its variant there, and what a decorator keeps its values in."""

import re
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from ringfence.schema.models import columns
from ringfence.schema.sql.dialects import unconnected

_CODECS = ("process_bind_param", "process_result_value", "bind_processor", "result_processor")
_UUID_DIGITS = 32
_MAPPED = "_ringfence_mapped"
_WRITTEN = re.compile(r"(?P<name>[A-Za-z]\w*)(?:\((?P<numbers>\s*\d+\s*(?:,\s*\d+\s*)*)?\))?\Z")


@dataclass(frozen=True)
class Effective:
    """A type as one dialect has it.

    `converting` names the class, as `module:Class`, whose Python code stands between the values of the models' own
    programs and what is stored; None where there is no such code.
    """

    type: TypeEngine[Any]
    converting: str | None = None


def effective(type_: TypeEngine[Any], dialect: str, *, through_ours: bool = False) -> Effective:
    """The type that holds the values of a column on a dialect.

    Args:
        type_: of the models.
        dialect: SQLAlchemy's name of it.
        through_ours: whether to look into the types of `ringfence.schema.models` too, which are portable as they are.

    Raises:
        Exception: whatever the `load_dialect_impl` of somebody's decorator raises.
    """
    converting: str | None = None
    while True:
        variant = type_._variant_mapping.get(dialect)  # noqa: SLF001 - SQLAlchemy has no public way to ask
        if variant is not None:
            type_ = variant
        elif isinstance(type_, columns.PORTABLE) and not through_ours:
            return Effective(type_, converting)
        elif isinstance(type_, sa.Interval):
            # SQLAlchemy counts it from 1970 where there is no such type.
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


def stored(type_: TypeEngine[Any], value: Any, dialect: str) -> Any:
    """What a column's type makes of a value in Python before a driver gets it.

    Raises:
        Exception: whatever the code of somebody's decorator raises.
    """
    chosen = type_._variant_mapping.get(dialect, type_)  # noqa: SLF001 - as above
    instance = unconnected(dialect)
    if isinstance(chosen, sa.TypeDecorator) and not isinstance(chosen, (*columns.PORTABLE, sa.Interval)):
        if type(chosen).bind_processor is not sa.TypeDecorator.bind_processor:
            raise TypeError("a value that only its driver sees")
        if type(chosen).process_bind_param is not sa.TypeDecorator.process_bind_param:
            value = chosen.process_bind_param(value, instance)
        inner = chosen.load_dialect_impl(instance)
        return stored(chosen.impl_instance if inner is chosen else inner, value, dialect)
    return value


def name_of(type_: TypeEngine[Any]) -> str:
    """`module:Class`, as `types` of ringfence.toml names it."""
    return f"{type(type_).__module__}:{type(type_).__qualname__}"


def map_type(type_: TypeEngine[Any], mapped: TypeEngine[Any] | None) -> None:
    """Let services see a type of the models as another; None takes that back."""
    if mapped is not None or mapped_to(type_) is not None:
        setattr(type_, _MAPPED, mapped)


def mapped_to(type_: TypeEngine[Any]) -> TypeEngine[Any] | None:
    """The type as which services see this one, where ringfence.toml says so."""
    return getattr(type_, _MAPPED, None)


def written(text: str) -> TypeEngine[Any] | None:
    """The portable type that ringfence.toml names, as `Timestamp` or `String(40)`; None when there is none."""
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
    """Whether somebody's decorator converts values, rather than only naming a type."""
    cls = type(type_)
    return any(getattr(cls, name) is not getattr(sa.TypeDecorator, name) for name in _CODECS)
