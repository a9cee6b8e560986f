"""What each portable type takes: a value is passed on exactly, or refused; it is never changed in silence."""

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

from ringfence.runtime.errors import BadValue

Fit = Callable[[Any], Any]

NO_PARAMS: Mapping[str, Any] = MappingProxyType({})
UNLIMITED = 1 << 64
INTEGER_BITS = {"smallint": 16, "integer": 32, "bigint": 64}


class JsonNull:
    """The JSON value `null`, as apart from the SQL NULL that None stands for."""

    def __repr__(self) -> str:
        return "JSON_NULL"

    def __bool__(self) -> bool:
        return False

    def __reduce__(self) -> str:
        return "JSON_NULL"


JSON_NULL: Final = JsonNull()


def boolean(value: Any) -> bool:
    """True, False, or the integers 1 and 0."""
    if value is True or value is False:
        return value
    if type(value) is int and value in (0, 1):
        return bool(value)
    raise BadValue(f"a boolean is True or False, not a {_kind(value)}")


def integer(value: Any) -> int:
    """A whole number of any size, also as a string of digits, as PyDAL's record look-ups pass it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return int.__int__(value)  # as it is, whatever a class of its own says of itself
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    if isinstance(value, decimal.Decimal | float) and _finite(value) and value == int(value):
        return int(value)
    raise BadValue(f"a whole number is needed, not a {_kind(value)}")


# Python itself converts no more digits than 4300.
_DIGITS = re.compile(r"-?[0-9]{1,4000}")


def _finite(value: decimal.Decimal | float) -> bool:
    """Also of a signaling NaN, which most of Python only trips over."""
    return value.is_finite() if isinstance(value, decimal.Decimal) else math.isfinite(value)


def floating(value: Any) -> float:
    """A number; NaN and the infinities are the backend's to admit."""
    if isinstance(value, bool) or not isinstance(value, int | float | decimal.Decimal):
        raise BadValue(f"a number is needed, not a {_kind(value)}")
    if isinstance(value, decimal.Decimal) and value.is_snan():
        raise BadValue("a signaling NaN is no number")
    try:
        number = float(value)
    except OverflowError as error:
        raise BadValue("the number is too large for a float") from error
    if isinstance(value, decimal.Decimal) and _lost(value, number):
        raise BadValue("the number is too large or too small for a float")
    if isinstance(value, int) and int(number) != value:
        raise BadValue("the whole number is too large to be kept exactly in a float")
    return number


def _lost(value: decimal.Decimal, number: float) -> bool:
    """Whether a float made infinity or nothing of a number, which Python does without an error."""
    return value.is_finite() and (math.isinf(number) or (number == 0) != (value == 0))


def exact(value: Any) -> decimal.Decimal:
    """A finite decimal number; a float stands for the shortest decimal that reads back as it."""
    if isinstance(value, bool) or not isinstance(value, int | float | decimal.Decimal | str):
        raise BadValue(f"a decimal number is needed, not a {_kind(value)}")
    try:
        number = decimal.Decimal(repr(value) if isinstance(value, float) else value)
    except decimal.InvalidOperation as error:
        raise BadValue("the text is not a decimal number") from error
    if not number.is_finite():
        raise BadValue("NaN and infinity are no decimal numbers")
    return number


def text(value: Any) -> str:
    """Any Unicode text without NUL, which not every engine can keep."""
    if not isinstance(value, str):
        raise BadValue(f"text is needed, not a {_kind(value)}")
    if "\0" in value:
        raise BadValue("the text holds a NUL character, which cannot be stored in a text column")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadValue("the text holds a lone surrogate, which is no Unicode character") from error
    # str() of a member of `class Platform(str, Enum)` is "Platform.TWITCH", and not its text.
    return str.__str__(value)


