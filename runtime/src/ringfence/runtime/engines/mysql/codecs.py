"""The codecs of MySQL, MariaDB and Galera."""

import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pymysql.constants import FIELD_TYPE
from pymysql.converters import conversions, escape_string

from ringfence.runtime.engines.mysql.parameters import items
from ringfence.runtime.errors import DataError
from ringfence.runtime.values import codecs, narrow, parameters, values
from ringfence.runtime.values.codecs import Codec, Make, Quote

_MIDNIGHT = dt.datetime(2000, 1, 1)  # noqa: DTZ001  # a day to add a time of day to


def _moment(value: dt.datetime) -> str:
    return value.replace(tzinfo=None).isoformat(" ")


def _as_utc(value: Any) -> dt.datetime:
    # For an invalid timestamp this is text, whose replace() raises TypeError.
    moment: dt.datetime = value.replace(tzinfo=dt.UTC)
    return moment


def _as_datetime(value: Any) -> dt.datetime:
    if isinstance(value, str):
        return dt.datetime.fromisoformat(value)
    moment: dt.datetime = value
    return moment


def _as_aware(value: Any) -> dt.datetime:
    return _as_datetime(value).replace(tzinfo=dt.UTC)


def _as_date(value: Any) -> dt.date:
    if isinstance(value, str):
        return dt.date.fromisoformat(value)
    day: dt.date = value
    return day


def _as_time(value: Any) -> dt.time:
    if isinstance(value, str):
        return dt.time.fromisoformat(value)
    moment: dt.datetime = _MIDNIGHT + value
    if moment.date() != _MIDNIGHT.date():
        raise ValueError("this is a length of time, and no time of day")
    return moment.time()


def _read_by(parse: Callable[[str], Any]) -> Callable[[str | bytes], Any]:
    """Return a converter of the driver's text that leaves values without a Python form, such as 0000-00-00, as text."""

    def read(value: str | bytes) -> Any:
        text = value if isinstance(value, str) else value.decode("ascii")
        try:
            return parse(text)
        except ValueError:
            return text

    return read


CONVERSIONS: dict[Any, Any] = conversions | {
    # The same results as PyMySQL's converters, several times faster.
    FIELD_TYPE.DATETIME: _read_by(dt.datetime.fromisoformat),
    FIELD_TYPE.TIMESTAMP: _read_by(dt.datetime.fromisoformat),
    FIELD_TYPE.DATE: _read_by(dt.date.fromisoformat),
}
"""The driver's converters for the server's types."""


def _datetime(params: Mapping[str, Any]) -> Codec:
    return _AWARE if params.get("timezone") else _NAIVE


def _shown(value: Any, quote: Quote) -> str:
    return quote.text(_moment(value))


def _string(params: Mapping[str, Any]) -> Codec:
    codec = codecs.text_codec(params.get("length"))
    return (
        replace(codec, check=narrow.without_end_blanks(params.get("length")))
        if params.get("fixed")
        else codec
    )


def _float(params: Mapping[str, Any]) -> Codec:
    # The repr of a float is the shortest text that converts back to it.
    codec = codecs.floating_codec(codecs.finite)(params)
    # 0.1 in single precision differs from 0.1, so a comparison with that would not match.
    return replace(codec, literal=_single) if params.get("single") else codec


def _single(value: Any, quote: Quote) -> str:
    return f"CAST({value!r} AS FLOAT)"


_AWARE = Codec(values.aware_datetime, values.aware_datetime, _shown, _as_utc, _as_aware)
_NAIVE = Codec(
    values.naive_datetime, values.naive_datetime, _shown, codecs.never_text, _as_datetime, codecs.NOT_TEXT
)
_BOOLEAN = Codec(
    values.boolean,
    values.boolean,
    lambda value, quote: "1" if value else "0",
    codecs.TRUTH.__getitem__,
    codecs.truth,
)
_DATE = Codec(
    values.date,
    values.date,
    lambda value, quote: quote.text(value.isoformat()),
    codecs.never_text,
    _as_date,
    codecs.NOT_TEXT,
)
_TIME = Codec(
    values.time, values.time, lambda value, quote: quote.text(value.isoformat()), _as_time, _as_time
)
_UUID = Codec(
    values.identifier,
    values.identifier,
    lambda value, quote: quote.text(value.hex),
    values.identifier,
    values.identifier,
)


def _octets_of_uuid(value: Any) -> uuid.UUID:
    return uuid.UUID(bytes=codecs.octets_read(value))


_UUID_OCTETS = Codec(
    values.identifier,
    values.identifier,
    lambda value, quote: quote.octets(value.bytes),
    _octets_of_uuid,
    _octets_of_uuid,
)
_JSON = Codec(
    values.document_of_64_bits,
    values.document_of_64_bits,
    lambda value, quote: quote.text(value),
    values.from_document,
    values.from_document,
)


def _year(value: Any) -> int:
    number = values.integer(value)
    if number and not 1901 <= number <= 2155:  # the range of YEAR
        raise DataError("the year is neither 0 nor between 1901 and 2155")
    return number


_YEAR = Codec(_year, values.integer, codecs.number, None, codecs.whole)


