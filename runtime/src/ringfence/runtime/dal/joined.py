"""A row of a join, whose parts are made when the first of them is asked for.

A join of three makes four objects of each record; a list of which a page shows twenty needs eighty of them.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from pydal.helpers.classes import BasicStorage

from ringfence.runtime.dal.rows import Row

# What a row itself keeps: `Joined` has a property of the name `__dict__` before it.
own: Callable[[Any], dict[str, Any]] = BasicStorage.__dict__["__dict__"].__get__
Parts = dict[str, Any]


class Joined(Row):
    """A row of rows."""

    __slots__ = ("_raw",)
    _fill: ClassVar[Callable[[Any], Parts]]

    @property
    def __dict__(self) -> Parts:
        return own(self) if self._raw is None else self._fill()

    @__dict__.setter
    def __dict__(self, parts: Parts) -> None:
        self._fill().clear()
        own(self).update(parts)

    def __delattr__(self, name: str) -> None:
        if self._raw is not None:
            self._fill()
        super().__delattr__(name)


class _Part:
    """Makes the parts of a row; what is kept in the row itself is found before this is asked."""

    __slots__ = ("_fill", "_name")

    def __init__(self, name: str, fill: Callable[[Any], Parts]) -> None:
        self._name = name
        self._fill = fill

    def __get__(self, row: Any, kind: Any = None) -> Any:
        if row is None:
            return self
        try:
            return self._fill(row)[self._name]
        except KeyError:
            raise AttributeError(self._name) from None


def outer_row(
    names: tuple[str, ...], fill: Callable[[Any], Parts]
) -> tuple[type[Row], Callable[[Any, tuple[Any, ...]], Any]]:
    """The class of one join's rows, and what gives a new one of them what the driver gave.

    Args:
        names: of the tables.
        fill: makes and keeps the rows of each, where that was not done, and gives what the row keeps.
    """
    members: dict[str, Any] = {"__slots__": (), "_fill": fill}
    keep = Joined._raw.__set__
    if any(hasattr(Joined, name) for name in names):  # `row.items`, a table, must not be the method
        return type("Row", (Joined,), members), lambda row, raw: keep(row, raw) or fill(row)
    members |= {name: _Part(name, fill) for name in names}
    return type("Row", (Joined,), members), keep
