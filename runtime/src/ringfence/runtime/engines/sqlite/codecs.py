"""The codecs of SQLite."""

import datetime as dt
import decimal
import math
import re
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ringfence.runtime import errors
from ringfence.runtime.engines.sqlite import timestamps
from ringfence.runtime.values import codecs, narrow, parameters, values
from ringfence.runtime.values.codecs import Codec, Make


class _Quote:
    def text(self, value: str) -> str:
        """Return a text literal."""
        return "'" + value.replace("'", "''") + "'"

    def octets(self, value: bytes) -> str:
        """Return a binary literal."""
        return f"X'{value.hex()}'"


QUOTE = _Quote()


def _moment(value: dt.datetime) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%S.%f") if value.year >= 1000 else _early(value)


def _early(value: dt.datetime) -> str:
    # strftime pads years before 1000 only on some platforms
    return f"{value.year:04d}{value.replace(year=2000).strftime('-%m-%d %H:%M:%S.%f')}"


_DIGITS = 26
"""Characters of a timestamp as written here; a longer one may have a zone or nanoseconds."""


def _parsed(value: str) -> dt.datetime:
    """Return the datetime of any ISO text; raise ValueError for digits that datetime would truncate."""
    if len(value) > _DIGITS and _FINER.search(value):
        raise ValueError("the moment is finer than a microsecond")
    return dt.datetime.fromisoformat(value)


_FINER = re.compile(r"[.,]\d{6}\d*[1-9]")


def _as_utc(value: str) -> dt.datetime:
    moment = _parsed(value)
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)


def _as_naive(value: str) -> dt.datetime:
    moment = _parsed(value)
    if moment.tzinfo is not None:
        raise ValueError("the column keeps no zone, and the value has one")
    return moment


def _as_time(value: str) -> dt.time:
    if _FINER.search(value):
        raise ValueError("the time is finer than a microsecond")
    moment = dt.time.fromisoformat(value)
    if moment.tzinfo is not None:
        raise ValueError("the column keeps no zone, and the value has one")
    return moment


def _text_codec_of(
    check: Callable[[Any], Any], show: Callable[[Any], str], read: Callable[[Any], Any]
) -> Codec:
    return Codec(check, check, lambda value, quote: quote.text(show(value)), read, read)


def _decimal(params: Mapping[str, Any]) -> Codec:
    scale = params.get("scale") or 0
    quantum = decimal.Decimal(1).scaleb(-scale)
    precise, form = 0.001 * 10.0**-scale, f"{{:.{scale}f}}".format

    def decode(value: Any) -> decimal.Decimal:
        if value.__class__ is float:
            # a float keeps 15 digits, and rounding to the scale restores exactly these
            text = form(value)
            rounded = float(text)
            if rounded != value and abs(rounded - value) > precise + 8 * math.ulp(value):
                raise ValueError("the number has more decimal places than its column")
            return decimal.Decimal(text)
        if value.__class__ is int:
            return decimal.Decimal(value).quantize(quantum)
        raise TypeError("a number is needed")

    def result(value: Any) -> decimal.Decimal:
        return decimal.Decimal(repr(round(value, 12))) if isinstance(value, float) else decimal.Decimal(value)

    if params.get("precision") is None:
        check = narrow.exact_in_a_float(
            values.not_negative(values.exact) if params.get("unsigned") else values.exact
        )
        return Codec(check, values.exact, codecs.fixed_point, _any_decimal, result)
    plain = codecs.decimal_codec({**params, "scale": scale})
    return Codec(plain.check, plain.check_compared, plain.literal, decode, result)


def _any_decimal(value: Any) -> decimal.Decimal:
    """Return the decimal of a column without a declared precision."""
    if value.__class__ is float:
        return decimal.Decimal(repr(value))
    if value.__class__ is int:
        return decimal.Decimal(value)
    raise TypeError("a number is needed")


def _document(value: Any) -> str:
    # A JSON column has numeric affinity: SQLite stores a bare number as a number.
    if isinstance(value, int) and not isinstance(value, bool) and not -(1 << 63) <= value < 1 << 63:
        raise errors.DataError("a bare JSON number of more than 64 bits cannot be stored on this engine")
    return values.document(value)


