"""How MySQL and MariaDB write and read each portable type."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from ringfence.runtime import codecs, values
from ringfence.runtime.codecs import Codec, Make, Quote

_MIDNIGHT = dt.datetime(2000, 1, 1)  # noqa: DTZ001  # a day to add a time of day to


def _moment(value: dt.datetime) -> str:
    return value.replace(tzinfo=None).isoformat(" ")


def _as_utc(value: Any) -> dt.datetime:
    return _as_datetime(value).replace(tzinfo=dt.UTC)


def _as_datetime(value: Any) -> dt.datetime:
    # PyMySQL passes on as text what is no moment, such as 0000-00-00.
    if isinstance(value, str):
        return dt.datetime.fromisoformat(value)
    moment: dt.datetime = value
    return moment


def _as_date(value: Any) -> dt.date:
    if isinstance(value, str):
        return dt.date.fromisoformat(value)
    day: dt.date = value
    return day


def _as_time(value: Any) -> dt.time:
    return (_MIDNIGHT + value).time() if isinstance(value, dt.timedelta) else value


def _datetime(params: Mapping[str, Any]) -> Codec:
    return _AWARE if params.get("timezone") else _NAIVE


def _shown(value: Any, quote: Quote) -> str:
    return quote.text(_moment(value))


_AWARE = Codec(values.aware_datetime, values.aware_datetime, _shown, _as_utc, _as_utc)
_NAIVE = Codec(values.naive_datetime, values.naive_datetime, _shown, None, _as_datetime)
_BOOLEAN = Codec(values.boolean, values.boolean, lambda value, quote: "1" if value else "0", bool, bool)
# The repr of a float is the shortest text that reads back as it.
_FLOAT = Codec(codecs.finite, codecs.finite, codecs.number, None, float)
_DATE = Codec(values.date, values.date, lambda value, quote: quote.text(value.isoformat()), None, _as_date)
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
_JSON = Codec(
    values.document_of_64_bits,
    values.document_of_64_bits,
    lambda value, quote: quote.text(value),
    values.from_document,
    values.from_document,
)


CODECS: Mapping[str, Make] = {
    "boolean": lambda params: _BOOLEAN,
    "smallint": lambda params: codecs.integer_codec(16),
    "integer": lambda params: codecs.integer_codec(32),
    "bigint": lambda params: codecs.integer_codec(64),
    "float": lambda params: _FLOAT,
    "decimal": lambda params: Codec(
        values.bounded_decimal(params.get("precision"), params.get("scale")), values.exact, codecs.fixed_point
    ),
    "string": lambda params: codecs.text_codec(params.get("length")),
    "text": lambda params: codecs.text_codec(params.get("length"), octets_count=True),
    "bytes": lambda params: codecs.octets_codec(params.get("length")),
    "date": lambda params: _DATE,
    "time": lambda params: _TIME,
    "datetime": _datetime,
    "interval": lambda params: codecs.INTERVAL_AS_INTEGER,
    "uuid": lambda params: _UUID,
    "json": lambda params: _JSON,
    "enum": codecs.enum_codec,
}
