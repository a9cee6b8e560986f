"""PyDAL's Field, for values that PyDAL would sort, cut or refuse."""

from collections.abc import Iterable
from typing import Any

from pydal.objects import Expression, Query, Select
from pydal.objects import Field as PydalField

from ringfence.runtime.errors import Misuse


class SelectText(str):
    """What `_select` gives: SQL, and not a value that somebody passed."""

    __slots__ = ()


class Field(PydalField):  # type: ignore[misc]  # pydal is untyped
    """A column of the mirror."""

    def belongs(self, *value: Any, null: bool = False) -> Any:
        """Rows whose value is one of these; values of any type, in any order.

        Args:
            value: the values, or one list of them, a nested select, or a query whose table's keys are meant.
            null: let a None among the values stand for rows without one; it matches nothing otherwise.
        """
        given = value[0] if len(value) == 1 else value
        if isinstance(given, str) and not isinstance(given, SelectText):
            # PyDAL would take it for SQL, and so a value of a request.
            raise Misuse(
                f"{self}.belongs() takes a list of values or a nested select, not a text: write belongs([…])"
            )
        if isinstance(given, Query | Select | str) or not isinstance(given, Iterable):
            return super().belongs(given)
        items = list(given)
        if null and any(item is None for item in items):
            known = [item for item in items if item is not None]
            return (self == None) | Query(self.db, self._dialect.belongs, self, known)  # noqa: E711  # PyDAL's IS NULL
        return Query(self.db, self._dialect.belongs, self, items)

    def __sub__(self, other: Any) -> Any:
        if str(self.type) == "interval":
            return Expression(self.db, self._dialect.sub, self, other, self.type)
        return super().__sub__(other)
