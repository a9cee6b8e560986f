"""Field types that PyDAL reads as its own type names, and that carry the column's codec."""

from collections.abc import Mapping
from typing import Any, Self

from ringfence.runtime.mirror import Column
from ringfence.runtime.values.codecs import Codec, Make, Uniform


class TypeTag(str):  # noqa: SLOT000  # a subclass of str cannot have slots
    """A PyDAL type name with the column's codec; an expression has the tag of the field it is made of."""

    codec: Codec
    column: str
    aware: bool
    portable: str

    def __new__(
        cls, name: str, codec: Codec, column: str = "", *, aware: bool = False, portable: str = ""
    ) -> Self:
        """Make the type's name with its codec."""
        tag = super().__new__(cls, name)
        tag.codec = codec
        tag.column = column
        tag.aware = aware
        tag.portable = portable or name
        return tag

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)  # a pickled Rows keeps the name; the codec cannot leave the process


# Portable type -> the PyDAL type whose operators and validators fit it best.
_NAMES = {
    "boolean": "boolean",
    "smallint": "integer",
    "integer": "integer",
    "bigint": "bigint",
    "float": "double",
    "string": "string",
    "text": "text",
    "bytes": "blob",
    "date": "date",
    "time": "time",
    "datetime": "datetime",
    "interval": "interval",
    "uuid": "uuid",
    "json": "json",
    "enum": "enum",
    "array": "array",
    "citext": "text",
    "inet": "inet",
    "set": "set",
    "bit": "bigint",
    "year": "integer",
}

INTEGERS = frozenset({"smallint", "integer", "bigint"})


def pydal_name(column: Column) -> str:
    """Return the PyDAL type name of a column that is neither the key nor a reference."""
    return type_name(column.type, column.params)


def type_name(portable: str, params: Mapping[str, Any]) -> str:
    """Return the PyDAL type name of a portable type.

    Args:
        portable: the type's name in the mirror.
        params: its parameters.
    """
    if portable == "decimal":
        return f"decimal({params.get('precision', 38)},{params.get('scale', 0)})"
    return "password" if params.get("password") else _NAMES[portable]


def uniform(field: Any) -> Uniform | None:
    """Return how a field is normalized for comparisons, as other programs write other forms; None if it is not."""
    return field.type.codec.normalized if isinstance(field.type, TypeTag) else None


# PyDAL's own type names, which expressions without a field of ours have (count, year, a literal).
_PLAIN: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "boolean": ("boolean", {}),
    "integer": ("bigint", {}),
    "bigint": ("bigint", {}),
    "id": ("bigint", {}),
    "reference": ("bigint", {}),
    "double": ("float", {}),
    "float": ("float", {}),
    "string": ("text", {}),
    "text": ("text", {}),
    "password": ("text", {}),
    "upload": ("text", {}),
    "blob": ("bytes", {}),
    "date": ("date", {}),
    "time": ("time", {}),
    "datetime": ("datetime", {"timezone": False}),
    "json": ("json", {}),
    "jsonb": ("json", {"binary": True}),
    "decimal": ("decimal", {}),
}


def plain_codecs(table: Mapping[str, Make]) -> dict[str, Codec]:
    """Return the codecs for PyDAL's own type names on one backend.

    Args:
        table: the backend's codecs.
    """
    return {name: table[portable](params) for name, (portable, params) in _PLAIN.items()}
