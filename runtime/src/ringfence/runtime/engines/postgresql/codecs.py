"""The codecs of PostgreSQL."""

import datetime as dt
import math
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import psycopg2
import psycopg2.extensions as ext

from ringfence.runtime import errors
from ringfence.runtime.values import codecs, narrow, parameters, values
from ringfence.runtime.values.codecs import Codec, Make, Quote


def _read_by(parse: Callable[[str], Any]) -> Callable[[str | None, Any], Any]:
    """Return a typecaster that leaves values without a Python form as text.

    psycopg2's own typecasters convert infinity, months and years to other values, and fail for the whole result on
    years before 1 and after 9999.
    """

    def cast(value: str | None, cursor: Any) -> Any:
        if value is None:
            return None
        try:
            return parse(value)
        except (OverflowError, ValueError):
            return value

    return cast


def _length(value: str) -> Any:
    return ext.PYINTERVAL(value, None) if _LENGTH.fullmatch(value) else value


# Days and a time in IntervalStyle=postgres; psycopg2 misreads intervals in other styles.
_LENGTH = re.compile(r"(?:-?\d+ days?(?: [+-]?\d\d+:\d\d:\d\d(?:\.\d+)?)?|-?\d\d+:\d\d:\d\d(?:\.\d+)?)")


def _clock(value: str) -> Any:
    return value if value.startswith("24") else dt.time.fromisoformat(value)


# JSON stays text until a codec reads it; psycopg2 would parse it, and return None for JSON's null.
_CASTS: tuple[tuple[tuple[int, ...], tuple[int, ...], str, Any], ...] = (
    ((114, 3802), (199, 3807), "JSON", lambda value, cursor: value),
    ((1082,), (1182,), "DATE", _read_by(dt.date.fromisoformat)),
    ((1114, 1184), (1115, 1185), "TIMESTAMP", _read_by(dt.datetime.fromisoformat)),
    ((1083,), (1183,), "TIME", _read_by(_clock)),
    ((1186,), (1187,), "INTERVAL", _read_by(_length)),
    # psycopg2 would read 24:00 as 00:00.
    ((1266,), (1270,), "TIMETZ", _read_by(_clock)),
)
TYPECASTERS = tuple(
    caster
    for oids, array_oids, name, cast in _CASTS
    for each in (ext.new_type(oids, f"RINGFENCE_{name}", cast),)
    for caster in (each, ext.new_array_type(array_oids, f"RINGFENCE_{name}_ARRAY", each))
)


def _floating(params: Mapping[str, Any]) -> Codec:
    def literal(value: float, quote: Quote) -> str:
        if not math.isfinite(value):
            return f"'{value}'::float8"
        # An untyped literal takes the column's type: 0.1 as REAL differs from 0.1.
        return f"'{value}'" if params.get("digits") else codecs.number(value, quote)

    check = values.not_negative(values.floating) if params.get("unsigned") else values.floating
    return Codec(check, codecs.compared_floating(values.floating), literal, float, float)


def _string(params: Mapping[str, Any]) -> Codec:
    codec = codecs.text_codec(params.get("length"))
    return replace(codec, check=narrow.exact_length(params["length"])) if params.get("fixed") else codec


def _typed(cast: str, check: Any, show: Any, decode: Any = None, as_is: str | None = None) -> Make:
    def literal(value: Any, quote: Quote) -> str:
        return f"{quote.text(show(value))}::{cast}"

    codec = Codec(check, check, literal, decode, decode, as_is)
    return lambda params: codec


def _in_utc(value: dt.datetime) -> dt.datetime:
    return value if value.tzinfo is dt.UTC else value.astimezone(dt.UTC)


def _datetime(params: Mapping[str, Any]) -> Codec:
    return _AWARE({}) if params.get("timezone") else _NAIVE({})


_AWARE = _typed(
    "timestamptz", values.aware_datetime, lambda v: v.isoformat(" "), _in_utc, "{value}.tzinfo is UTC"
)
_NAIVE = _typed(
    "timestamp", values.naive_datetime, lambda v: v.isoformat(" "), codecs.never_text, codecs.NOT_TEXT
)


def _interval(value: dt.timedelta) -> str:
    return f"{value.days} days {value.seconds} seconds {value.microseconds} microseconds"


def _uuid(value: Any) -> uuid.UUID:
    return value if isinstance(value, uuid.UUID) else uuid.UUID(value)


def _json(params: Mapping[str, Any]) -> Codec:
    cast, write = ("jsonb", _with_points) if params.get("binary") else ("json", str)
    return Codec(
        values.document,
        values.document,
        lambda value, quote: f"{quote.text(write(value))}::{cast}",
        values.from_document,
        values.from_document,
    )


