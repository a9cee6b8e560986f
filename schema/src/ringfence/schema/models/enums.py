"""SQLAlchemy's Enum types: the label that is stored for each member, and the path by which to import the class."""

import enum
import functools
import sys
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from ringfence.schema import sqlalchemy_compat


def enum_params(type_: sa.Enum) -> dict[str, Any]:
    """Describe an Enum type with the parameters that the mirror holds.

    Args:
        type_: of plain labels, or of an Enum class.

    Returns:
        `values`, the labels in their order; `members`, label -> the name of its member, where some label is not its
        member's name (`values_callable`, aliases); `enum`, the class as `module:Qualified.Name`, where it can be
        imported by that. A class inside a function or under another name cannot: services then use its labels.
    """
    params: dict[str, Any] = {"values": list(type_.enums)}
    cls = type_.enum_class
    if cls is None:
        return params
    members = {label: member.name for label, member in _members(type_).items()}
    if any(label != name for label, name in members.items()):
        params["members"] = members
    if _importable(cls):
        params["enum"] = f"{cls.__module__}:{cls.__qualname__}"
    return params


def label_of(type_: Any, value: Any) -> Any:
    """Convert an enum member to the label that SQLAlchemy stores for it; any other value is returned unchanged.

    Args:
        type_: an Enum or a TypeDecorator of one; with any other type, the member's value is the label.
        value: an enum member or any other value.
    """
    if not isinstance(value, enum.Enum):
        return value
    while isinstance(type_, sa.TypeDecorator):
        type_ = type_.impl_instance
    if isinstance(type_, sa.Enum):
        return next((label for label, member in _members(type_).items() if member is value), value.name)
    return value.value


def _members(type_: sa.Enum) -> dict[str, enum.Enum]:
    """Label -> the member that SQLAlchemy returns for it; empty for an Enum without a class."""
    lookup = sqlalchemy_compat.enum_members(type_)
    found = ((label, lookup.get(label)) for label in type_.enums)
    return {label: member for label, member in found if isinstance(member, enum.Enum)}


def _importable(cls: type[enum.Enum]) -> bool:
    try:
        found: object = functools.reduce(
            getattr, cls.__qualname__.split("."), sys.modules.get(cls.__module__)
        )
    except AttributeError:
        return False
    # Compared by members, not identity: the module may have been loaded again.
    return isinstance(found, enum.EnumMeta) and list(found.__members__) == list(cls.__members__)


_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


def native_enums(kind: TypeEngine[Any]) -> Iterable[sa.Enum]:
    """The native enum types that a column needs on PostgreSQL: its own, or that of its array's items.

    Args:
        kind: the type of the column.
    """
    kind = sqlalchemy_compat.variants(kind).get(_DIALECT.name, kind)
    if isinstance(kind, sa.TypeDecorator):
        kind = kind.load_dialect_impl(_DIALECT)
    if isinstance(kind, sa.ARRAY):
        yield from native_enums(kind.item_type)
    elif isinstance(kind, sa.Enum) and kind.native_enum and kind.name:
        yield kind
