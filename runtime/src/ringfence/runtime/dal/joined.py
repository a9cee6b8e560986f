"""A row of a join, whose parts are made when the first of them is asked for.

A join of three makes four objects of each record; a list of which a page shows twenty needs eighty of them.
"""

from collections.abc import Callable
from typing import Any

from ringfence.runtime.dal.rows import Row

_own_dict: Callable[[Any], dict[str, Any]] = Row.__mro__[-2].__dict__["__dict__"].__get__


class Joined(Row):
    """A row of rows."""

    __slots__ = ("_raw",)
    _raw: Any
    """What the driver gave, until the parts are made."""


class Waiting(Joined):
    """One whose parts are still to be made: whatever looks at them, or changes them, has them made first."""

    __slots__ = ()
    _waiting = True
    _make: Callable[[Any], tuple[Any, ...]]
    """From what the driver gave to the rows of each table."""
    _names: tuple[str, ...]
    """Of the tables."""
    _made: type[Joined]
    """What it is from then on."""

    def __getattr__(self, name: str) -> Any:
        return getattr(made(self), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(made(self), name, value)

    __setitem__ = __setattr__

    def __delattr__(self, name: str) -> None:
        delattr(made(self), name)

    @property
    def __dict__(self) -> dict[str, Any]:
        return _own_dict(made(self))

    @__dict__.setter
    def __dict__(self, parts: dict[str, Any]) -> None:
        made(self).__dict__ = parts


def made(row: Any) -> Any:
    """The row, with its parts."""
    kind = type(row)
    raw = row._raw
    if raw is not None and kind._waiting:
        for name, part in zip(kind._names, kind._make(raw), strict=True):
            object.__setattr__(row, name, part)
        # Last: another thread that looks finds all parts there, or makes them too.
        object.__setattr__(row, "__class__", kind._made)
        row._raw = None
    return row


Keep = Callable[[Any, tuple[Any, ...]], None]


def outer_row(names: tuple[str, ...], make: Callable[[Any], tuple[Any, ...]]) -> tuple[type[Row], Keep]:
    """The class of one join's rows, and what gives a new one of them what the driver gave.

    Args:
        names: of the tables.
        make: from what the driver gave to the rows of each.
    """
    if any(hasattr(Row, name) for name in names):  # `row.items`, a table, must not be the method
        return type("Row", (Row,), {}), lambda row, raw: row.__dict__.update(
            zip(names, make(raw), strict=True)
        )
    done = type("Row", (Joined,), {"__slots__": ()})
    members = {"__slots__": (), "_make": staticmethod(make), "_names": names, "_made": done}
    return type("Row", (Waiting,), members), Joined._raw.__set__
