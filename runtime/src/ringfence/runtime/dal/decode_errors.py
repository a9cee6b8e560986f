"""Finds the column and row of a value that could not be decoded; called only after decoding has failed."""

from collections.abc import Sequence
from typing import Any

from pydal.objects import Field

from ringfence.runtime.dal.types import TypeTag
from ringfence.runtime.errors import RingfenceError, UnreadableValue
from ringfence.runtime.values.undecodable import reason


def find_unreadable(fields: Sequence[Any], rows: Sequence[Sequence[Any]]) -> UnreadableValue | None:
    """Return the error for the first value that its column's codec cannot decode, or None when all can be decoded.

    Args:
        fields: the selected columns and expressions.
        rows: the driver's tuples.
    """
    for row in rows:
        for index, field in enumerate(fields):
            if not _readable(field, row[index]):
                return _error(fields, row, index)
    return None


def read_key(field: Any, value: Any) -> Any:
    """Return a key that the server generated, decoded.

    Raises:
        UnreadableValue: when it cannot be decoded.
    """
    decode = field.type.codec.decode
    if decode is None or value is None:
        return value
    if not _readable(field, value):
        raise _error([field], [value], 0)
    return decode(value)


def _readable(field: Any, value: Any) -> bool:
    tag = getattr(field, "type", None)
    if value is None or not isinstance(tag, TypeTag):
        return True
    decode = tag.codec.decode if isinstance(field, Field) else tag.codec.expression
    try:
        if decode is not None:
            decode(value)
    except (ArithmeticError, AttributeError, LookupError, RingfenceError, TypeError, ValueError):
        return False
    return True


def _error(fields: Sequence[Any], row: Sequence[Any], index: int) -> UnreadableValue:
    field, value = fields[index], row[index]
    if not isinstance(field, Field):
        column = getattr(field.type, "column", "") or "an expression"
        why = reason(value, field.type.portable)
        return UnreadableValue(f"the result of an expression of {column} cannot be read: {why}", None, column)
    table = field.table
    key = _key(table, fields, row)
    where = f"of the row {', '.join(f'{name}={value!r}' for name, value in key.items())}"
    if not key:
        where = "of a row (select its key too, to know which)"
    why = reason(value, field.type.portable)
    return UnreadableValue(
        f"{table._dalname}.{field.name} {where} cannot be read: {why}", table._dalname, field.name, key
    )


def _key(table: Any, fields: Sequence[Any], row: Sequence[Any]) -> dict[str, Any]:
    """Return the fields of the row's primary key, if all were selected and can be decoded; else an empty dict."""
    names = [
        column.field for column in table._mirror.columns.values() if column.name in table._mirror.primary_key
    ]
    found: dict[str, Any] = {}
    for field, value in zip(fields, row, strict=False):
        if isinstance(field, Field) and field.table is table and field.name in names:
            if not _readable(field, value):
                return {}
            decode = field.type.codec.decode
            found[field.name] = value if decode is None or value is None else decode(value)
    return {name: _plain(found[name]) for name in names} if len(found) == len(names) else {}


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value
