"""Functions that PyDAL's queries call on SQLite, and that SQLite has not, or has for ASCII alone."""

import datetime as dt
import functools
import math
import re
import sqlite3
from collections.abc import Callable
from typing import Any

from ringfence.runtime.engines.sqlite.codecs import CODECS, QUOTE, from_document
from ringfence.runtime.engines.sqlite.timestamps import CLOCK, MOMENT, WALL
from ringfence.runtime.values.codecs import Codec


def install(connection: sqlite3.Connection) -> None:
    """Make them known to a connection."""
    connection.create_function("web2py_extract", 2, _extract, deterministic=True)
    connection.create_function("ringfence_same_json", 2, _same_json, deterministic=True)
    connection.create_function("ringfence_like", 2, like, deterministic=True)
    connection.create_function("REGEXP", 2, _regexp, deterministic=True)
    # SQLite's own lower() and upper() know ASCII alone; indexes may stand on those, so they stay as they are.
    connection.create_function("ringfence_lower", 1, _lower, deterministic=True)
    connection.create_function("ringfence_upper", 1, _upper, deterministic=True)
    for written, codec in (
        (MOMENT, CODECS["datetime"]({"timezone": True})),
        (WALL, CODECS["datetime"]({})),
        (CLOCK, CODECS["time"]({})),
    ):
        connection.create_function(written.function, 1, _rewriter(codec), deterministic=True)


def _rewriter(codec: Codec) -> Callable[[Any], Any]:
    """A function that writes a moment as literals have it; what is no moment stays what it is, and equals none."""

    def rewrite(value: Any) -> Any:
        if not isinstance(value, str) or codec.decode is None:
            return value
        try:
            return codec.literal(codec.decode(value), QUOTE)[1:-1]
        except (OverflowError, ValueError):
            return value

    return rewrite


_PARTS = {
    "year": (0, 4),
    "month": (5, 7),
    "day": (8, 10),
    "hour": (11, 13),
    "minute": (14, 16),
    "second": (17, 19),
}


def _extract(part: str, value: str | None) -> int | None:
    """What PyDAL's year(), month(), … ask for; times of day have their parts where moments have them."""
    if value is None:
        return None
    moment = value if len(value) >= 10 and value[4] == "-" else f"0000-00-00 {value}"
    if part == "epoch":
        parsed = dt.datetime.fromisoformat(moment)
        return math.floor(parsed.replace(tzinfo=dt.UTC).timestamp())
    first, last = _PARTS[part]
    return int(moment[first:last] or 0)


def _regexp(pattern: str, value: str | None) -> bool | None:
    return None if value is None else re.search(pattern, str(value)) is not None


def like(value: Any, pattern: str | None) -> bool | None:
    """Match a LIKE pattern whose escape is `!`, by code points; SQLite's own takes U+FFFD to U+FFFF for one character.

    Args:
        value: a text; what is none is taken as its text.
        pattern: `%` stands for any text, `_` for one character.
    """
    if value is None or pattern is None:
        return None
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    first, *rest = _parts(pattern)
    if not rest:
        return first.fullmatch(text) is not None
    found = first.match(text)
    for part in rest[:-1]:  # the leftmost is as good as any other
        found = found and part.search(text, found.end())
    if found is None:
        return False
    length = sum(1 for _ in _ITEM.finditer(rest[-1].pattern))
    start = max(len(text) - length, found.end())
    return rest[-1].fullmatch(text, start) is not None


@functools.lru_cache(maxsize=256)
def _parts(pattern: str) -> list[re.Pattern[str]]:
    """What stands between the `%` of a pattern, each of a length that is known."""
    made = [""]
    for escaped, other in _LIKE.findall(pattern):
        if other == "%":
            made.append("")
        else:
            made[-1] += "." if other == "_" else re.escape(escaped or other)
    return [re.compile(part, re.DOTALL) for part in made]


_LIKE = re.compile("!(.)|(.)", re.DOTALL)
_ITEM = re.compile(r"\\.|.", re.DOTALL)


def _lower(value: Any) -> str | None:
    return None if value is None else str(value).lower()


def _upper(value: Any) -> str | None:
    return None if value is None else str(value).upper()


def _same_json(left: Any, right: Any) -> bool | None:
    if left is None or right is None:
        return None
    try:
        documents = from_document(left), from_document(right)
    except ValueError:  # what is no JSON equals nothing, and is no reason to fail for the other rows
        return None
    return repr(_canonical(documents[0])) == repr(_canonical(documents[1]))


def _canonical(value: Any) -> Any:
    """Apart what Python takes for equal and JSON does not (1 and true), together what differs in order alone."""
    if isinstance(value, dict):
        return {"object": sorted((key, repr(_canonical(item))) for key, item in value.items())}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return float(value) if type(value) is int and abs(value) < 1 << 53 else value