def from_document(value: Any) -> Any:
    """Return the value of a JSON column: a number as SQLite returns it, or the content of JSON text.

    Raises:
        ValueError: for text that is not JSON, and for a number that no float represents.
    """
    if isinstance(value, float) and math.isinf(value):
        raise ValueError(values.BEYOND_FLOAT)  # from text such as 1e999
    return value if isinstance(value, int | float) else values.from_document(value)


def _exactly(kind: type) -> Callable[[Any], Any]:
    """Return a decoder that accepts one class only, as SQLite stores values of any type in any column."""

    def decode(value: Any) -> Any:
        if value.__class__ is not kind:
            raise TypeError(f"a value of {kind.__name__} is needed")
        return value

    return decode


def _strict(codec: Codec, kind: type) -> Codec:
    """Return the codec with a decoder that accepts one class only."""
    return replace(codec, decode=_exactly(kind), as_is=f"{{value}}.__class__ is {kind.__name__}")


def _whole(bits: int) -> Make:
    return lambda params: _strict(codecs.integer_codec(bits, params, holds=(1 << 63) - 1), int)


def _float(value: Any) -> float:
    if value.__class__ is not int and value.__class__ is not float:
        raise TypeError("a number is needed")
    return float(value)


def _floating(params: Mapping[str, Any]) -> Codec:
    codec = codecs.floating_codec(codecs.finite)(params)
    return replace(codec, decode=_float, as_is="{value}.__class__ is float")


_BOOLEAN = Codec(
    values.boolean,
    values.boolean,
    lambda value, quote: "1" if value else "0",
    codecs.TRUTH.__getitem__,
    codecs.truth,
)
_DATE = _text_codec_of(values.date, lambda v: v.isoformat(), dt.date.fromisoformat)
_TIME = replace(
    _text_codec_of(values.time, lambda v: v.strftime("%H:%M:%S.%f"), _as_time), normalized=timestamps.TIME
)
_NAIVE = replace(_text_codec_of(values.naive_datetime, _moment, _as_naive), normalized=timestamps.NAIVE)
_AWARE = replace(_text_codec_of(values.aware_datetime, _moment, _as_utc), normalized=timestamps.AWARE)
_UUID = _text_codec_of(values.identifier, lambda v: v.hex, values.identifier)
_JSON = _text_codec_of(_document, str, from_document)


def to_driver(value: Any) -> Any:
    """Convert a parameter of the program's own SQL.

    Args:
        value: of any class that sqlite3 accepts, including those with registered adapters.

    Raises:
        DataError: for any other class, for an integer of more than 64 bits, and for NaN, which SQLite would store as
            NULL.
    """
    match value:
        case str():
            return parameters.text(value)
        case int():
            number = int.__int__(value)
            if not -(1 << 63) <= number < 1 << 63:
                raise errors.DataError("the whole number has more than 64 bits")
            return number
        case float():
            if math.isnan(value):
                raise errors.DataError("SQLite would make NULL of NaN")
            return float(value)
        case dt.datetime():
            # In the runtime's form, to compare equal: sqlite3's adapter keeps zones and omits zero fractions.
            moment = parameters.moment(value)
            return _moment(moment if moment.tzinfo is None else values.aware_datetime(moment))
        case dt.date():
            return value.isoformat()
        case None | bytes() | bytearray() | memoryview():
            return value
    if (type(value), sqlite3.PrepareProtocol) in sqlite3.adapters or hasattr(value, "__conform__"):
        return value
    raise parameters.unknown(value)


CODECS: Mapping[str, Make] = {
    "boolean": lambda params: _BOOLEAN,
    "smallint": _whole(16),
    "integer": _whole(32),
    "bigint": _whole(64),
    "float": _floating,
    "decimal": _decimal,
    "string": lambda params: _strict(codecs.text_codec(params.get("length")), str),
    "text": lambda params: _strict(codecs.text_codec(None), str),
    "bytes": lambda params: codecs.octets_codec(
        params["length"] if params.get("fixed") else None, fixed=bool(params.get("fixed"))
    ),
    "date": lambda params: _DATE,
    "time": lambda params: _TIME,
    "datetime": lambda params: _AWARE if params.get("timezone") else _NAIVE,
    "interval": lambda params: codecs.INTERVAL_AS_INTEGER,
    "uuid": lambda params: _UUID,
    "json": lambda params: _JSON,
    "enum": lambda params: _strict(codecs.enum_codec(params), str),
}
