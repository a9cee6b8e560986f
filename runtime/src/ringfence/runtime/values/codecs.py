"""The tables of codecs: for each portable type one check, one literal and one decoder per backend."""

import datetime as dt
import decimal
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ringfence.runtime.errors import BadMirror, BadValue
from ringfence.runtime.values import narrow, values


class Quote(Protocol):
    """How text and bytes become literals on one connection: the driver's own means for that connection."""

    def text(self, value: str) -> str:
        """A text literal."""
        ...

    def octets(self, value: bytes) -> str:
        """A binary literal."""
        ...


@dataclass(frozen=True, slots=True)
class Codec:
    """How values of one column are checked, written and read.

    `fit` gives the value to store or raises BadValue; `take` is its looser sister for comparisons, where a value too
    long or too large simply matches nothing; `literal` writes what either gave; `decode` reads what the driver gave,
    and is None where that is right already; `expression` reads the result of an expression of this type, whose
    driver type may differ (a sum, an average). `as_is` is a Python condition on `{value}`, and UTC, under which the
    driver's value needs no decoding: generated code looks there before it calls. `uniform`, where the engine compares
    by how a value is written, makes SQL of the column in the one form in which it is compared.
    """

    fit: Callable[[Any], Any]
    take: Callable[[Any], Any]
    literal: Callable[[Any, Quote], str]
    decode: Callable[[Any], Any] | None = None
    expression: Callable[[Any], Any] | None = None
    as_is: str | None = None
    uniform: "Uniform | None" = None

    def store(self, value: Any, quote: Quote) -> str:
        """The literal that stores a value, or NULL for None."""
        return "NULL" if value is None else self.literal(self.fit(value), quote)

    def compare(self, value: Any, quote: Quote) -> str:
        """The literal that a value is compared by, or NULL for None."""
        return "NULL" if value is None else self.literal(self.take(value), quote)


class Uniform(Protocol):
    """How a column that other programs write otherwise is compared."""

    def form(self, column: str) -> str:
        """SQL of a column, in the form that literals have."""
        ...

    def between(self, column: str, sign: str, values: Sequence[Any]) -> str:
        """A condition that an index answers, and that holds for every row that a comparison finds; may be empty.

        Args:
            column: its SQL.
            sign: of the comparison with the values, or `=` where one of them is to be equal.
            values: as `fit` gave them.
        """
        ...


Make = Callable[[Mapping[str, Any]], Codec]


def plain_text(value: Any, quote: Quote) -> str:
    """A literal of the text that the value prints as."""
    return quote.text(str(value))


def number(value: Any, quote: Quote) -> str:
    """A literal of a number; a negative one in parentheses, so that it cannot meet a minus sign."""
    return f"({value})" if value < 0 else str(value)


def fixed_point(value: Any, quote: Quote) -> str:
    """A literal of a decimal number without an exponent."""
    return f"({value:f})" if value < 0 else f"{value:f}"


def whole(value: Any) -> Any:
    """The result of an expression over whole numbers: an int where it is whole, else a float."""
    try:
        as_int = int(value)
    except (OverflowError, TypeError, ValueError):
        return value
    return as_int if as_int == value or isinstance(value, str) else float(value)


def integer_codec(
    bits: int, params: Mapping[str, Any] = values.NO_PARAMS, *, holds: int = values.UNLIMITED
) -> Codec:
    """Whole numbers of so many bits; see `values.bounded_integer`."""
    return Codec(values.bounded_integer(bits, params, holds=holds), values.integer, number, None, whole)


def text_codec(length: int | None, *, octets_count: bool = False) -> Codec:
    """Text of at most so many characters, or bytes in UTF-8."""
    return Codec(
        values.bounded_text(length, octets_count=octets_count),
        values.text,
        lambda value, quote: quote.text(value),
    )


def octets_codec(length: int | None, *, fixed: bool = False) -> Codec:
    """Bytes, at most or exactly so many."""
    return Codec(
        values.bounded_octets(length, fixed=fixed),
        values.octets,
        lambda value, quote: quote.octets(value),
        octets_read,
        octets_read,
        "{value}.__class__ is bytes",
    )


