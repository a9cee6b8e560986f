"""The default validators of a mirrored field: PyDAL's validator of its type, followed by the column's codec.

PyDAL's validators convert the text of a form to a value (`"12"`, `"2026-01-31"`, `'{"a": 1}'`) and report errors in
plain words; the codec then refuses what the column cannot store. A value that a program passes is left unchanged.
"""

import datetime as dt
import math
from collections.abc import Callable
from typing import Any

from pydal import validators as pydal

from ringfence.runtime.dal.types import TypeTag
from ringfence.runtime.errors import DataError
from ringfence.runtime.mirror import Column
from ringfence.runtime.mirror import Table as MirrorTable
from ringfence.runtime.values import INTEGER_BITS, JSON_NULL, UNLIMITED, from_document

EMPTY = "Enter a value"
Fit = Callable[[Any], Any]


def default_validator(field: Any) -> Any:
    """Return the default validator of a field.

    Args:
        field: a field of a complete table, or of a nested select, which stores nothing and needs none.
    """
    table = field.table
    mirror: MirrorTable | None = getattr(table, "_mirror", None)
    if mirror is None:
        return []
    column = next(each for each in mirror.columns.values() if each.field == field.name)
    made = _of_type(field, column)
    if (referred := _referred(table._db._mirror, mirror, column)) is not None:
        made = _Referred(table._db, table._db[referred[0]][referred[1]], made)
    if column.selectable and "select" in mirror.verbs and is_unique(mirror, column):
        made = _Unique(table._db, field, made)
    if field.notnull and column.type == "boolean":
        made = _Unchecked(made)
    elif not field.notnull:
        made = _EmptyOr(made)
    return _Proxy(made)


def is_unique(mirror: MirrorTable, column: Column) -> bool:
    """Return whether a column alone is the primary key or a unique key.

    Args:
        mirror: the table.
        column: its column.
    """
    return mirror.primary_key == (column.name,) or any(
        each.kind == "unique" and each.columns == (column.name,) for each in mirror.constraints.values()
    )


def _referred(mirror: Any, table: MirrorTable, column: Column) -> tuple[str, str] | None:
    """Return the PyDAL table and field of a column's own foreign key, where the account may read them."""
    for foreign in table.foreign_keys:
        if foreign.columns != (column.name,):
            continue
        for other in mirror.tables.values():
            if (other.schema, other.name) == (foreign.schema, foreign.table) and "select" in other.verbs:
                target = other.columns.get(foreign.references[0])
                if target is not None and target.selectable:
                    return other.key, target.field
    return None


def _of_type(field: Any, column: Column) -> Any:
    """Return the validator of a column's type."""
    fit = field.type.codec.check
    if column.params.get("password"):
        return _Password()
    if column.type in INTEGER_BITS:
        return _Fitting(_whole(column), fit)
    made = _BY_TYPE.get(column.type)
    if column.type == "enum":
        return _Choice(list(column.params.get("values", ())), fit)
    if column.type == "datetime" and column.params.get("timezone"):
        return _Fitting(_Moment(error_message=_MOMENT), fit)
    if column.type == "json":
        return _Fitting(_Json(nullable=not field.notnull), fit)
    if column.type in ("string", "text") and "length" in column.params:
        return _Fitting(_Text(column.params["length"]), fit)
    return _Fitting(pydal.Validator() if made is None else made(), fit)


def _whole(column: Column) -> Any:
    bits = column.params.get("bits", INTEGER_BITS[column.type])
    least, most = -(1 << bits - 1), (1 << bits - 1) - 1
    if column.params.get("unsigned"):
        least, most = 0, min((1 << bits) - 1, UNLIMITED)
    return pydal.IS_INT_IN_RANGE(least, most + 1, f"Enter an integer between {least} and {most}")


class _Proxy(pydal.DefaultValidatorProxy):  # type: ignore[misc]  # pydal is untyped
    """Formats by the wrapped validator; PyDAL's proxy shows every value unchanged, even a password."""

    def formatter(self, value: Any) -> Any:
        """Return the value as the wrapped validator shows it in a form."""
        return self.obj.formatter(value)


class _EmptyOr(pydal.IS_EMPTY_OR):  # type: ignore[misc]
    """Turns None and blank text into NULL; PyDAL's version also turns an empty list and empty bytes into NULL."""

    def validate(self, value: Any, record_id: Any = None) -> Any:
        """Return None for a blank value, otherwise the wrapped validator's result."""
        empty = value is None or (isinstance(value, str) and not value.strip())
        return None if empty else self.other.validate(value, record_id)


