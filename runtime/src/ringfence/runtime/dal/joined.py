"""Rows of a join, whose per-table parts are created when the first of them is accessed.

A join of three tables has four objects per record; a page that shows twenty records of a long list needs only eighty.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from pydal.helpers.classes import BasicStorage

from ringfence.runtime.dal.rows import Row

# A row's real `__dict__`, which the property of that name in `Joined` hides.
own: Callable[[Any], dict[str, Any]] = BasicStorage.__dict__["__dict__"].__get__
Parts = dict[str, Any]


class Joined(Row):
    """A join's row, with one Row per table."""

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
    """A descriptor that creates the parts of a row; parts that exist are found in the row before this is called."""

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
    """Return the class of one join's rows, and a function that gives a new row its driver's tuple.

    Args:
        names: the names of the tables.
        fill: creates and keeps a row's parts, unless that was done, and returns the row's own dict.
    """
    members: dict[str, Any] = {"__slots__": (), "_fill": fill}
    keep = Joined._raw.__set__
    if any(hasattr(Joined, name) for name in names):  # as `row.items` of a table `items`
        return type("Row", (Joined,), members), lambda row, raw: keep(row, raw) or fill(row)
    members |= {name: _Part(name, fill) for name in names}
    return type("Row", (Joined,), members), keep
