"""How SQLite writes and reads each portable type."""

import datetime as dt
import decimal
from collections.abc import Callable, Mapping
from typing import Any

from ringfence.runtime import codecs, errors, values
from ringfence.runtime.codecs import Codec, Make


class _Quote:
    def text(self, value: str) -> str:
        return "'" + value.replace("'", "''") + "'"

    def octets(self, value: bytes) -> str:
        return f"X'{value.hex()}'"


QUOTE = _Quote()


def _moment(value: dt.datetime) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%S.%f") if value.year >= 1000 else _early(value)


def _early(value: dt.datetime) -> str:
    # strftime pads years before 1000 on some platforms only
    return f"{value.year:04d}{value.replace(year=2000).strftime('-%m-%d %H:%M:%S.%f')}"


def _as_utc(value: str) -> dt.datetime:
    return dt.datetime.fromisoformat(value).replace(tzinfo=dt.UTC)


def _text_codec_of(
    fit: Callable[[Any], Any], show: Callable[[Any], str], read: Callable[[Any], Any]
) -> Codec:
    return Codec(fit, fit, lambda value, quote: quote.text(show(value)), read, read)


def _decimal(params: Mapping[str, Any]) -> Codec:
    precision, scale = params.get("precision"), params.get("scale") or 0
    quantum = decimal.Decimal(1).scaleb(-scale)

    def decode(value: Any) -> decimal.Decimal:
        # up to 15 digits survive in a float, and rounding to the scale brings exactly them back
        return decimal.Decimal(repr(value) if isinstance(value, float) else value).quantize(quantum)

    def result(value: Any) -> decimal.Decimal:
        return decimal.Decimal(repr(round(value, 12))) if isinstance(value, float) else decimal.Decimal(value)

    return Codec(values.bounded_decimal(precision, scale), values.exact, codecs.fixed_point, decode, result)


def _document(value: Any) -> str:
    # A JSON column has numeric affinity: SQLite keeps a bare number as a number of its own.
    if isinstance(value, int) and not isinstance(value, bool) and not -(1 << 63) <= value < 1 << 63:
        raise errors.BadValue("a bare JSON number of more than 64 bits cannot be stored on this engine")
    return values.document(value)


def from_document(value: Any) -> Any:
    return value if isinstance(value, int | float) else values.from_document(value)


_BOOLEAN = Codec(values.boolean, values.boolean, lambda value, quote: "1" if value else "0", bool, bool)
_FLOAT = Codec(codecs.finite, codecs.finite, codecs.number, float, float)
_DATE = _text_codec_of(values.date, lambda v: v.isoformat(), dt.date.fromisoformat)
_TIME = _text_codec_of(values.time, lambda v: v.strftime("%H:%M:%S.%f"), dt.time.fromisoformat)
_NAIVE = _text_codec_of(values.naive_datetime, _moment, dt.datetime.fromisoformat)
_AWARE = _text_codec_of(values.aware_datetime, _moment, _as_utc)
_UUID = _text_codec_of(values.identifier, lambda v: v.hex, values.identifier)
_JSON = _text_codec_of(_document, str, from_document)

CODECS: Mapping[str, Make] = {
    "boolean": lambda params: _BOOLEAN,
    "smallint": lambda params: codecs.integer_codec(16),
    "integer": lambda params: codecs.integer_codec(32),
    "bigint": lambda params: codecs.integer_codec(64),
    "float": lambda params: _FLOAT,
    "decimal": _decimal,
    "string": lambda params: codecs.text_codec(params.get("length")),
    "text": lambda params: codecs.text_codec(None),
    "bytes": lambda params: codecs.octets_codec(None),
    "date": lambda params: _DATE,
    "time": lambda params: _TIME,
    "datetime": lambda params: _AWARE if params.get("timezone") else _NAIVE,
    "interval": lambda params: codecs.INTERVAL_AS_INTEGER,
    "uuid": lambda params: _UUID,
    "json": lambda params: _JSON,
    "enum": codecs.enum_codec,
}