class _Fitting(_Proxy):
    """A PyDAL validator followed by the column's codec: a value has to pass both.

    Args:
        obj: PyDAL's validator, which converts the value.
        fit: the codec's check, which raises DataError.
    """

    def __init__(self, obj: Any, fit: Fit) -> None:
        super().__init__(obj)
        self._fit = fit

    def validate(self, value: Any, record_id: Any = None) -> Any:
        """Return the value to store.

        Raises:
            ValidationError: PyDAL's, for None and for an invalid value.
        """
        if value is None:
            raise pydal.ValidationError(EMPTY)
        value = self.obj.validate(value, record_id)
        fitted(self._fit, value)
        return value


def fitted(fit: Fit, value: Any) -> Any:
    """Return the value that a codec makes of a program's value.

    Args:
        fit: the codec's check.
        value: the value.

    Raises:
        ValidationError: PyDAL's, where the codec refuses the value.
    """
    try:
        return fit(value)
    except DataError as error:
        text = str(error)
    raise pydal.ValidationError(text[:1].upper() + text[1:])


class _Unchecked(_Proxy):
    """Lets None pass: an unchecked box is missing from a form; storing None is refused later."""

    def validate(self, value: Any, record_id: Any = None) -> Any:
        """Return None unchanged, otherwise the wrapped validator's result."""
        return None if value is None else self.obj.validate(value, record_id)


class _Text(pydal.IS_LENGTH):  # type: ignore[misc]
    """Checks the length of text and passes other values on; PyDAL's version converts any value to text."""

    def validate(self, value: Any, record_id: Any = None) -> Any:
        """Return text of a valid length, and any other value unchanged."""
        return super().validate(value, record_id) if isinstance(value, str) else value


class Truth(pydal.Validator):  # type: ignore[misc]
    """Converts the words by which forms and URLs say true and false."""

    words = {  # noqa: RUF012  # never written to
        **dict.fromkeys(("true", "t", "1", "on", "yes", "y"), True),
        **dict.fromkeys(("false", "f", "0", "off", "no", "n"), False),
    }

    def validate(self, value: Any, record_id: Any = None) -> Any:
        """Return the boolean for a text, and any other value unchanged.

        Raises:
            ValidationError: PyDAL's, for an unknown word.
        """
        if not isinstance(value, str):
            return value
        try:
            return self.words[value.strip().lower()]
        except KeyError:
            raise pydal.ValidationError("Enter true or false") from None


class _Password(pydal.CRYPT):  # type: ignore[misc]  # pydal is untyped
    """Refuses passwords that cannot be hashed; PyDAL's version accepts anything and fails later."""

    def validate(self, value: Any, record_id: Any = None) -> Any:
        """Return PyDAL's lazily hashed password."""
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                raise pydal.ValidationError(
                    "The text holds a lone surrogate, which is no Unicode character"
                ) from None
        elif not isinstance(value, bytes | pydal.LazyCrypt):
            raise pydal.ValidationError(f"Text is needed, not a {type(value).__name__}")
        return super().validate(value, record_id)


class _Number(pydal.IS_FLOAT_IN_RANGE):  # type: ignore[misc]
    """Refuses numbers too large for a float; PyDAL's version reads "1e999" as infinity and fails on a huge integer."""

    def validate(self, value: Any, record_id: Any = None) -> Any:
        """Return the float."""
        try:
            number = super().validate(value, record_id)
        except OverflowError:
            raise pydal.ValidationError("Enter a smaller number") from None
        if isinstance(value, str) and math.isinf(number) and "inf" not in value.lower():
            raise pydal.ValidationError("Enter a smaller number")
        return number


class _Time(pydal.IS_TIME):  # type: ignore[misc]
    """Accepts a time, and text with a fraction; PyDAL's version refuses the one and truncates the other."""

    def validate(self, value: Any, record_id: Any = None) -> Any:
        """Return the time."""
        if isinstance(value, dt.time):
            return value
        try:
            return dt.time.fromisoformat(value)
        except (TypeError, ValueError):
            return super().validate(value, record_id)


