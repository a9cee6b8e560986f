"""The values that each portable type accepts: a value is stored exactly or refused, never silently changed."""

import datetime as dt
import decimal
import enum
import ipaddress
import json
import math
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from ringfence.runtime.errors import DataError

Check = Callable[[Any], Any]

NO_PARAMS: Mapping[str, Any] = MappingProxyType({})
UNLIMITED = 1 << 64
INTEGER_BITS = {"smallint": 16, "integer": 32, "bigint": 64}


class JsonNull:
    """The JSON value `null`, as distinct from the SQL NULL that None stands for."""

    def __repr__(self) -> str:
        return "JSON_NULL"

    def __bool__(self) -> bool:
        return False

    def __reduce__(self) -> str:
        return "JSON_NULL"


JSON_NULL: Final = JsonNull()


def boolean(value: Any) -> bool:
    """Return True or False, also for the integers 1 and 0.

    Raises:
        DataError: for any other value.
    """
    if value is True or value is False:
        return value
    if type(value) is int and value in (0, 1):
        return bool(value)
    raise DataError(f"a boolean is True or False, not a {_kind(value)}")


def integer(value: Any) -> int:
    """Return an int of any size, also from a string of digits, which PyDAL's record look-ups pass.

    Raises:
        DataError: for a value that is no integer.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return int.__int__(value)  # the plain int, whatever a subclass overrides
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    if isinstance(value, decimal.Decimal | float) and _finite(value) and value == int(value):
        return int(value)
    raise DataError(f"a whole number is needed, not a {_kind(value)}")


# Python converts at most 4300 digits.
_DIGITS = re.compile(r"-?[0-9]{1,4000}")


def _finite(value: decimal.Decimal | float) -> bool:
    """Return whether a number is finite, without the error that math.isfinite raises for a signaling NaN."""
    return value.is_finite() if isinstance(value, decimal.Decimal) else math.isfinite(value)


def floating(value: Any) -> float:
    """Return a float; whether NaN and infinity are allowed is up to the backend.

    Raises:
        DataError: for a value that is no number, or that a float cannot represent.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | decimal.Decimal):
        raise DataError(f"a number is needed, not a {_kind(value)}")
    if isinstance(value, decimal.Decimal) and value.is_snan():
        raise DataError("a signaling NaN is no number")
    try:
        number = float(value)
    except OverflowError as error:
        raise DataError("the number is too large for a float") from error
    if isinstance(value, decimal.Decimal) and _lost(value, number):
        raise DataError("the number is too large or too small for a float")
    if isinstance(value, int) and int(number) != value:
        raise DataError("the whole number is too large to be kept exactly in a float")
    return number


def _lost(value: decimal.Decimal, number: float) -> bool:
    """Return whether the conversion to float silently gave infinity or zero."""
    return value.is_finite() and (math.isinf(number) or (number == 0) != (value == 0))


def exact(value: Any) -> decimal.Decimal:
    """Return a finite Decimal; a float stands for the shortest decimal that converts back to it.

    Raises:
        DataError: for a value that is no finite number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | decimal.Decimal | str):
        raise DataError(f"a decimal number is needed, not a {_kind(value)}")
    try:
        number = decimal.Decimal(repr(value) if isinstance(value, float) else value)
    except decimal.InvalidOperation as error:
        raise DataError("the text is not a decimal number") from error
    if not number.is_finite():
        raise DataError("NaN and infinity are no decimal numbers")
    return number


def text(value: Any) -> str:
    """Return any Unicode text without NUL, which not every engine can store.

    Raises:
        DataError: for a value that is no text, and for NUL characters and lone surrogates.
    """
    if not isinstance(value, str):
        raise DataError(f"text is needed, not a {_kind(value)}")
    if "\0" in value:
        raise DataError("the text holds a NUL character, which cannot be stored in a text column")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError("the text holds a lone surrogate, which is no Unicode character") from error
    # str() of a member of `class Platform(str, Enum)` is "Platform.TWITCH", not its text.
    return str.__str__(value)


def octets(value: Any) -> bytes:
    """Return the bytes of bytes, a bytearray or a memoryview.

    Raises:
        DataError: for any other value.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise DataError(f"bytes are needed, not a {_kind(value)}")


def date(value: Any) -> dt.date:
    """Return a date, also from ISO text; a datetime would lose its time and is refused.

    Raises:
        DataError: for any other value.
    """
    if isinstance(value, dt.datetime):
        raise DataError("a date is needed, not a datetime: pass its .date()")
    if isinstance(value, dt.date):
        return value
    parsed: dt.date = _iso(value, dt.date.fromisoformat, "a date")
    return parsed


def time(value: Any) -> dt.time:
    """Return a time without a zone, also from ISO text.

    Raises:
        DataError: for any other value, and for a time with a zone.
    """
    moment = value if isinstance(value, dt.time) else _iso(value, dt.time.fromisoformat, "a time")
    if moment.tzinfo is not None:
        raise DataError("a time column keeps no zone: pass a naive time")
    return moment