def octets_read(value: Any) -> bytes:
    """Bytes as a driver gives them; of a number, bytes() would make so many zeros."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise TypeError("bytes are needed")


NOT_TEXT = "{value}.__class__ is not str"
"""What a driver could make no date of, it gives as text."""


def never_text(value: Any) -> Any:
    """A date or time as the driver made it; it gives as text what it could make none of."""
    if value.__class__ is str:
        raise ValueError("this is no date or time")
    return value


TRUTH: Mapping[Any, bool] = {0: False, 1: True}
"""What stands for a boolean where the engine has none; bool() would take every other number for true."""


def truth(value: Any) -> bool:
    """The result of an expression over booleans, which engines without them count as numbers."""
    if not isinstance(value, int | float | decimal.Decimal):
        raise TypeError("a boolean is needed")
    return value != 0


def floating_taken(fit: Callable[[Any], float]) -> Callable[[Any], float]:
    """How a number is compared: its text will do, as it will for whole and for decimal numbers.

    Args:
        fit: what makes it of a number.
    """

    def take(value: Any) -> float:
        if not isinstance(value, str):
            return fit(value)
        try:
            return fit(float(value))
        except ValueError:
            raise BadValue("the text is not a number") from None

    return take


def floating_codec(fit: Callable[[Any], float], decode: Callable[[Any], Any] | None = None) -> Make:
    """Floating-point numbers, without those below zero where the column has no sign."""

    def make(params: Mapping[str, Any]) -> Codec:
        store = values.not_negative(fit) if params.get("unsigned") else fit
        return Codec(store, floating_taken(fit), number, decode, float)

    return make


def decimal_codec(params: Mapping[str, Any]) -> Codec:
    """Decimal numbers of the column's precision and scale."""
    fit = values.bounded_decimal(params.get("precision"), params.get("scale"))
    if params.get("unsigned"):
        fit = values.not_negative(fit)
    return Codec(fit, values.exact, fixed_point)


def enum_codec(params: Mapping[str, Any]) -> Codec:
    """One of the values the mirror names."""
    fit = values.choice(params)
    return Codec(fit, fit, plain_text)


def finite(value: Any) -> float:
    """A number that is neither NaN nor infinite, for engines that cannot keep those."""
    result = values.floating(value)
    if not math.isfinite(result):
        raise BadValue("NaN and infinity cannot be stored on this engine")
    return result


def microseconds(value: dt.timedelta) -> int:
    """A timedelta as whole microseconds."""
    return (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds


def from_microseconds(value: Any) -> dt.timedelta:
    """A timedelta from whole microseconds."""
    return dt.timedelta(microseconds=int(value))


def exact_microseconds(value: Any) -> dt.timedelta:
    """A timedelta from whole microseconds as they were stored, and from nothing else."""
    if value.__class__ is not int:
        raise TypeError("whole microseconds are needed")
    return dt.timedelta(microseconds=value)


def counted_interval(value: Any) -> dt.timedelta:
    """A timedelta whose microseconds are a whole number of 64 bits."""
    span = values.interval(value)
    if not -(1 << 63) <= microseconds(span) < 1 << 63:
        raise BadValue("the length of time has more microseconds than 64 bits: at most 106751991 days")
    return span


INTERVAL_AS_INTEGER = Codec(
    counted_interval,
    values.interval,
    lambda value, quote: number(microseconds(value), quote),
    exact_microseconds,
    from_microseconds,
)


def codec_for(table: Mapping[str, Make], type_name: str, params: Mapping[str, Any], place: str) -> Codec:
    """The codec of a column.

    Args:
        table: the backend's table of codecs.
        type_name: the portable type.
        params: its parameters from the mirror.
        place: `table.column`, for the error.

    Raises:
        BadMirror: when the backend has no such type.
    """
    make = table.get(type_name)
    if make is None:
        raise BadMirror(f"{place}: type {type_name} does not exist on this engine; make the mirrors again")
    codec = make(params)
    if "precision" in params and type_name in TIMES:
        return replace(codec, fit=narrow.whole_fraction(codec.fit, params["precision"]))
    if "digits" in params:
        return replace(codec, fit=narrow.few_digits(codec.fit, params["digits"]))
    return codec


TIMES = frozenset({"datetime", "time"})
"""The types whose fractions of a second an engine may cut off."""