def octets(value: Any) -> bytes:
    """Bytes, a bytearray or a memoryview."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise BadValue(f"bytes are needed, not a {_kind(value)}")


def date(value: Any) -> dt.date:
    """A date, or one in ISO form; a datetime would lose its time and is refused."""
    if isinstance(value, dt.datetime):
        raise BadValue("a date is needed, not a datetime: pass its .date()")
    if isinstance(value, dt.date):
        return value
    parsed: dt.date = _iso(value, dt.date.fromisoformat, "a date")
    return parsed


def time(value: Any) -> dt.time:
    """A time of day without a zone, or one in ISO form."""
    moment = value if isinstance(value, dt.time) else _iso(value, dt.time.fromisoformat, "a time")
    if moment.tzinfo is not None:
        raise BadValue("a time column keeps no zone: pass a naive time")
    return moment


def naive_datetime(value: Any) -> dt.datetime:
    """A datetime without a zone, or one in ISO form."""
    moment = value if isinstance(value, dt.datetime) else _iso(value, dt.datetime.fromisoformat, "a datetime")
    if moment.tzinfo is not None:
        raise BadValue("this column keeps no zone: pass a naive datetime")
    return moment


def aware_datetime(value: Any) -> dt.datetime:
    """A datetime with a zone, or one in ISO form, turned to UTC."""
    moment = value if isinstance(value, dt.datetime) else _iso(value, dt.datetime.fromisoformat, "a datetime")
    if moment.tzinfo is None:
        raise BadValue(
            "this column keeps moments: pass an aware datetime, such as datetime.now(timezone.utc)"
        )
    try:
        return moment.astimezone(dt.UTC)
    except OverflowError as error:
        raise BadValue("the datetime leaves the years 1 to 9999 in UTC") from error


def interval(value: Any) -> dt.timedelta:
    """A timedelta."""
    if isinstance(value, dt.timedelta):
        return value
    raise BadValue(f"a timedelta is needed, not a {_kind(value)}")


def identifier(value: Any) -> uuid.UUID:
    """A UUID, or its text."""
    if isinstance(value, uuid.UUID):
        return value
    if isinstance(value, str):
        try:
            return uuid.UUID(value)
        except ValueError as error:
            raise BadValue("the text is not a UUID") from error
    raise BadValue(f"a UUID is needed, not a {_kind(value)}")


def document(value: Any) -> str:
    """JSON text of objects, lists, scalars and JSON_NULL; what the JSON of some engine cannot say is refused."""
    _sayable(value)
    try:
        said = json.dumps(None if value is JSON_NULL else value, ensure_ascii=False, allow_nan=False)
        said.encode()
    except UnicodeEncodeError as error:
        raise BadValue("the value holds a lone surrogate, which is no Unicode character") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise BadValue(f"the value cannot be said in JSON: {error}") from error
    if "\\u0000" in said and _NUL.search(said):
        raise BadValue("the value holds a NUL character, which not every engine keeps in JSON")
    return said


_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def document_of_64_bits(value: Any) -> str:
    """As `document`, but without whole numbers of more than 64 bits, which MySQL would turn into floats."""
    said = document(value)
    for found in _LONG_NUMBER.finditer(said):
        if found[1] and not -(1 << 63) <= int(found[1]) < 1 << 64:
            raise BadValue(
                "a whole number of more than 64 bits cannot be kept in JSON on this engine: use text"
            )
    return said


# Text, to step over it, or a whole number long enough to be looked at.
_LONG_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|(?<![\d.])(-?\d{19,})(?![\d.eE])')


def _sayable(value: Any) -> None:
    """Raise BadValue for what JSON would change without a word: keys that are no text, and what holds itself."""
    try:
        if isinstance(value, dict):
            for key, item in value.items():
                if not isinstance(key, str):
                    raise BadValue(f"a key in JSON is text, not a {_kind(key)}")
                _sayable(item)
        elif isinstance(value, list | tuple):
            for item in value:
                _sayable(item)
    except RecursionError as error:
        raise BadValue("the value is nested too deeply, or holds itself") from error


def from_document(value: str | bytes) -> Any:
    """What JSON text says, with JSON_NULL for a bare null.

    Raises:
        ValueError: it is no JSON, or holds a number that no float keeps: Python's own reader makes infinity of 1e400.
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
"""Without one of these, no number of JSON text is beyond a float."""
_NOT_ZERO = re.compile(r"-?[0.]*[1-9]")


def address(value: Any) -> str:
    """A network address, or a host address with its prefix, as text."""
    if not isinstance(value, _ADDRESSES):
        raise BadValue(f"a network address is needed, not a {_kind(value)}")
    given = str.__str__(value) if isinstance(value, str) else str(value)
    try:
        return str(ipaddress.ip_interface(given)) if "/" in given else str(ipaddress.ip_address(given))
    except ValueError:  # whose words repeat the value
        raise BadValue("the value is not a network address") from None