def naive_datetime(value: Any) -> dt.datetime:
    """Return a datetime without a zone, also from ISO text.

    Raises:
        DataError: for any other value, and for a datetime with a zone.
    """
    moment = value if isinstance(value, dt.datetime) else _iso(value, dt.datetime.fromisoformat, "a datetime")
    if moment.tzinfo is not None:
        raise DataError("this column keeps no zone: pass a naive datetime")
    return moment


def aware_datetime(value: Any) -> dt.datetime:
    """Return a datetime with a zone, also from ISO text, converted to UTC.

    Raises:
        DataError: for any other value, for a datetime without a zone, and for one outside the years 1 to 9999 in UTC.
    """
    moment = value if isinstance(value, dt.datetime) else _iso(value, dt.datetime.fromisoformat, "a datetime")
    if moment.tzinfo is None:
        raise DataError(
            "this column keeps moments: pass an aware datetime, such as datetime.now(timezone.utc)"
        )
    try:
        return moment.astimezone(dt.UTC)
    except OverflowError as error:
        raise DataError("the datetime leaves the years 1 to 9999 in UTC") from error


def interval(value: Any) -> dt.timedelta:
    """Return a timedelta.

    Raises:
        DataError: for any other value.
    """
    if isinstance(value, dt.timedelta):
        return value
    raise DataError(f"a timedelta is needed, not a {_kind(value)}")


def identifier(value: Any) -> uuid.UUID:
    """Return a UUID, also from its text.

    Raises:
        DataError: for any other value.
    """
    if isinstance(value, uuid.UUID):
        return value
    if isinstance(value, str):
        try:
            return uuid.UUID(value)
        except ValueError as error:
            raise DataError("the text is not a UUID") from error
    raise DataError(f"a UUID is needed, not a {_kind(value)}")


def document(value: Any) -> str:
    """Return the JSON text of dicts, lists, scalars and JSON_NULL.

    Raises:
        DataError: for a value that the JSON of some engine cannot represent.
    """
    _sayable(value)
    try:
        said = json.dumps(None if value is JSON_NULL else value, ensure_ascii=False, allow_nan=False)
        said.encode()
    except UnicodeEncodeError as error:
        raise DataError("the value holds a lone surrogate, which is no Unicode character") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"the value cannot be said in JSON: {error}") from error
    if "\\u0000" in said and _NUL.search(said):
        raise DataError("the value holds a NUL character, which not every engine keeps in JSON")
    return said


_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def document_of_64_bits(value: Any) -> str:
    """Return JSON text as `document` does, without integers of more than 64 bits, which MySQL would turn into floats.

    Raises:
        DataError: as `document`, and for such an integer.
    """
    said = document(value)
    for found in _LONG_NUMBER.finditer(said):
        if found[1] and not -(1 << 63) <= int(found[1]) < 1 << 64:
            raise DataError(
                "a whole number of more than 64 bits cannot be kept in JSON on this engine: use text"
            )
    return said


# A string, which is skipped, or an integer long enough to be checked.
_LONG_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|(?<![\d.])(-?\d{19,})(?![\d.eE])')


def _sayable(value: Any) -> None:
    """Raise DataError for what json.dumps would silently change: keys that are not text, and circular values."""
    try:
        if isinstance(value, dict):
            for key, item in value.items():
                if not isinstance(key, str):
                    raise DataError(f"a key in JSON is text, not a {_kind(key)}")
                _sayable(item)
        elif isinstance(value, list | tuple):
            for item in value:
                _sayable(item)
    except RecursionError as error:
        raise DataError("the value is nested too deeply, or holds itself") from error


def from_document(value: str | bytes) -> Any:
    """Return the value of JSON text, with JSON_NULL for a bare null.

    Raises:
        ValueError: when it is not JSON, or contains a number that no float represents; json.loads reads 1e400 as
            infinity.
    """
    text = value if isinstance(value, str) else value.decode(json.detect_encoding(value))
    parsed = _STRICT.decode(text) if _BEYOND.search(text) else json.loads(text)
    return JSON_NULL if parsed is None else parsed


def _kept(text: str) -> float:
    number = float(text)
    if math.isinf(number) or (number == 0 and _NOT_ZERO.match(text)):
        raise ValueError(BEYOND_FLOAT)
    return number


