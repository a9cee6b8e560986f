"""Lists as parameters, as in `IN %s`: a mark for each item, so that the connection itself escapes each of them."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from ringfence.runtime.errors import BadValue

_MARKS = re.compile(r"%(?:s|\(([^)%]*)\)s|%)")


def items(value: Any, send: Callable[[Any], Any]) -> tuple[Any, ...]:
    """The items of a list, each as the driver takes it; lists among them are what rows are compared with.

    Args:
        value: a list or a tuple.
        send: what the driver takes of an item.

    Raises:
        BadValue: for an empty one, which no SQL can be made of; and as `send` does.
    """
    if not value:
        raise BadValue("the list is empty, and nothing is IN it: leave the statement or the condition out")
    return tuple(send(each) for each in value)


def spread(sql: str, given: Any) -> tuple[str, Any]:
    """A statement with a mark for each item of its lists, and its parameters.

    PyMySQL would write a list by itself: before 1.2 it escapes the texts of one with backslashes, whatever the
    connection's NO_BACKSLASH_ESCAPES says (`converters.escape_sequence`).

    Args:
        sql: the statement, with marks that fit.
        given: a tuple, a dict, or None; lists are tuples in it, of any depth.

    Returns:
        Both as they are where there is no list; else marks without names, and a tuple.
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
