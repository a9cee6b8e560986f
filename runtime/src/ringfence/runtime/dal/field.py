"""PyDAL's Field and Expression, for values that PyDAL would sort, cut or refuse."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from pydal.objects import Expression as PydalExpression
from pydal.objects import Query, Select
from pydal.objects import Row as PydalRow

from ringfence.runtime.dal.attributes import Attributes, PerThread, thread_local
from ringfence.runtime.dal.json_operators import JSON_TEXT
from ringfence.runtime.dal.operands import BadRequest, SelectText
from ringfence.runtime.errors import BadValue, Misuse


class Operators:
    """What a column and an expression can do, mixed in before PyDAL's class of either."""

    db: Any
    type: Any
    _dialect: Any

    def belongs(self, *value: Any, null: bool = False) -> Any:
        """Rows whose value is one of these; values of any type, in any order.

        Args:
            value: the values, or one list of them, a nested select, or a query whose table's keys are meant.
            null: let a None among the values stand for rows without one; it matches nothing otherwise.

        Raises:
            Misuse: for one value that is no list of them.
        """
        given = value[0] if len(value) == 1 else value
        if isinstance(given, Select | SelectText):
            return Query(self.db, self._dialect.belongs, self, given)
        if isinstance(given, Query):
            return Query(self.db, self._dialect.belongs, self, _keys_of(self.db, given))
        if isinstance(given, str | bytes | PydalRow) or not isinstance(given, Iterable):
            # PyDAL would take a text for SQL, and so a value of a request.
            raise Misuse(
                f"{self}.belongs() takes a list of values or a nested select, not a {_kind(given)}: "
                "write belongs([…]); for a Set, belongs(set.nested_select(field)); for no value, == None"
            )
        items = list(given)
        if null and any(item is None for item in items):
            known = [item for item in items if item is not None]
            return (self == None) | Query(self.db, self._dialect.belongs, self, known)  # noqa: E711  # PyDAL's IS NULL
        return Query(self.db, self._dialect.belongs, self, items)

    def startswith(self, value: Any) -> Any:
        """Rows whose text begins so."""
        return self._of_text("startswith", value)

    def endswith(self, value: Any) -> Any:
        """Rows whose text ends so."""
        return self._of_text("endswith", value)

    def contains(self, value: Any, all: bool = False, case_sensitive: bool = False) -> Any:  # noqa: A002  # PyDAL's
        """Rows whose text has this in it, or one of several, or all of them."""
        return self._of_text("contains", value, all=all, case_sensitive=case_sensitive)

    def _of_text(self, name: str, *arguments: Any, **options: Any) -> Any:
        try:
            return getattr(super(), name)(*arguments, **options)
        except SyntaxError:
            raise BadRequest(f"{self}.{name}() is for text, and this is {self.type}") from None

    def cast(self, cast_as: str, **given: Any) -> Any:
        """The value as another type.

        Args:
            cast_as: string, text, integer, bigint, double, float, decimal, boolean, date, time or datetime;
                `decimal(10,2)` is the same as `decimal` with `precision=10, scale=2`.
            given: `length` of a string, in characters, behind which it is cut off; `precision` and `scale` of a
                decimal, in digits.

        Raises:
            Misuse: for another type or argument.
        """
        kind, sized = self._dialect.target(cast_as, given)
        return Expression(self.db, self._dialect.cast, self, (kind, sized), kind)

    def sum(self) -> Any:
        """The sum; of truths, how many are true."""
        return self._added("SUM", "bigint")

    def avg(self) -> Any:
        """The average; of truths, which part of them is true."""
        return self._added("AVG", "double")

    def _added(self, what: str, of_truths: str) -> Any:
        kind = of_truths if self.type == "boolean" else self.type
        return Expression(self.db, self._dialect.aggregate, self, what, kind)

    def json_key_value(self, key: str | int) -> Any:
        """What stands under a key or at a position of a JSON document, as text; numbers compare with it as numbers."""
        return Expression(self.db, self._dialect.json_key_value, self, key, JSON_TEXT)

    def json_path_value(self, path: str) -> Any:
        """What stands at the end of a path, such as `{key,0}`, as text; numbers compare with it as numbers."""
        return Expression(self.db, self._dialect.json_path_value, self, path, JSON_TEXT)

    def __getitem__(self, index: int | slice) -> Any:
        """A part of a text, counted as Python counts; PyDAL's own gives something else behind negative bounds."""
        if isinstance(index, slice):
            start, stop = index.start or 0, index.stop
        else:
            start, stop = index, index + 1 if index != -1 else None
        if (isinstance(index, slice) and index.step not in (None, 1)) or not all(
            isinstance(bound, int) for bound in (start, stop or 0)
        ):
            raise Misuse(f"{self}[{index}]: a part of a text has whole numbers as bounds, and no step")
        return Expression(self.db, self._dialect.substring, self, (start, stop), self.type)

    def __radd__(self, other: Any) -> Any:
        """A value before a column; PyDAL's own makes a column's name of a text."""
        if isinstance(other, PydalExpression):
            return _ours(super().__radd__(other))  # type: ignore[misc]  # defined by PyDAL's class, which is untyped
        given = Expression(self.db, lambda: self.db._adapter.represent(other, self.type), type=self.type)
        return Expression(self.db, self._dialect.add, given, self, self.type)

    def __sub__(self, other: Any) -> Any:
        if str(self.type) == "interval":
            return Expression(self.db, self._dialect.sub, self, other, self.type)
        return _ours(super().__sub__(other))  # type: ignore[misc]  # defined by PyDAL's class, which is untyped