def _no_json(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


BEYOND_FLOAT: Final = "it holds a number that no float keeps"
_STRICT = json.JSONDecoder(parse_float=_kept, parse_constant=_no_json)
_BEYOND = re.compile(r"[0-9][eE]|[0-9]{300}|NaN|Infinity")
"""JSON text that does not match contains no number beyond the range of a float."""
_NOT_ZERO = re.compile(r"-?[0.]*[1-9]")


def address(value: Any) -> str:
    """Return a network address, or a host address with its prefix, as text.

    Raises:
        DataError: for any other value.
    """
    if not isinstance(value, _ADDRESSES):
        raise DataError(f"a network address is needed, not a {_kind(value)}")
    given = str.__str__(value) if isinstance(value, str) else str(value)
    try:
        return str(ipaddress.ip_interface(given)) if "/" in given else str(ipaddress.ip_address(given))
    except ValueError:  # its message repeats the value
        raise DataError("the value is not a network address") from None


_ADDRESSES = (
    str,
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
)


def choice(params: Mapping[str, Any]) -> Check:
    """Return the check of an enum, which accepts a label or an Enum member.

    Values read are always labels: the result must not depend on whether a service can import the models' class.

    Args:
        params: the mirror's parameters: `values` are the stored labels, `members` maps labels to the names of their
            members, where these differ.

    Returns:
        A function that returns the label that SQLAlchemy would store, or raises DataError.
    """
    values: Sequence[str] = params.get("values", ())
    names: Mapping[str, str] = {label: label for label in values} | params.get("members", {})
    labels: dict[str, str] = {}
    for label, name in names.items():
        labels.setdefault(name, label)  # if a member has several labels, the first is written
    stored = {label: labels[name] for label, name in names.items()}

    def check(value: Any) -> str:
        label = labels.get(value.name) if isinstance(value, enum.Enum) else None
        if label is None and isinstance(value, str):
            label = stored.get(str.__str__(value))
        if label is None:
            raise DataError(f"the value is none of {', '.join(sorted(values))}")
        return label

    return check


def bounded_integer(bits: int, params: Mapping[str, Any] = NO_PARAMS, *, holds: int = UNLIMITED) -> Check:
    """Return the check of integers that fit into a column.

    Args:
        bits: the size of its portable type, with the sign.
        params: the mirror's parameters: `bits` where the column has fewer, `unsigned` where it has no sign.
        holds: the largest value of an unsigned column on an engine without unsigned types.
    """
    bits = params.get("bits", bits)
    least, most = -(1 << bits - 1), (1 << bits - 1) - 1
    if params.get("unsigned"):
        least, most = 0, min((1 << bits) - 1, holds)

    def check(value: Any) -> int:
        number = integer(value)
        if not least <= number <= most:
            raise DataError(f"the number is not between {least} and {most}")
        return number

    return check


def bounded_decimal(precision: int | None, scale: int | None) -> Check:
    """Return the check of decimals that keep every digit with this precision and scale.

    Args:
        precision: the total number of digits; None for no limit.
        scale: the number of decimal places; None means 0.
    """

    def check(value: Any) -> decimal.Decimal:
        number = exact(value)
        if precision is None:
            return number
        places = scale or 0
        exponent = number.normalize(decimal.Context(prec=1000)).as_tuple().exponent
        if isinstance(exponent, int) and -exponent > places:
            raise DataError(f"the number has more than {places} decimal places: round it first")
        if number.copy_abs() >= decimal.Decimal(10) ** (precision - places):
            raise DataError(f"the number has more than {precision - places} digits before the point")
        return number

    return check


def bounded_text(length: int | None, *, octets_count: bool = False) -> Check:
    """Return the check of text with a maximum length.

    Args:
        length: the maximum; None for no limit.
        octets_count: whether the length counts UTF-8 bytes instead of characters.
    """

    def check(value: Any) -> str:
        given = text(value)
        if length is not None and (len(given.encode()) if octets_count else len(given)) > length:
            unit = "bytes" if octets_count else "characters"
            raise DataError(f"the text is longer than {length} {unit}")
        return given

    return check


def not_negative(inner: Check) -> Check:
    """Return a check that also refuses negative numbers.

    Args:
        inner: the type's check.
    """

    def check(value: Any) -> Any:
        number = inner(value)
        if number < 0:
            raise DataError("the number is below 0, and the column has no sign")
        return number

    return check


def bounded_octets(length: int | None, *, fixed: bool = False) -> Check:
    """Return the check of bytes with a maximum length.

    Args:
        length: the maximum; None for no limit.
        fixed: whether the length must be exact, as the engine would pad shorter values.
    """

    def check(value: Any) -> bytes:
        given = octets(value)
        if fixed and len(given) != length:
            raise DataError(f"exactly {length} bytes are needed, and the value has {len(given)}")
        if length is not None and len(given) > length:
            raise DataError(f"the value is longer than {length} bytes")
        return given

    return check


def _iso(value: Any, parse: Callable[[str], Any], what: str) -> Any:
    if not isinstance(value, str):
        raise DataError(f"{what} is needed, not a {_kind(value)}")
    try:
        return parse(value)
    except ValueError:  # its message repeats the value
        raise DataError(f"the text is not {what} in ISO form") from None


def _kind(value: Any) -> str:
    return type(value).__name__