class _Datetime(pydal.IS_DATETIME):  # type: ignore[misc]
    """Accepts text with a fraction or a time zone; PyDAL's version does not."""

    def validate(self, value: Any, record_id: Any = None) -> Any:
        """Return the datetime."""
        if isinstance(value, str) and len(value) > len("2026-01-31"):
            try:
                return dt.datetime.fromisoformat(value)
            except ValueError:
                pass  # PyDAL's validator raises the error
        return super().validate(value, record_id)


_MOMENT = "Enter date and time with its zone, as 2026-01-31T14:30:00+01:00"


class _Moment(_Datetime):
    """Requires a time zone in text."""

    def validate(self, value: Any, record_id: Any = None) -> Any:
        """Return the datetime."""
        moment = super().validate(value, record_id)
        if isinstance(value, str) and moment.tzinfo is None:
            raise pydal.ValidationError(_MOMENT)
        return moment


class _Json(pydal.IS_JSON):  # type: ignore[misc]
    """Parses text as JSON; a program that means a JSON string inserts it without validation."""

    def __init__(self, *, nullable: bool) -> None:
        super().__init__()
        self._nullable = nullable

    def validate(self, value: Any, record_id: Any = None) -> Any:
        """Return the parsed document, and any other value unchanged."""
        if not isinstance(value, str | bytes):
            return value
        try:
            found = from_document(value)
            return None if self._nullable and found is JSON_NULL else found
        except (ValueError, RecursionError):
            raise pydal.ValidationError(self.translator(self.error_message)) from None

    def formatter(self, value: Any) -> Any:
        """Return the document as JSON text."""
        return "null" if value is JSON_NULL else super().formatter(value)


_BY_TYPE: dict[str, Callable[[], Any]] = {
    "boolean": Truth,
    "bit": pydal.IS_INT_IN_RANGE,
    "year": pydal.IS_INT_IN_RANGE,
    "float": _Number,
    "decimal": pydal.IS_DECIMAL_IN_RANGE,
    "date": pydal.IS_DATE,
    "time": _Time,
    "datetime": _Datetime,
}


class _Choice(pydal.IS_IN_SET):  # type: ignore[misc]
    """Accepts an enum's labels, and members of its class."""

    def __init__(self, labels: list[str], fit: Fit) -> None:
        super().__init__(labels)
        self._fit = fit

    def validate(self, value: Any, record_id: Any = None) -> Any:
        """Return the value unchanged."""
        try:
            self._fit(value)
        except DataError:
            raise pydal.ValidationError(self.translator(self.error_message)) from None
        return value


class _Referred(pydal.IS_IN_DB):  # type: ignore[misc]
    """Requires the key, of any type, of an existing record."""

    def __init__(self, dal: Any, field: Any, of_type: Any) -> None:
        super().__init__(dal, field)
        self._field, self._of_type = field, of_type

    def validate(self, value: Any, record_id: Any = None) -> Any:
        """Return the converted value."""
        value = self._of_type.validate(value, record_id)
        found = self.dbset(self._field == value).select(self._field, limitby=(0, 1), orderby_on_limitby=False)
        if not found:
            raise pydal.ValidationError(self.translator(self.error_message))
        return value


class _Unique(_Proxy):
    """Requires a value that no other record has; the value keeps its type."""

    def __init__(self, dal: Any, field: Any, of_type: Any) -> None:
        super().__init__(of_type)
        self._dal, self._field = dal, field
        self._message = "Value already in database or empty"

    def validate(self, value: Any, record_id: Any = None) -> Any:
        """Return the converted value."""
        value = self.obj.validate(value, record_id)
        table = self._field.table
        keys = (
            [table._id]
            if not record_id or not isinstance(record_id, dict)
            else [table[name] for name in record_id]
        )
        found = self._dal(self._field == value).select(*keys, limitby=(0, 1), orderby_on_limitby=False)
        record = found.first()
        if record is None:
            return value
        if not record_id and record_id != 0:
            mine = False
        elif isinstance(record_id, dict):
            mine = all(record[key.name] == record_id[key.name] for key in keys)
        else:
            mine = record[table._id.name] == fitted(_key_of(table), record_id)
        if not mine:
            raise pydal.ValidationError(self._message)
        return value


def _key_of(table: Any) -> Fit:
    kind = table._id.type
    fit: Fit = kind.codec.check if isinstance(kind, TypeTag) else lambda value: value
    return fit