_ADDRESSES = (
    str,
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
)


def choice(params: Mapping[str, Any]) -> Fit:
    """How an enum is taken: as a label, or as a member of an Enum, for which its name stands.

    What is read is the label, always: whether a service can import the class of the models must change nothing.

    Args:
        params: of the mirror. `values` are the labels that are stored; `members` says which member's name each label
            stands for, where labels are not those names.

    Returns:
        What gives the label to store, as SQLAlchemy stores it for the same column. Raises BadValue.
    """
    values: Sequence[str] = params.get("values", ())
    names: Mapping[str, str] = {label: label for label in values} | params.get("members", {})
    labels: dict[str, str] = {}
    for label, name in names.items():
        labels.setdefault(name, label)  # of several labels for one member the first is written
    stored = {label: labels[name] for label, name in names.items()}

    def fit(value: Any) -> str:
        label = labels.get(value.name) if isinstance(value, enum.Enum) else None
        if label is None and isinstance(value, str):
            label = stored.get(str.__str__(value))
        if label is None:
            raise BadValue(f"the value is none of {', '.join(sorted(values))}")
        return label

    return fit


def bounded_integer(bits: int, params: Mapping[str, Any] = NO_PARAMS, *, holds: int = UNLIMITED) -> Fit:
    """Whole numbers that fit into a column.

    Args:
        bits: of its portable type, with the sign.
        params: of the mirror; `bits` where the column has fewer, `unsigned` where it has no sign.
        holds: the most that an engine without unsigned columns holds in one of this type.
    """
    bits = params.get("bits", bits)
    least, most = -(1 << bits - 1), (1 << bits - 1) - 1
    if params.get("unsigned"):
        least, most = 0, min((1 << bits) - 1, holds)

    def fit(value: Any) -> int:
        number = integer(value)
        if not least <= number <= most:
            raise BadValue(f"the number is not between {least} and {most}")
        return number

    return fit


def bounded_decimal(precision: int | None, scale: int | None) -> Fit:
    """Decimals that keep every digit with this precision and scale."""

    def fit(value: Any) -> decimal.Decimal:
        number = exact(value)
        if precision is None:
            return number
        places = scale or 0
        exponent = number.normalize(decimal.Context(prec=1000)).as_tuple().exponent
        if isinstance(exponent, int) and -exponent > places:
            raise BadValue(f"the number has more than {places} decimal places: round it first")
        if number.copy_abs() >= decimal.Decimal(10) ** (precision - places):
            raise BadValue(f"the number has more than {precision - places} digits before the point")
        return number

    return fit


def bounded_text(length: int | None, *, octets_count: bool = False) -> Fit:
    """Text of at most so many characters, or of so many bytes in UTF-8."""

    def fit(value: Any) -> str:
        given = text(value)
        if length is not None and (len(given.encode()) if octets_count else len(given)) > length:
            unit = "bytes" if octets_count else "characters"
            raise BadValue(f"the text is longer than {length} {unit}")
        return given

    return fit


def not_negative(fit: Fit) -> Fit:
    """The numbers that `fit` takes, without those below zero."""

    def check(value: Any) -> Any:
        number = fit(value)
        if number < 0:
            raise BadValue("the number is below 0, and the column has no sign")
        return number

    return check


def bounded_octets(length: int | None, *, fixed: bool = False) -> Fit:
    """At most so many bytes; exactly so many where the engine would fill up what is shorter."""

    def fit(value: Any) -> bytes:
        given = octets(value)
        if fixed and len(given) != length:
            raise BadValue(f"exactly {length} bytes are needed, and the value has {len(given)}")
        if length is not None and len(given) > length:
            raise BadValue(f"the value is longer than {length} bytes")
        return given

    return fit


def _iso(value: Any, parse: Callable[[str], Any], what: str) -> Any:
    if not isinstance(value, str):
        raise BadValue(f"{what} is needed, not a {_kind(value)}")
    try:
        return parse(value)
    except ValueError:  # whose words repeat the value
        raise BadValue(f"the text is not {what} in ISO form") from None


def _kind(value: Any) -> str:
    return type(value).__name__
