"""PyDAL's Field and Expression, with operators that accept values which PyDAL would sort, truncate or refuse."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from pydal.objects import Expression as PydalExpression
from pydal.objects import Query, Select
from pydal.objects import Row as PydalRow

from ringfence.runtime.dal.field_attributes import Attributes, PerThread, thread_local
from ringfence.runtime.dal.json_operators import JSON_TEXT
from ringfence.runtime.dal.operands import BadRequest, SelectText
from ringfence.runtime.errors import ArgumentError, DataError, NotSupportedError


class Operators:
    """Operators of columns and expressions, mixed in before PyDAL's Field and Expression."""

    db: Any
    type: Any
    _dialect: Any

    def belongs(self, *value: Any, null: bool = False) -> Any:
        """Return the query for rows whose value is one of these; values may have any type and order.

        Args:
            value: the values, one list of them, a nested select, or a query whose table's keys are compared.
            null: whether a None among the values matches NULL; otherwise it matches nothing.

        Raises:
            ArgumentError: for a single value that is not a list.
        """
        given = value[0] if len(value) == 1 else value
        if isinstance(given, Select | SelectText):
            return Query(self.db, self._dialect.belongs, self, given)
        if isinstance(given, Query):
            return Query(self.db, self._dialect.belongs, self, _keys_of(self.db, given))
        if isinstance(given, str | bytes | PydalRow) or not isinstance(given, Iterable):
            # PyDAL would use a text as SQL, and with it a request's value.
            raise ArgumentError(
                f"{self}.belongs() takes a list of values or a nested select, not a {_kind(given)}: "
                "write belongs([…]); for a Set, belongs(set.nested_select(field)); for no value, == None"
            )
        items = list(given)
        if null and any(item is None for item in items):
            known = [item for item in items if item is not None]
            return (self == None) | Query(self.db, self._dialect.belongs, self, known)  # noqa: E711  # PyDAL's IS NULL
        return Query(self.db, self._dialect.belongs, self, items)

    def startswith(self, value: Any) -> Any:
        """Return the query for rows whose text begins with a value."""
        return self._of_text("startswith", value)

    def endswith(self, value: Any) -> Any:
        """Return the query for rows whose text ends with a value."""
        return self._of_text("endswith", value)

    def contains(self, value: Any, all: bool = False, case_sensitive: bool = False) -> Any:  # noqa: A002  # PyDAL's
        """Return the query for rows whose text contains a value, one of several, or all of them.

        Args:
            value: a text or a list of texts.
            all: whether all of them must be contained.
            case_sensitive: whether upper and lower case differ.
        """
        return self._of_text("contains", value, all=all, case_sensitive=case_sensitive)

    def _of_text(self, name: str, *arguments: Any, **options: Any) -> Any:
        try:
            return getattr(super(), name)(*arguments, **options)
        except SyntaxError:
            raise BadRequest(f"{self}.{name}() is for text, and this is {self.type}") from None

    def cast(self, cast_as: str, **given: Any) -> Any:
        """Return the value as another type.

        Args:
            cast_as: string, text, integer, bigint, double, float, decimal, boolean, date, time or datetime;
                `decimal(10,2)` is the same as `decimal` with `precision=10, scale=2`.
            given: `length`, in characters, to which a string is truncated; `precision` and `scale` of a decimal, in
                digits.

        Raises:
            NotSupportedError: for another type.
            ArgumentError: for an argument that the type does not have.
        """
        kind, sized = self._dialect.target(cast_as, given)
        return Expression(self.db, self._dialect.cast, self, (kind, sized), kind)

    def sum(self) -> Any:
        """Return the sum; of booleans, the number of true values."""
        return self._added("SUM", "bigint")

    def avg(self) -> Any:
        """Return the average; of booleans, the fraction of true values."""
        return self._added("AVG", "double")

    def _added(self, what: str, of_truths: str) -> Any:
        kind = of_truths if self.type == "boolean" else self.type
        return Expression(self.db, self._dialect.aggregate, self, what, kind)

    def json_key_value(self, key: str | int) -> Any:
        """Return a member of a JSON object or array as text; it compares with numbers as a number."""
        return Expression(self.db, self._dialect.json_key_value, self, key, JSON_TEXT)

    def json_path_value(self, path: str) -> Any:
        """Return the value at a JSON path, such as `{key,0}`, as text; it compares with numbers as a number."""
        return Expression(self.db, self._dialect.json_path_value, self, path, JSON_TEXT)

    def __getitem__(self, index: int | slice) -> Any:
        """Return a part of a text, counted as in a Python slice; PyDAL's result differs for negative bounds."""
        if isinstance(index, slice):
            start, stop = index.start or 0, index.stop
        else:
            start, stop = index, index + 1 if index != -1 else None
        if (isinstance(index, slice) and index.step not in (None, 1)) or not all(
            isinstance(bound, int) for bound in (start, stop or 0)
        ):
            raise ArgumentError(f"{self}[{index}]: a part of a text has whole numbers as bounds, and no step")
        return Expression(self.db, self._dialect.substring, self, (start, stop), self.type)

    def __radd__(self, other: Any) -> Any:
        """Return a value plus a column; PyDAL would take a text for a column's name."""
        if isinstance(other, PydalExpression):
            return _ours(super().__radd__(other))  # type: ignore[misc]  # defined by PyDAL's class, which is untyped
        given = Expression(self.db, lambda: self.db._adapter.represent(other, self.type), type=self.type)
        return Expression(self.db, self._dialect.add, given, self, self.type)

    def __sub__(self, other: Any) -> Any:
        if str(self.type) == "interval":
            return Expression(self.db, self._dialect.sub, self, other, self.type)
        return _ours(super().__sub__(other))  # type: ignore[misc]  # defined by PyDAL's class, which is untyped