class Expression(Operators, PydalExpression):  # type: ignore[misc]  # pydal is untyped
    """What is computed from columns of the mirror."""


class Field(Operators, Attributes):
    """A column of the mirror."""

    def count(self, distinct: Any = None) -> Any:
        """How many values there are, or how many different ones."""
        return _ours(super().count(distinct))

    def validate(self, value: Any, record_id: Any = None) -> tuple[Any, Any]:
        """The value that the validators make of one, and what is wrong with it or None.

        Args:
            value: the program's, or the text of a form.
            record_id: the key of the record that it is for, where there is one.

        Raises:
            BadValue: the server refused what a validator asked of it, which ended the transaction.
        """
        try:
            found: tuple[Any, Any] = super().validate(value, record_id)
        except BadValue as error:  # a validator that looks in the database was given no value of the column
            if not isinstance(error.__cause__, _OF_PYTHON):  # the server's word, which ended the transaction
                raise
            reason = _WHERE.sub("", str(error))
            return value, reason[:1].upper() + reason[1:]
        return found


_OF_PYTHON = (ArithmeticError, TypeError, ValueError, type(None))
_WHERE = re.compile(r"^[\w.]+: ")


def _no_upload(self: Any, *arguments: Any, **options: Any) -> Any:
    """Refused: no column of a mirror is PyDAL's `upload`."""
    raise Misuse(
        f"{self} is no upload: keep files outside, and their names here; or their bytes in a column of bytes"
    )


for _name in ("store", "retrieve", "retrieve_file_properties"):
    setattr(Field, _name, _no_upload)


class FieldPerThread(PerThread, Field):
    """The same under py4web."""


def field_class() -> type[Field]:
    """The class for the fields of a table that is made now."""
    return Field if thread_local("default") is None else FieldPerThread


def _keys_of(dal: Any, query: Query) -> Any:
    """The nested select of the keys of what a query finds."""
    tables = list(dal._adapter.tables(query).values())
    names: tuple[str, ...] = ()
    if len(tables) == 1 and hasattr(tables[0], "_key_names"):
        names = tables[0]._key_names()
    if len(names) != 1:
        raise Misuse(
            "belongs() takes the query of one table with a key of one column, not of "
            f"{' and '.join(str(table._tablename) for table in tables)}: give nested_select(field) of it"
        )
    return dal(query).nested_select(tables[0][names[0]])


def _kind(value: Any) -> str:
    return {"str": "text", "QuickSet": "Set"}.get(type(value).__name__, type(value).__name__)


def _ours(made: Any) -> Any:
    """What PyDAL made of a column, with operators of ours."""
    if type(made) is PydalExpression:
        made.__class__ = Expression
    return made


def _wrapped(name: str) -> Callable[..., Any]:
    def made(self: Any, *arguments: Any, **options: Any) -> Any:
        return _ours(getattr(super(Operators, self), name)(*arguments, **options))

    made.__name__, made.__doc__ = name, getattr(PydalExpression, name, made).__doc__
    return made


# All that makes an expression of a column or of another expression.
for _name in (
    *("abs", "coalesce", "coalesce_zero", "day", "epoch", "hour", "len", "lower", "max", "min"),
    *("minutes", "month", "replace", "seconds", "upper", "with_alias", "year"),
    *("json_key", "json_path"),
    *("__add__", "__div__", "__invert__", "__mod__", "__mul__", "__or__"),
):
    setattr(Operators, _name, _wrapped(_name))
