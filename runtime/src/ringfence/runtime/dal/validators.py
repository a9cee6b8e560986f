"""The validators that a mirrored field has by default: PyDAL's own for its type, and the column's codec behind them.

PyDAL's turn the text of a form into a value (`"12"`, `"2026-01-31"`, `'{"a": 1}'`), and say what is wrong in words for
a person; the codec then refuses what the column could not keep. A value that a program passes is left as it is.
"""

import datetime as dt
import math
from collections.abc import Callable
from typing import Any

from pydal import validators as pydal

from ringfence.runtime.dal.types import TypeTag
from ringfence.runtime.errors import BadValue
from ringfence.runtime.mirror import Column
from ringfence.runtime.mirror import Table as MirrorTable
from ringfence.runtime.values import INTEGER_BITS, JSON_NULL, UNLIMITED, from_document

EMPTY = "Enter a value"
Fit = Callable[[Any], Any]


def default_validator(field: Any) -> Any:
    """The validator of a field of the mirror, which does nothing for what no form can give.

    Args:
        field: of a table that is made, or of a nested select, which stores nothing.
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
    """Whether no two records have the same value in a column, by a key of that column alone.

    Args:
        mirror: the table.
        column: of it.
    """
    return mirror.primary_key == (column.name,) or any(
        each.kind == "unique" and each.columns == (column.name,) for each in mirror.constraints.values()
    )


def _referred(mirror: Any, table: MirrorTable, column: Column) -> tuple[str, str] | None:
    """The PyDAL table and field that a column refers to by itself, where the account may read them."""
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
    """The validator of a column's type."""
    fit = field.type.codec.fit
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
    """PyDAL's own shows a value as it is, and so a password, whatever the validator in it would show."""

    def formatter(self, value: Any) -> Any:
        return self.obj.formatter(value)


class _EmptyOr(pydal.IS_EMPTY_OR):  # type: ignore[misc]
    """NULL for None and for a form's empty text; PyDAL's own makes NULL of an empty list and of no bytes, too."""

    def validate(self, value: Any, record_id: Any = None) -> Any:
        empty = value is None or (isinstance(value, str) and not value.strip())
        return None if empty else self.other.validate(value, record_id)


class _Fitting(_Proxy):
    """A validator of PyDAL's and the column's codec: a value has to pass both.

    Args:
        obj: PyDAL's, which gives the value.
        fit: of the codec, which raises BadValue.
    """

    def __init__(self, obj: Any, fit: Fit) -> None:
        super().__init__(obj)
        self._fit = fit

    def validate(self, value: Any, record_id: Any = None) -> Any:
        """The value to store. Raises PyDAL's ValidationError."""
        if value is None:
            raise pydal.ValidationError(EMPTY)
        value = self.obj.validate(value, record_id)
        fitted(self._fit, value)
        return value


def fitted(fit: Fit, value: Any) -> Any:
    """What a codec makes of a value. Raises PyDAL's ValidationError where it takes it not.

    Args:
        fit: of the codec.
        value: a program's.
    """
    try:
        return fit(value)
    except BadValue as error:
        text = str(error)
    raise pydal.ValidationError(text[:1].upper() + text[1:])


class _Unchecked(_Proxy):
    """A box that was not ticked is in no form: None passes, and is refused where it is stored."""

    def validate(self, value: Any, record_id: Any = None) -> Any:
        return None if value is None else self.obj.validate(value, record_id)


class _Text(pydal.IS_LENGTH):  # type: ignore[misc]
    """PyDAL's own makes a text of whatever it is given."""

    def validate(self, value: Any, record_id: Any = None) -> Any:
        return super().validate(value, record_id) if isinstance(value, str) else value