def _bits(params: Mapping[str, Any]) -> Codec:
    check = values.bounded_integer(params.get("length", 1), {"unsigned": True})
    return Codec(check, values.integer, codecs.number, _from_bits, _from_bits)


def _from_bits(value: Any) -> int:
    if isinstance(
        value, bytes
    ):  # see `pymysql_compat.bits`: digits or bits, which the server does not tell apart
        raise TypeError("a number is needed")
    return int(value)


def _set(params: Mapping[str, Any]) -> Codec:
    labels = tuple(params.get("values", ()))

    def check(value: Any) -> str:
        given = value.split(",") if isinstance(value, str) and value else value or ()
        if not isinstance(given, list | tuple | set | frozenset):
            raise DataError(f"a set of labels is needed, not a {type(value).__name__}")
        if not all(isinstance(label, str) and label in labels for label in given):
            raise DataError(f"the labels of the column are {', '.join(labels)}")
        # In the column's order: the server compares a set with a literal as text.
        return ",".join(label for label in labels if label in given)

    def decode(value: Any) -> set[str]:
        return set(value.split(",")) if value else set()

    return Codec(check, check, lambda value, quote: quote.text(value), decode, decode)


class Quoting:
    """PyMySQL's escaping, which depends on the connection's NO_BACKSLASH_ESCAPES mode."""

    def __init__(self, connection: Any | None) -> None:
        self._connection = connection

    def text(self, value: str) -> str:
        """Return a text literal."""
        if self._connection is not None:
            quoted: str = self._connection.escape(value)
            return quoted
        return f"'{escape_string(value)}'"

    def octets(self, value: bytes) -> str:
        """Return a binary literal."""
        return f"X'{value.hex()}'"


def _naive(value: dt.datetime) -> dt.datetime:
    # PyMySQL drops the offset of a zone; sessions and columns are in UTC.
    moment = parameters.moment(value)
    return moment if moment.tzinfo is None else values.aware_datetime(moment).replace(tzinfo=None)


_GROUP, _GROUPS = 9, 9
"""The digits per group, and the groups that a number in a statement may have before and after its point together."""


def _whole(value: int) -> int:
    number = int.__int__(value)
    if abs(number) >= _TOO_LARGE:
        raise DataError(_TOO_MANY)
    return number


def _exact(value: decimal.Decimal) -> Any:
    """Return a decimal number that the server reads exactly; longer ones become 65 nines or lose their fraction."""
    number = parameters.finite(value)
    _, digits, exponent = number.as_tuple()
    before = max(1, -(-(len(digits) + exponent) // _GROUP))  # a zero before the point counts as a group
    after = max(0, -(exponent // _GROUP))
    if before + after > _GROUPS:
        raise DataError(_TOO_MANY)
    return number


_TOO_LARGE = 10 ** (_GROUP * _GROUPS)
_TOO_MANY = "the server takes no number of more than 81 digits, in groups of nine before and after the point"


def _clock(value: dt.time) -> dt.time:
    if value.tzinfo is not None:
        raise DataError("the server keeps no zone of a time: give a naive time")
    return dt.time(value.hour, value.minute, value.second, value.microsecond)


# Subclasses come before their base classes.
_SENT: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    ((bool, type(None)), lambda value: value),
    (str, parameters.text),
    (int, _whole),
    (float, parameters.finite),
    (decimal.Decimal, _exact),
    ((bytes, bytearray, memoryview), bytes),
    (dt.datetime, _naive),
    (dt.date, lambda value: dt.date(value.year, value.month, value.day)),
    (dt.time, _clock),
    (dt.timedelta, lambda value: dt.timedelta(value.days, value.seconds, value.microseconds)),
)


def to_driver(value: Any) -> Any:
    """Convert a parameter of the program's own SQL; PyMySQL would send the `str()` of an unknown class.

    Args:
        value: of any class; a subclass instance becomes a plain value. A list or tuple is for IN.

    Raises:
        DataError: for a class that the driver does not support, and for a value that it or the server would change.
    """
    for kind, plain in _SENT:
        if isinstance(value, kind):
            return plain(value)
    if isinstance(value, list | tuple):
        return items(value, to_driver)
    raise parameters.unknown(value)


CODECS: Mapping[str, Make] = {
    "boolean": lambda params: _BOOLEAN,
    "smallint": lambda params: codecs.integer_codec(16, params),
    "integer": lambda params: codecs.integer_codec(32, params),
    "bigint": lambda params: codecs.integer_codec(64, params),
    "float": _float,
    "decimal": codecs.decimal_codec,
    "string": _string,
    "text": lambda params: codecs.text_codec(params.get("length"), octets_count=True),
    "bytes": lambda params: codecs.octets_codec(params.get("length"), fixed=bool(params.get("fixed"))),
    "date": lambda params: _DATE,
    "time": lambda params: _TIME,
    "datetime": _datetime,
    "interval": lambda params: codecs.INTERVAL_AS_INTEGER,
    "uuid": lambda params: _UUID_OCTETS if params.get("binary") else _UUID,
    "json": lambda params: _JSON,
    "enum": codecs.enum_codec,
    "set": _set,
    "bit": _bits,
    "year": lambda params: _YEAR,
}