def _with_points(text: str) -> str:
    """Return JSON text with large floats written without an exponent: jsonb would return 1e+16 as an integer."""
    return _EXPONENT.sub(lambda found: f"{Decimal(found[1]):f}.0" if found[1] else found[0], text)


_EXPONENT = re.compile(r'"(?:[^"\\]|\\.)*"|(-?\d+(?:\.\d+)?e\+\d+)')


def _array(params: Mapping[str, Any]) -> Codec:
    item = params["item"]
    name, details = item["type"], item.get("params", {})
    inner = codecs.codec_for(CODECS, name, details, "array item")
    decode_item = inner.decode
    # The mirror does not contain the name of an enum's type: an untyped literal takes it from the column.
    cast = None if name == "enum" else _ARRAY_CASTS.get(name, name)
    if name == "datetime":
        cast = "timestamptz" if details.get("timezone") else "timestamp"
    if name == "json":
        cast = "jsonb" if details.get("binary") else "json"

    def check(value: Any) -> list[Any]:
        if not isinstance(value, list | tuple):
            raise errors.DataError(f"a list is needed, not a {type(value).__name__}")
        return [None if each is None else inner.check(each) for each in value]

    def literal(value: list[Any], quote: Quote) -> str:
        if cast is None:
            return quote.text("{" + ",".join(map(_element, value)) + "}")
        inside = ",".join("NULL" if each is None else inner.literal(each, quote) for each in value)
        return f"ARRAY[{inside}]::{cast}[]"

    def decode(value: Any) -> list[Any]:
        # psycopg2 returns arrays of unknown types as text.
        listed = ext.UNICODEARRAY(value, None) if isinstance(value, str) else value
        return (
            [None if each is None else decode_item(each) for each in listed] if decode_item else list(listed)
        )

    return Codec(check, check, literal, decode, decode)


def _element(value: str | None) -> str:
    if value is None:
        return "NULL"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


# PostgreSQL's names of portable types, where these differ.
_ARRAY_CASTS = {"float": "float8", "decimal": "numeric", "string": "varchar", "bytes": "bytea"}


def to_driver(value: Any) -> Any:
    """Convert a parameter of the program's own SQL; lists become arrays, tuples are for IN.

    Args:
        value: of any class that psycopg2 adapts, registered ones included.

    Raises:
        DataError: for any other class, and for text with NUL or a lone surrogate.
    """
    match value:
        case str():
            if "\0" in value:
                raise errors.DataError("the text holds a NUL character, which this engine cannot keep")
            return parameters.text(value)
        case float():
            return float(value)  # the repr of a subclass may be no literal
        case uuid.UUID():
            # psycopg2 adapts UUIDs only after something in the process, such as SQLAlchemy, has registered them.
            return str(value)
        case list():
            return [to_driver(each) for each in value]
        case tuple() if not hasattr(value, "getquoted"):
            return tuple(to_driver(each) for each in value)
    try:
        ext.adapt(value)
    except psycopg2.ProgrammingError:
        raise parameters.unknown(value) from None
    return value


# Columns of other types that other programs use for booleans: numbers, and BIT(1), which the driver returns as text.
_BITS: Mapping[Any, bool] = {"0": False, "1": True, 0: False, 1: True}


def _truth(value: Any) -> bool:
    """Return the result of a boolean expression."""
    return _BITS[value] if isinstance(value, str) else codecs.truth(value)


def _constant(codec: Codec) -> Make:
    return lambda params: codec


CODECS: Mapping[str, Make] = {
    "boolean": _constant(
        Codec(
            values.boolean,
            values.boolean,
            lambda value, quote: "TRUE" if value else "FALSE",
            _BITS.__getitem__,
            _truth,
            "{value}.__class__ is bool",
        )
    ),
    "smallint": lambda params: codecs.integer_codec(16, params, holds=(1 << 15) - 1),
    "integer": lambda params: codecs.integer_codec(32, params, holds=(1 << 31) - 1),
    "bigint": lambda params: codecs.integer_codec(64, params, holds=(1 << 63) - 1),
    "float": _floating,
    "decimal": codecs.decimal_codec,
    "string": _string,
    "text": lambda params: codecs.text_codec(None),
    "bytes": lambda params: codecs.octets_codec(None),
    "date": _typed("date", values.date, lambda v: v.isoformat(), codecs.never_text, codecs.NOT_TEXT),
    "time": _typed("time", values.time, lambda v: v.isoformat(), codecs.never_text, codecs.NOT_TEXT),
    "datetime": _datetime,
    "interval": _typed("interval", values.interval, _interval, codecs.never_text, codecs.NOT_TEXT),
    "uuid": _typed("uuid", values.identifier, str, _uuid),
    "json": _json,
    "enum": codecs.enum_codec,
    "array": _array,
    "citext": _constant(codecs.text_codec(None)),
    "inet": _typed("inet", values.address, str),
}
