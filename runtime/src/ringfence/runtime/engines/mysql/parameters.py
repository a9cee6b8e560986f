"""Lists as parameters, as in `IN %s`: one placeholder per item, so that the connection escapes each of them."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from ringfence.runtime.errors import DataError

_MARKS = re.compile(r"%(?:s|\(([^)%]*)\)s|%)")


def items(value: Any, send: Callable[[Any], Any]) -> tuple[Any, ...]:
    """Return the items of a list in the driver's form; nested lists are rows to compare with.

    Args:
        value: a list or a tuple.
        send: converts an item for the driver.

    Raises:
        DataError: for an empty list, for which there is no SQL; and as `send` raises it.
    """
    if not value:
        raise DataError("the list is empty, and nothing is IN it: leave the statement or the condition out")
    return tuple(send(each) for each in value)


def expand_lists(sql: str, given: Any) -> tuple[str, Any]:
    """Return a statement with a placeholder for each item of its lists, and its parameters.

    PyMySQL would write a list itself: before 1.2 it escapes the texts in it with backslashes, whatever the connection's
    NO_BACKSLASH_ESCAPES says (`converters.escape_sequence`).

    Args:
        sql: the statement.
        given: its parameters: a tuple, a dict, or None; lists in it are tuples, of any depth.

    Returns:
        Both unchanged where there is no list; else the statement with unnamed placeholders, and a tuple.
    """
    named = isinstance(given, Mapping)
    if not given or not any(each.__class__ is tuple for each in (given.values() if named else given)):
        return sql, given
    flat: list[Any] = []
    following = iter(()) if named else iter(given)

    def marks(value: Any) -> str:
        if value.__class__ is tuple:
            return f"({', '.join(map(marks, value))})"
        flat.append(value)
        return "%s"

    def mark(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return found[0]
        return marks(given[found[1]] if named else next(following))

    return _MARKS.sub(mark, sql), tuple(flat)
