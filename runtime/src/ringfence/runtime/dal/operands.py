"""Checks what a program passes as a value or condition: a record stands for its key, other objects are refused."""

from typing import Any, Self

from pydal.helpers.classes import Reference
from pydal.objects import BasicRows, Expression, LazySet, Query, Select, Set
from pydal.objects import Row as PydalRow
from pydal.objects import Table as PydalTable
from pydal.validators import LazyCrypt

from ringfence.runtime.engines import NO_CONTEXT, StatementContext
from ringfence.runtime.errors import ArgumentError, DataError


class SelectText(str):
    """The SQL of a select, as distinct from text that a program passes, with its context for error messages."""

    __slots__ = ("context",)
    context: StatementContext

    def __new__(cls, sql: str, context: StatementContext = NO_CONTEXT) -> Self:
        """Make the text.

        Args:
            sql: the SQL.
            context: the verb and tables of the select.
        """
        text = super().__new__(cls, sql)
        text.context = context
        return text


class BadRequest(ArgumentError, ValueError):
    """An error that a client's request can cause; also a ValueError, which PyDAL's RestAPI answers with 400."""


def operand(value: Any, kind: Any = None) -> Any:
    """Return a value as it is written or compared: of a record its key, any other value itself.

    Args:
        value: the program's value.
        kind: the PyDAL type of the column it is for.

    Raises:
        DataError: for a record as a JSON value, and for one whose key has several columns or was not selected.
        ArgumentError: for rows, a set, a table or a nested select.
    """
    if isinstance(value, Reference):
        return int(value)
    if isinstance(value, LazyCrypt):
        return str(value)  # the hash that a CRYPT() validator makes
    if isinstance(value, PydalRow):
        if str(kind) in ("json", "jsonb"):
            raise DataError("a Row cannot be stored as JSON: give row.as_dict()")
        return _key_of(value)
    if isinstance(value, str) and str(kind) == "boolean":
        return _TRUTHS.get(value, value)
    if isinstance(value, _NO_VALUES):
        raise ArgumentError(
            f"a {_name(value)} cannot be used as a value: {_HINTS.get(_name(value), _SELECT_FIRST)}"
        )
    return value


def refuse_condition(query: Any) -> None:
    """Check a condition; PyDAL would make a text part of the statement.

    Args:
        query: the program's condition; a table or a field stands for its existing records.

    Raises:
        ArgumentError: for anything that is no condition.
    """
    if isinstance(query, str):
        raise ArgumentError(
            "a condition is made of fields, such as dal.t.name == value: not the text of a statement's part"
        )
    if query is not None and not isinstance(query, Query | Expression | PydalTable | dict):
        raise ArgumentError(
            f"a condition is made of fields, such as dal.t.name == value: not a {type(query).__name__}"
        )
    _refuse_order(query)


def part_of_condition(query: Any) -> Any:
    """Check and return an operand of `&`, `|` or `~`, or a join condition.

    Args:
        query: a condition, True or False.

    Raises:
        ArgumentError: for anything else.
    """
    if not isinstance(query, Query | Expression | bool):
        raise ArgumentError(
            "&, |, ~ and on() take conditions made of fields, such as dal.t.name == value: "
            f"not a {type(query).__name__}"
        )
    _refuse_order(query)
    return query


def _refuse_order(query: Any) -> None:
    if isinstance(query, Expression) and getattr(query.op, "__name__", "") == "invert":
        raise ArgumentError(
            f"~{query.first} is a descending order, and no condition: write {query.first} == False"
        )


# The texts that PyDAL's smart_query and forms pass for booleans.
_TRUTHS = {
    "True": True,
    "False": False,
    "true": True,
    "false": False,
    "T": True,
    "F": False,
    "1": True,
    "0": False,
}
_NO_VALUES = (BasicRows, LazySet, Select, SelectText, Set, PydalTable)
_SELECT_FIRST = "select one row, and give it or one of its columns"
_NESTED = "compare with a nested select by field.belongs(nested), or select first and give what was found"
_HINTS = {"nested select": _NESTED, "table": "name one of its fields"}


def _name(value: Any) -> str:
    if isinstance(value, Select | SelectText):
        return "nested select"
    if isinstance(value, PydalTable):
        return "table"
    return "Rows" if isinstance(value, BasicRows) else "Set"


def _key_of(row: PydalRow) -> Any:
    parts = row.__dict__
    table = getattr(type(row), "_of", None)
    if table is None:
        if "id" in parts:
            return operand(parts["id"])
        if any(isinstance(part, PydalRow) for part in parts.values()):
            raise DataError(
                f"a row of a join cannot be used as a value: name the part that is meant, of {', '.join(parts)}"
            )
        raise DataError("a row stands for its key, which was not selected: name the column that is meant")
    names = table._key_names()
    if len(names) != 1:
        key = ", ".join(names) or "none that this service may read"
        raise DataError(
            f"a row of {table._dalname} stands for no single value (its key: {key}): name the column that is meant"
        )
    if names[0] not in parts:
        raise DataError(
            f"a row of {table._dalname} stands for its key, {names[0]}, which was not selected: "
            "select it too, or name the column that is meant"
        )
    return operand(parts[names[0]])
