"""Explains why a stored value cannot be decoded, without showing the value."""

import datetime as dt
import re
from typing import Any

from ringfence.runtime.values import values

_YEAR = re.compile(r"\d{5,}-")
_ZERO = re.compile(r"0000-|\d{4}-(00-\d\d|\d\d-00)")
_MONTHS = re.compile(r"\d (mons?|years?)")


def reason(value: Any, portable: str) -> str:
    """Return why a value cannot be decoded.

    Args:
        value: the driver's value.
        portable: the portable type of its column.
    """
    if isinstance(value, str) and portable in ("date", "datetime", "time", "interval"):
        return _moment(value, portable)
    if isinstance(value, dt.timedelta) and portable == "time":
        return "it is a length of time, and no time of day"
    if isinstance(value, str) and portable == "json":
        return _document(value)
    if isinstance(value, float) and portable == "json":
        return values.BEYOND_FLOAT
    if isinstance(value, list):
        return "one of its items has no form in Python, or is none of their type"
    if portable == "boolean":
        return "it is neither true nor false"
    return f"it is {_KINDS.get(type(value), type(value).__name__)}, and no {portable}"


def _document(text: str) -> str:
    try:
        values.from_document(text)
    except ValueError as error:
        if str(error) == values.BEYOND_FLOAT:
            return values.BEYOND_FLOAT
    return "it is no JSON text"


def _moment(text: str, portable: str) -> str:
    if "infinity" in text:
        return f"it is infinity, which no {portable} of Python is"
    if text.endswith(" BC"):
        return "it lies before the year 1, where Python's dates begin"
    if portable == "interval" and _MONTHS.search(text):
        return "it counts months or years, which have no fixed length"
    if _YEAR.match(text):
        return "it lies after the year 9999, where Python's dates end"
    if _ZERO.match(text):
        return "it is a zero date, which is no day"
    if text.startswith("24:"):
        return "it is 24:00, which no time of Python is"
    return f"it is text, and no {portable} that Python can hold whole"


_KINDS: dict[type, str] = {
    str: "text",
    bytes: "bytes",
    int: "a whole number",
    float: "a floating-point number",
    bool: "a boolean",
}
