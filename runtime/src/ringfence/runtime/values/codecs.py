"""Codecs: for each portable type and backend one check, one literal and one decoder."""

import datetime as dt
import decimal
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ringfence.runtime.errors import BadMirror, DataError
from ringfence.runtime.values import narrow, values


class Quote(Protocol):
    """Writes text and bytes as literals for one connection, by the driver's own quoting."""

    def text(self, value: str) -> str:
        """Return a text literal."""
        ...

    def octets(self, value: bytes) -> str:
        """Return a binary literal."""
        ...


@dataclass(frozen=True, slots=True)
class Codec:
    """Checks, writes and reads the values of one column.

    Attributes:
        check: returns the value to store, or raises DataError.
        check_compared: the same for comparisons; a value too long or too large is accepted, and matches nothing.
        literal: writes the result of either.
        decode: converts the driver's value; None where that is right already.
        expression: converts the result of an expression of this type, whose driver type may differ (a sum, an average).
        as_is: a Python condition on `{value}` and `UTC` under which the driver's value needs no decoding; generated
            code tests it before it calls `decode`.
        normalized: normalizes the column in comparisons, where the engine compares stored text; None elsewhere.
    """

    check: Callable[[Any], Any]
    check_compared: Callable[[Any], Any]
    literal: Callable[[Any, Quote], str]
    decode: Callable[[Any], Any] | None = None
    expression: Callable[[Any], Any] | None = None
    as_is: str | None = None
    normalized: "Uniform | None" = None

    def store(self, value: Any, quote: Quote) -> str:
        """Return the literal that stores a value, or NULL for None."""
        return "NULL" if value is None else self.literal(self.check(value), quote)

    def compare(self, value: Any, quote: Quote) -> str:
        """Return the literal that a value is compared with, or NULL for None."""
        return "NULL" if value is None else self.literal(self.check_compared(value), quote)


class Uniform(Protocol):
    """Normalizes a column for comparisons, as other programs may write its values in other forms."""

    def form(self, column: str) -> str:
        """Return the SQL of a column in the form that literals have."""
        ...

    def between(self, column: str, sign: str, values: Sequence[Any]) -> str:
        """Return an index-friendly condition on the bare column that every matching row satisfies; may be empty.

        Args:
            column: the column's SQL.
            sign: the operator of the comparison with the values, or `=` where one of them must be equal.
            values: the values, as `check` returned them.
        """
        ...


Make = Callable[[Mapping[str, Any]], Codec]


def plain_text(value: Any, quote: Quote) -> str:
    """Return a literal of the value's `str()`."""
    return quote.text(str(value))


def number(value: Any, quote: Quote) -> str:
    """Return a literal of a number; a negative one is in parentheses, so that no `--` can arise."""
    return f"({value})" if value < 0 else str(value)


def fixed_point(value: Any, quote: Quote) -> str:
    """Return a literal of a decimal number without an exponent."""
    return f"({value:f})" if value < 0 else f"{value:f}"


def whole(value: Any) -> Any:
    """Return the result of an integer expression: an int where it is integral, else a float."""
    try:
        as_int = int(value)
    except (OverflowError, TypeError, ValueError):
        return value
    return as_int if as_int == value or isinstance(value, str) else float(value)


def integer_codec(
    bits: int, params: Mapping[str, Any] = values.NO_PARAMS, *, holds: int = values.UNLIMITED
) -> Codec:
    """Return the codec of integers of this many bits, as `values.bounded_integer` checks them.

    Args:
        bits: the size of the type, with the sign.
        params: the column's parameters.
        holds: the largest value of an unsigned column on an engine without unsigned types.
    """
    return Codec(values.bounded_integer(bits, params, holds=holds), values.integer, number, None, whole)


def text_codec(length: int | None, *, octets_count: bool = False) -> Codec:
    """Return the codec of text.

    Args:
        length: the maximum length; None for no limit.
        octets_count: whether the length counts UTF-8 bytes instead of characters.
    """
    return Codec(
        values.bounded_text(length, octets_count=octets_count),
        values.text,
        lambda value, quote: quote.text(value),
    )


def octets_codec(length: int | None, *, fixed: bool = False) -> Codec:
    """Return the codec of bytes.

    Args:
        length: the maximum length; None for no limit.
        fixed: whether the length must be exact.
    """
    return Codec(
        values.bounded_octets(length, fixed=fixed),
        values.octets,
        lambda value, quote: quote.octets(value),
        octets_read,
        octets_read,
        "{value}.__class__ is bytes",
    )