class Truth(pydal.Validator):  # type: ignore[misc]
    """What forms and addresses say for true and false."""

    words = {  # noqa: RUF012  # never written to
        **dict.fromkeys(("true", "t", "1", "on", "yes", "y"), True),
        **dict.fromkeys(("false", "f", "0", "off", "no", "n"), False),
    }

    def validate(self, value: Any, record_id: Any = None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self.words[value.strip().lower()]
        except KeyError:
            raise pydal.ValidationError("Enter true or false") from None


class _Password(pydal.CRYPT):  # type: ignore[misc]  # pydal is untyped
    """PyDAL's own takes anything, and fails later, when what it was given cannot be hashed."""

    def validate(self, value: Any, record_id: Any = None) -> Any:
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
    """PyDAL's own makes infinity of "1e999", and fails with a whole number that is too large for a float."""

    def validate(self, value: Any, record_id: Any = None) -> Any:
        try:
            number = super().validate(value, record_id)
        except OverflowError:
            raise pydal.ValidationError("Enter a smaller number") from None
        if isinstance(value, str) and math.isinf(number) and "inf" not in value.lower():
            raise pydal.ValidationError("Enter a smaller number")
        return number


class _Time(pydal.IS_TIME):  # type: ignore[misc]
    """PyDAL's own refuses a time, and cuts the fraction off a text."""

    def validate(self, value: Any, record_id: Any = None) -> Any:
        if isinstance(value, dt.time):
            return value
        try:
            return dt.time.fromisoformat(value)
        except (TypeError, ValueError):
            return super().validate(value, record_id)


class _Datetime(pydal.IS_DATETIME):  # type: ignore[misc]
    """PyDAL's own takes neither a fraction nor a zone in a text."""

    def validate(self, value: Any, record_id: Any = None) -> Any:
        if isinstance(value, str) and len(value) > len("2026-01-31"):
            try:
                return dt.datetime.fromisoformat(value)
            except ValueError:
                pass  # PyDAL's says what is wanted
        return super().validate(value, record_id)


_MOMENT = "Enter date and time with its zone, as 2026-01-31T14:30:00+01:00"


class _Moment(_Datetime):
    """A text without a zone is no moment."""

    def validate(self, value: Any, record_id: Any = None) -> Any:
        moment = super().validate(value, record_id)
        if isinstance(value, str) and moment.tzinfo is None:
            raise pydal.ValidationError(_MOMENT)
        return moment


class _Json(pydal.IS_JSON):  # type: ignore[misc]
    """A text is parsed: what a program means as a text in JSON, it inserts without validation."""

    def __init__(self, *, nullable: bool) -> None:
        super().__init__()
        self._nullable = nullable

    def validate(self, value: Any, record_id: Any = None) -> Any:
        if not isinstance(value, str | bytes):
            return value
        try:
            found = from_document(value)
            return None if self._nullable and found is JSON_NULL else found
        except (ValueError, RecursionError):
            raise pydal.ValidationError(self.translator(self.error_message)) from None

    def formatter(self, value: Any) -> Any:
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
    """One of an enum's labels, or a member of its class."""

    def __init__(self, labels: list[str], fit: Fit) -> None:
        super().__init__(labels)
        self._fit = fit

    def validate(self, value: Any, record_id: Any = None) -> Any:
        try:
            self._fit(value)
        except BadValue:
            raise pydal.ValidationError(self.translator(self.error_message)) from None
        return value


class _Referred(pydal.IS_IN_DB):  # type: ignore[misc]
    """The key of a record that is there, of whatever type."""

    def __init__(self, dal: Any, field: Any, of_type: Any) -> None:
        super().__init__(dal, field)
        self._field, self._of_type = field, of_type

    def validate(self, value: Any, record_id: Any = None) -> Any:
        value = self._of_type.validate(value, record_id)
        found = self.dbset(self._field == value).select(self._field, limitby=(0, 1), orderby_on_limitby=False)
        if not found:
            raise pydal.ValidationError(self.translator(self.error_message))
        return value


class _Unique(_Proxy):
    """A value that no other record has; the value keeps its type."""

    def __init__(self, dal: Any, field: Any, of_type: Any) -> None:
        super().__init__(of_type)
        self._dal, self._field = dal, field
        self._message = "Value already in database or empty"

    def validate(self, value: Any, record_id: Any = None) -> Any:
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
    fit: Fit = kind.codec.fit if isinstance(kind, TypeTag) else lambda value: value
    return fit
