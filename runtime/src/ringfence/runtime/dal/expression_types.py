"""Gives types to PyDAL's untyped expressions, so that values compared with them become literals, never SQL."""

import datetime as dt
import decimal
from collections.abc import Mapping
from typing import Any

from pydal.objects import Expression

from ringfence.runtime.dal.types import TypeTag
from ringfence.runtime.errors import DataError
from ringfence.runtime.values.codecs import Codec, Quote

# Subclasses come before their base classes.
_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "bigint"),
    (float, "double"),
    (decimal.Decimal, "decimal"),
    (str, "string"),
    (dt.datetime, "datetime"),
    (dt.date, "date"),
    (dt.time, "time"),
    (bytes, "blob"),
)
_CHOSEN = frozenset({"boolean", "bigint", "double", "decimal", "string"})


def chosen_kind(value: Any) -> str:
    """Return the PyDAL type of a value that a `case` yields.

    Args:
        value: the program's value, not an expression.

    Raises:
        DataError: for a class whose values would come back as different types on each engine.
    """
    kind = next((kind for of, kind in _KINDS if isinstance(value, of)), "")
    if kind not in _CHOSEN:
        raise DataError(
            f"case() gives texts, numbers, True, False, None and expressions: not a {type(value).__name__}"
        )
    return kind


def give_type(expression: Any, plain: Mapping[str, Codec]) -> Any:
    """Set the type of an expression and of the expressions it is made of; return the type.

    Args:
        expression: PyDAL's expression.
        plain: the codec for each of PyDAL's own type names.
    """
    if expression.type is None:
        expression.type = _found(expression, plain)
    return expression.type


def _found(expression: Any, plain: Mapping[str, Codec]) -> Any:
    if isinstance(expression.first, Expression):
        kind = give_type(expression.first, plain)
        if getattr(expression.op, "__name__", "") == "aggregate" and str(kind) == "boolean":
            return {"SUM": "bigint", "AVG": "double"}.get(expression.second, kind)
        return kind
    if getattr(expression.op, "__name__", "") == "case":
        given = [value for value in expression.second if value is not None]
        kinds = [
            give_type(value, plain) if isinstance(value, Expression) else chosen_kind(value)
            for value in given
        ]
        if len(set(map(str, kinds))) == 1:
            return kinds[0]
    return TypeTag("unknown", Codec(_same, _same, _Literal(plain)))


class _Literal:
    """Writes a value as the literal of its Python class."""

    def __init__(self, plain: Mapping[str, Codec]) -> None:
        self._plain = plain

    def __call__(self, value: Any, quote: Quote) -> str:
        return self._plain[_kind(value)].compare(value, quote)


def _same(value: Any) -> Any:
    return value


def _kind(value: Any) -> str:
    for of, kind in _KINDS:
        if isinstance(value, of):
            return kind
    raise DataError(f"an expression without a type is not compared with a {type(value).__name__}")
