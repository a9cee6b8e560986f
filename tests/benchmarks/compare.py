"""Whether a peer gave what was asked, and where its types are poorer than the columns'."""

import datetime as dt
import math
import uuid
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any


class Different(AssertionError):
    """A peer gave something else, not only a poorer type of the same."""


def poorer(wanted: Any, got: Any) -> str | None:
    """None when a value is what it should be, else in what way its type is poorer.

    Raises:
        Different: when it is another value.
    """
    if wanted is None or got is None:
        if wanted is not got:
            raise Different(f"{got!r} in the place of {wanted!r}")
        return None
    if isinstance(wanted, bool):
        return _boolean(wanted, got)
    if isinstance(wanted, dt.datetime):
        return _moment(wanted, got)
    if isinstance(got, type(wanted)) and not isinstance(got, bool) and got == wanted:
        return None
    if isinstance(wanted, uuid.UUID) and isinstance(got, str) and uuid.UUID(got) == wanted:
        return "UUIDs as text"
    if isinstance(wanted, Decimal) and isinstance(got, float) and got == float(wanted):
        return "Decimals as floats"
    if isinstance(wanted, float) and isinstance(got, Decimal) and math.isclose(wanted, got, abs_tol=1e-10):
        return "floats as Decimals of ten digits"
    raise Different(f"{got!r} in the place of {wanted!r}")


def _boolean(wanted: bool, got: Any) -> str | None:
    if got is wanted:
        return None
    if type(got) is int and got == int(wanted):
        return "booleans as integers"
    raise Different(f"{got!r} in the place of {wanted!r}")


def _moment(wanted: dt.datetime, got: Any) -> str | None:
    if not isinstance(got, dt.datetime):
        raise Different(f"{got!r} in the place of {wanted!r}")
    zoned = got.tzinfo is not None
    moment = got if zoned else got.replace(tzinfo=dt.UTC)
    if moment == wanted:
        return None if zoned else "datetimes without their zone"
    if moment == wanted.replace(microsecond=0):
        return "datetimes in whole seconds" + ("" if zoned else ", without their zone")
    raise Different(f"{got!r} in the place of {wanted!r}")


def compared(wanted: Sequence[Sequence[Any]], got: Sequence[Sequence[Any]]) -> set[str]:
    """In what ways the types of some rows are poorer; the order of rows is nobody's promise, the first column is.

    Raises:
        Different: naming the first value that differs.
    """
    if len(wanted) != len(got):
        raise Different(f"{len(got)} rows in the place of {len(wanted)}")
    first = sorted(got, key=_key)
    found: set[str] = set()
    for wanted_row, got_row in zip(sorted(wanted, key=_key), first, strict=True):
        found |= _row(wanted_row, got_row)
    return found


def _key(row: Sequence[Any]) -> Any:
    return str(row[0]) if isinstance(row[0], uuid.UUID) else row[0]


def _row(wanted: Iterable[Any], got: Iterable[Any]) -> set[str]:
    ways = (poorer(one, other) for one, other in zip(wanted, got, strict=True))
    return {way for way in ways if way}