def octets_read(value: Any) -> bytes:
    """Return the bytes of a driver's value.

    Raises:
        TypeError: for another type; bytes() of a number would be that many zeros.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise TypeError("bytes are needed")


NOT_TEXT = "{value}.__class__ is not str"
"""A date that the driver cannot convert comes as text."""


def never_text(value: Any) -> Any:
    """Return a date or time that the driver converted.

    Raises:
        ValueError: for text, which the driver returns for what it cannot convert.
    """
    if value.__class__ is str:
        raise ValueError("this is no date or time")
    return value


TRUTH: Mapping[Any, bool] = {0: False, 1: True}
"""The numbers of a boolean where the engine has no such type; bool() would turn every other number into True."""


def truth(value: Any) -> bool:
    """Return the result of a boolean expression, which engines without booleans return as a number.

    Raises:
        TypeError: for a value that is no number.
    """
    if not isinstance(value, int | float | decimal.Decimal):
        raise TypeError("a boolean is needed")
    return value != 0


def compared_floating(check: Callable[[Any], float]) -> Callable[[Any], float]:
    """Return a check for comparisons that accepts text of a number as well.

    Args:
        check: the check for numbers.
    """

    def check_compared(value: Any) -> float:
        if not isinstance(value, str):
            return check(value)
        try:
            return check(float(value))
        except ValueError:
            raise DataError("the text is not a number") from None

    return check_compared


def floating_codec(check: Callable[[Any], float], decode: Callable[[Any], Any] | None = None) -> Make:
    """Return the codec factory of floating-point numbers; unsigned columns refuse negative ones.

    Args:
        check: the check for numbers.
        decode: converts the driver's value; None where that is right already.
    """

    def make(params: Mapping[str, Any]) -> Codec:
        store = values.not_negative(check) if params.get("unsigned") else check
        return Codec(store, compared_floating(check), number, decode, float)

    return make


def decimal_codec(params: Mapping[str, Any]) -> Codec:
    """Return the codec of decimals with the column's precision and scale."""
    check = values.bounded_decimal(params.get("precision"), params.get("scale"))
    if params.get("unsigned"):
        check = values.not_negative(check)
    return Codec(check, values.exact, fixed_point)


def enum_codec(params: Mapping[str, Any]) -> Codec:
    """Return the codec of an enum's labels."""
    check = values.choice(params)
    return Codec(check, check, plain_text)


def finite(value: Any) -> float:
    """Return a float that is neither NaN nor infinite, for engines that cannot store those.

    Raises:
        DataError: for NaN and infinity, and for a value that is no number.
    """
    result = values.floating(value)
    if not math.isfinite(result):
        raise DataError("NaN and infinity cannot be stored on this engine")
    return result


def microseconds(value: dt.timedelta) -> int:
    """Return a timedelta in microseconds."""
    return (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds


def from_microseconds(value: Any) -> dt.timedelta:
    """Return the timedelta of a number of microseconds."""
    return dt.timedelta(microseconds=int(value))


def exact_microseconds(value: Any) -> dt.timedelta:
    """Return the timedelta of a stored number of microseconds.

    Raises:
        TypeError: for anything but an int.
    """
    if value.__class__ is not int:
        raise TypeError("whole microseconds are needed")
    return dt.timedelta(microseconds=value)


def counted_interval(value: Any) -> dt.timedelta:
    """Return a timedelta whose microseconds fit into 64 bits.

    Raises:
        DataError: for a longer one.
    """
    span = values.interval(value)
    if not -(1 << 63) <= microseconds(span) < 1 << 63:
        raise DataError("the length of time has more microseconds than 64 bits: at most 106751991 days")
    return span


INTERVAL_AS_INTEGER = Codec(
    counted_interval,
    values.interval,
    lambda value, quote: number(microseconds(value), quote),
    exact_microseconds,
    from_microseconds,
)


def codec_for(table: Mapping[str, Make], type_name: str, params: Mapping[str, Any], column: str) -> Codec:
    """Return the codec of a column.

    Args:
        table: the backend's codecs.
        type_name: the portable type.
        params: its parameters in the mirror.
        column: `table.column`, for the error.

    Raises:
        BadMirror: when the backend does not have the type.
    """
    make = table.get(type_name)
    if make is None:
        raise BadMirror(f"{column}: type {type_name} does not exist on this engine; make the mirrors again")
    codec = make(params)
    if "precision" in params and type_name in TIMES:
        return replace(codec, check=narrow.check_fraction(codec.check, params["precision"]))
    if "digits" in params:
        return replace(codec, check=narrow.check_digits(codec.check, params["digits"]))
    return codec


TIMES = frozenset({"datetime", "time"})
"""The types whose fractional seconds an engine may truncate."""
