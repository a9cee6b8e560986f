"""Checks the parameters of the program's own SQL: those that do not fit the placeholders or the driver are refused."""

import datetime as dt
import decimal
import enum
import functools
import math
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ringfence.runtime.errors import ArgumentError, DataError

QUOTED = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*(?!M?!).*?\*/""", re.DOTALL
)
"""Matches string literals, quoted names and comments in a statement."""

Send = Callable[[Any], Any]
"""Converts a value for the driver. Raises DataError, whose message has neither the position nor the value."""

_MARKS = re.compile(r"%(?:(s)|\(([^)%]*)\)s|(%)|(.?))", re.DOTALL)
_SHORT = 2_000  # in characters; longer statements usually contain values and are not repeated, so they are not cached


def check_parameters(sql: str, given: Any, *, style: str, send: Send) -> Any:
    """Return the parameters of a statement in the driver's form; None where there are none.

    Args:
        sql: the statement, with the driver's placeholders.
        given: a list or tuple for unnamed placeholders, a dict for named ones, or None.
        style: `pyformat` for `%s` and `%(name)s`, `qmark` for `?` and `:name`.
        send: converts a value for the driver.

    Raises:
        ArgumentError: for parameters that do not fit the placeholders.
        DataError: for a value that the driver does not support, with its position or name.
    """
    if given is None:
        return None
    named = isinstance(given, Mapping)
    if not named and not isinstance(given, list | tuple):
        raise ArgumentError(
            f"parameters are a list, a tuple or a dict, and not a {type(given).__name__}: put a single one into a list"
        )
    look = _parsed if len(sql) <= _SHORT else _parsed.__wrapped__
    if style == "pyformat" and (given or look(sql).anything):
        look(sql).check(given)
    elif given and style == "qmark" and _is_of_servers(QUOTED.sub(" ", sql)):
        raise ArgumentError("the marks of SQLite are ? and :name, and %s is those of the servers")
    if not given:
        return None
    if named:
        return {name: _sent(value, f"{name!r}", send) for name, value in given.items()}
    return tuple(_sent(value, str(number), send) for number, value in enumerate(given, 1))


def _sent(value: Any, which: str, send: Send) -> Any:
    if (member := _member(value)) is not None:
        is_one = "is" if member is value else "holds"
        raise DataError(
            f"parameter {which} {is_one} a member of {type(member).__name__}, and only a column knows what is stored "
            "for it: give its label, which is the member's .name unless the models say otherwise"
        )
    try:
        return send(value)
    except DataError as error:
        raise DataError(f"parameter {which}: {error}") from None


def _member(value: Any) -> enum.Enum | None:
    """Return the value itself if it is an Enum member, or the first member in a list."""
    if isinstance(value, enum.Enum):
        return value
    if isinstance(value, list | tuple):
        return next((found for item in value if (found := _member(item)) is not None), None)
    return None


def _is_of_servers(bare: str) -> bool:
    return re.search(r"%s\b|%\(\w+\)s", bare) is not None and re.search(r"\?|[:@$]\w", bare) is None


class _Marks:
    """The placeholders of a statement as the servers' drivers find them, even inside quotes."""

    def __init__(self, sql: str) -> None:
        self.count = 0
        self.names: set[str] = set()
        self.stray: int | None = None
        for found in _MARKS.finditer(sql):
            if found[1]:
                self.count += 1
            elif found[2] is not None:
                self.names.add(found[2])
            elif not found[3] and self.stray is None:
                self.stray = found.start()
        bare = QUOTED.sub(" ", sql)
        self.anything = re.search(r"%s(?!\w)|%\(\w+\)s", bare) is not None
        self.hint = "; ? is the mark of SQLite alone" if "?" in bare else ""

    def check(self, given: Sequence[Any] | Mapping[str, Any]) -> None:
        """Check that these parameters fit.

        Raises:
            ArgumentError: when they do not.
        """
        if self.stray is not None:
            raise ArgumentError(
                f"the percent sign at character {self.stray + 1} of the statement is no mark: beside parameters write "
                "%% for a percent sign, and %s or %(name)s for a parameter, whatever its type"
            )
        if self.count and self.names:
            raise ArgumentError("the statement has marks with a name and marks without: use one kind")
        if isinstance(given, Mapping):
            if self.count:
                raise ArgumentError(
                    "the marks of the statement have no name (%s): give a list or a tuple, not a dict"
                )
            if missing := sorted(self.names - given.keys()):
                raise ArgumentError(
                    f"the statement wants a parameter {missing[0]!r}, and the dict has none of that name"
                )
        elif self.names:
            raise ArgumentError("the marks of the statement have names, as in %(name)s: give a dict")
        elif self.count != len(given):
            raise ArgumentError(
                f"the statement has {_many(self.count, 'mark')} (%s) for {_many(len(given), 'parameter')}"
                f"{self.hint}"
            )
        if not (self.count or self.names):
            raise ArgumentError(f"the statement has no mark (%s), and parameters were given{self.hint}")


@functools.lru_cache(maxsize=512)
def _parsed(sql: str) -> _Marks:
    return _Marks(sql)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


# -- conversions that all drivers share


def text(value: str) -> str:
    """Return text as a plain str.

    Raises:
        DataError: for lone surrogates.
    """
    plain = str.__str__(value)
    if not plain.isascii():
        try:
            plain.encode()
        except UnicodeEncodeError:
            raise DataError("the text holds a lone surrogate, which is no Unicode character") from None
    return plain


def finite(value: float | decimal.Decimal) -> Any:
    """Return a number as a plain float or Decimal, for an engine that has neither NaN nor infinity.

    Raises:
        DataError: for NaN and infinity.
    """
    if not (value.is_finite() if isinstance(value, decimal.Decimal) else math.isfinite(value)):
        raise DataError("NaN and infinity cannot be sent to this engine")
    return decimal.Decimal(value) if isinstance(value, decimal.Decimal) else float(value)


def moment(value: dt.datetime) -> dt.datetime:
    """Return a datetime as a plain datetime, whatever its subclass."""
    clock = (value.hour, value.minute, value.second, value.microsecond, value.tzinfo)
    return dt.datetime(value.year, value.month, value.day, *clock, fold=value.fold)  # noqa: DTZ001  # it keeps its zone


def unknown(value: Any) -> DataError:
    """Return the error for a value that the driver does not support, with what to pass instead."""
    kind = type(value).__name__
    if isinstance(value, uuid.UUID):
        way = "give the text that the column holds: str(value), or value.hex where it is CHAR(32)"
    elif isinstance(value, dict):
        way = "give JSON text, as json.dumps(value) makes it"
    elif isinstance(value, decimal.Decimal):
        way = "give a float, or text"
    elif isinstance(value, list | tuple | set | frozenset):
        way = "write a mark for each of its items"
    elif isinstance(value, dt.time | dt.timedelta):
        way = "give what the column holds, as text or a number"
    else:
        way = "give text, a number, bytes, a date or a datetime"
    return DataError(f"the driver knows no {kind}: {way}")