class Expression(Operators, PydalExpression):  # type: ignore[misc]  # pydal is untyped
    """An expression over columns of the mirror."""


class Field(Operators, Attributes):
    """A column of the mirror."""

    def count(self, distinct: Any = None) -> Any:
        """Return the expression that counts values.

        Args:
            distinct: whether only distinct values are counted.
        """
        return _ours(super().count(distinct))

    def validate(self, value: Any, record_id: Any = None) -> tuple[Any, Any]:
        """Run the field's validators.

        Args:
            value: the program's value, or the text of a form.
            record_id: the key of the record that the value is for, if it exists.

        Returns:
            The converted value, and an error message or None.

        Raises:
            DataError: when the server refused a validator's query, which has aborted the transaction.
        """
        try:
            found: tuple[Any, Any] = super().validate(value, record_id)
        except (
            DataError
        ) as error:  # the value given to a validator that queries the database is invalid for the column
            if not isinstance(
                error.__cause__, _OF_PYTHON
            ):  # an error of the server, which has aborted the transaction
                raise
            reason = _WHERE.sub("", str(error))
            return value, reason[:1].upper() + reason[1:]
        return found


_OF_PYTHON = (ArithmeticError, TypeError, ValueError, type(None))
_WHERE = re.compile(r"^[\w.]+: ")


def _no_upload(self: Any, *arguments: Any, **options: Any) -> Any:
    """Raise NotSupportedError: no column of a mirror has PyDAL's type `upload`."""
    raise NotSupportedError(
        f"{self} is no upload: keep files outside, and their names here; or their bytes in a column of bytes"
    )


for _name in ("store", "retrieve", "retrieve_file_properties"):
    setattr(Field, _name, _no_upload)


class FieldPerThread(PerThread, Field):
    """A Field for use with py4web, whose attributes can be set per thread."""


def field_class() -> type[Field]:
    """Return the class for the fields of a table that is made now."""
    return Field if thread_local("default") is None else FieldPerThread


def _keys_of(dal: Any, query: Query) -> Any:
    """Return the nested select of the keys of the records that a query finds."""
    tables = list(dal._adapter.tables(query).values())
    names: tuple[str, ...] = ()
    if len(tables) == 1 and hasattr(tables[0], "_key_names"):
        names = tables[0]._key_names()
    if len(names) != 1:
        raise ArgumentError(
            "belongs() takes the query of one table with a key of one column, not of "
            f"{' and '.join(str(table._tablename) for table in tables)}: give nested_select(field) of it"
        )
    return dal(query).nested_select(tables[0][names[0]])


def _kind(value: Any) -> str:
    return {"str": "text", "QuickSet": "Set"}.get(type(value).__name__, type(value).__name__)


def _ours(made: Any) -> Any:
    """Return PyDAL's expression with our operators."""
    if type(made) is PydalExpression:
        made.__class__ = Expression
    return made


def _wrapped(name: str) -> Callable[..., Any]:
    def made(self: Any, *arguments: Any, **options: Any) -> Any:
        return _ours(getattr(super(Operators, self), name)(*arguments, **options))

    made.__name__, made.__doc__ = name, getattr(PydalExpression, name, made).__doc__
    return made


# All methods that make an expression from a column or another expression.
for _name in (
    *("abs", "coalesce", "coalesce_zero", "day", "epoch", "hour", "len", "lower", "max", "min"),
    *("minutes", "month", "replace", "seconds", "upper", "with_alias", "year"),
    *("json_key", "json_path"),
    *("__add__", "__div__", "__invert__", "__mod__", "__mul__", "__or__"),
):
    setattr(Operators, _name, _wrapped(_name))
