"""Effects of a change of a column's type: whether values may be lost, and whether the table is rewritten."""

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from ringfence.runtime.values import INTEGER_BITS
from ringfence.schema.features import MYSQL_FAMILY, POSTGRESQL
from ringfence.schema.models.key_lengths import BYTES_PER_CHARACTER
from ringfence.schema.models.types import Portable, portable

# type -> the types that hold each of its values without loss
_WIDER: Mapping[str, frozenset[str]] = {
    "boolean": frozenset({"smallint", "integer", "bigint"}),
    "smallint": frozenset({"integer", "bigint", "float", "text"}),
    "integer": frozenset({"bigint", "float", "text"}),
    "bigint": frozenset({"text"}),
    "string": frozenset({"text", "citext"}),
    "citext": frozenset({"text"}),
    "enum": frozenset({"text"}),
    "uuid": frozenset({"text"}),
    "json": frozenset({"text"}),
    "date": frozenset({"datetime", "text"}),
    "interval": frozenset({"text"}),
    "inet": frozenset({"text"}),
    "float": frozenset({"text"}),
    "decimal": frozenset({"text"}),
}
_INTEGER_DIGITS = {"boolean": 1, "smallint": 5, "integer": 10, "bigint": 19}
_UUID_LENGTH = 36
_SHORT = 255  # maximum bytes of a VARCHAR for which MySQL and MariaDB store the length in one byte


def same(old: TypeEngine[Any], new: TypeEngine[Any], dialect: sa.Dialect) -> bool:
    """Whether two types have the same SQL on a dialect, so that a change between them does nothing.

    Args:
        old: the type before the change.
        new: the type after it.
        dialect: compiles the types.
    """
    return _ddl(old, dialect) == _ddl(new, dialect)


def narrows(old: TypeEngine[Any], new: TypeEngine[Any], engine: str, dialect: sa.Dialect) -> bool:
    """Whether the new type may lose, truncate or refuse a value of the old one; labels of enums are not compared.

    Args:
        old: the type before the change.
        new: the type after it.
        engine: the engine on which the type changes.
        dialect: compiles the types.
    """
    if same(old, new, dialect):
        return False
    before, after = portable(old, (engine,)), portable(new, (engine,))
    if before.type in INTEGER_BITS and after.type in INTEGER_BITS:
        (least, most), (lower, upper) = integer_range(before), integer_range(after)
        return lower > least or upper < most
    if before.type != after.type:
        return after.type not in _WIDER.get(before.type, ()) and not _fits(before, after)
    if before.type == "datetime":
        return before.params.get("timezone") != after.params.get("timezone")
    if before.type == "decimal":
        return not _decimal_fits(before, after)
    if before.type == "set":
        return not set(before.params["values"]) <= set(after.params["values"])
    if after.params.get("fixed") and _length(after) != _length(before):
        return True  # a fixed length pads shorter values
    if before.type in {"string", "text", "bytes", "bit"}:
        return _length(after) < _length(before)
    return False


def rewrites(old: TypeEngine[Any], new: TypeEngine[Any], engine: str, dialect: sa.Dialect) -> bool:
    """Whether the engine rewrites or reads every row for the change while it blocks other sessions.

    Args:
        old: the type before the change.
        new: the type after it.
        engine: the engine on which the type changes.
        dialect: compiles the types.
    """
    if same(old, new, dialect):
        return False
    free = next((check for engines, check in _FREE if engine in engines), None)
    return free is not None and not free(portable(old, (engine,)), portable(new, (engine,)))


def _free_on_postgresql(before: Portable, after: Portable) -> bool:
    if before.type in {"string", "text"} and after.type in {"string", "text", "citext"}:
        return _length(after) >= _length(before)
    if before.type == after.type == "decimal":
        return before.params.get("scale") == after.params.get("scale") and _decimal_fits(before, after)
    return False


def _free_on_mysql(before: Portable, after: Portable) -> bool:
    if before.type == after.type == "string":
        sizes = [_length(kind) * BYTES_PER_CHARACTER for kind in (before, after)]
        return sizes[0] <= sizes[1] and (sizes[0] > _SHORT or sizes[1] <= _SHORT)
    if before.type == after.type == "enum":
        values = before.params["values"]
        return list(after.params["values"][: len(values)]) == list(values)
    return False


_FREE: tuple[tuple[frozenset[str], Callable[[Portable, Portable], bool]], ...] = (
    (POSTGRESQL, _free_on_postgresql),
    (MYSQL_FAMILY, _free_on_mysql),
)


def _ddl(type_: TypeEngine[Any], dialect: sa.Dialect) -> str:
    try:
        return str(type_.compile(dialect=dialect))
    except sa.exc.CompileError:  # a type that this engine does not have
        return repr(type_)


def _length(kind: Portable) -> float:
    return float(kind.params.get("length") or "inf")


def integer_range(kind: Portable) -> tuple[int, int]:
    """Return the least and the greatest value of an integer type.

    Args:
        kind: a type whose name is in `INTEGER_BITS`.
    """
    bits = kind.params.get("bits", INTEGER_BITS[kind.type])
    return (0, (1 << bits) - 1) if kind.params.get("unsigned") else (-(1 << bits - 1), (1 << bits - 1) - 1)


def _fits(before: Portable, after: Portable) -> bool:
    """Whether integers fit into a decimal type, or values of known length into a string type."""
    if after.type == "decimal" and before.type in _INTEGER_DIGITS:
        precision, scale = after.params.get("precision"), after.params.get("scale") or 0
        return precision is None or precision - scale >= _INTEGER_DIGITS[before.type]
    if after.type == "string":
        longest = {"uuid": _UUID_LENGTH, "enum": max(map(len, before.params.get("values", [""])), default=0)}
        return before.type in longest and _length(after) >= longest[before.type]
    return False


def _decimal_fits(before: Portable, after: Portable) -> bool:
    if after.params.get("precision") is None:
        return True
    if before.params.get("precision") is None:
        return False
    scales = [kind.params.get("scale") or 0 for kind in (before, after)]
    whole = [kind.params["precision"] - scale for kind, scale in zip((before, after), scales, strict=True)]
    return scales[1] >= scales[0] and whole[1] >= whole[0]
