"""Checks for columns that store less than their type: a value that would not be read back unchanged is refused."""

import decimal
import math
import struct
from typing import Any

from ringfence.runtime.errors import DataError
from ringfence.runtime.values import values
from ringfence.runtime.values.values import Check


def check_fraction(check: Check, precision: int) -> Check:
    """Return a check for times with limited fractional seconds; the engine would truncate or round further digits.

    Args:
        check: the type's check.
        precision: the number of fractional digits, 0 to 6.
    """
    step = 10 ** (6 - precision)
    kept = f"{precision} digits of a second" if precision else "whole seconds"

    def checked(value: Any) -> Any:
        moment = check(value)
        if moment.microsecond % step:
            raise DataError(
                f"the column keeps {kept}: cut the rest off first, as value.replace(microsecond=0)"
            )
        return moment

    return checked


_SINGLE = struct.Struct("f")


def check_digits(check: Check, digits: int) -> Check:
    """Return a check for floats that single precision stores without a change of their decimal digits.

    Args:
        check: the type's check.
        digits: the number of significant digits.
    """

    def checked(value: Any) -> float:
        number: float = check(value)
        if math.isfinite(number):
            try:
                (kept,) = _SINGLE.unpack(_SINGLE.pack(number))
            except OverflowError:
                raise DataError(
                    "the column is of single precision, and the number too large for it"
                ) from None
            if float(f"{kept:.{digits}g}") != number:
                raise DataError(
                    f"the column is of single precision, which keeps {digits} digits, and fewer of numbers below"
                    " 1.2e-38: round it first"
                )
        return number

    return checked


def exact_in_a_float(check: Check) -> Check:
    """Return a check for decimals of at most 15 digits, which a REAL column returns unchanged.

    Args:
        check: the type's check.
    """

    def checked(value: Any) -> decimal.Decimal:
        number: decimal.Decimal = check(value)
        if len(number.normalize(_EXACTLY).as_tuple().digits) > _FLOAT_DIGITS:
            raise DataError(
                f"the number has more than the {_FLOAT_DIGITS} digits that are kept: round it first"
            )
        return number

    return checked


_FLOAT_DIGITS = 15
_EXACTLY = decimal.Context(prec=1000)


def exact_length(length: int) -> Check:
    """Return a check for text of exactly this many characters: the server would pad shorter text with blanks."""
    bounded = values.bounded_text(length)

    def check(value: Any) -> str:
        given: str = bounded(value)
        if len(given) != length:
            missing = length - len(given)
            raise DataError(
                f"the column is CHAR({length}), and the server would add {missing} blanks: give all"
            )
        return given

    return check


def without_end_blanks(length: int | None) -> Check:
    """Return a check for text that does not end in a blank, which the server would strip.

    Args:
        length: the maximum length; None for no limit.
    """
    bounded = values.bounded_text(length)

    def check(value: Any) -> str:
        given: str = bounded(value)
        if given.endswith(" "):
            raise DataError(
                "the column is a CHAR, of which the server takes blanks at the end away: strip them first"
            )
        return given

    return check
