"""SQL functions that PyDAL's queries need on SQLite, which lacks them or has them for ASCII only."""

import datetime as dt
import functools
import math
import re
import sqlite3
from collections.abc import Callable
from typing import Any

from ringfence.runtime.engines.sqlite.codecs import CODECS, QUOTE, from_document
from ringfence.runtime.engines.sqlite.timestamps import AWARE, NAIVE, TIME
from ringfence.runtime.values.codecs import Codec


def install(connection: sqlite3.Connection) -> None:
    """Register the functions with a connection."""
    connection.create_function("web2py_extract", 2, _extract, deterministic=True)
    connection.create_function("ringfence_same_json", 2, _same_json, deterministic=True)
    connection.create_function("ringfence_like", 2, like, deterministic=True)
    connection.create_function("REGEXP", 2, _regexp, deterministic=True)
    # SQLite's lower() and upper() handle ASCII only; they are not replaced, as indexes may use them.
    connection.create_function("ringfence_lower", 1, _lower, deterministic=True)
    connection.create_function("ringfence_upper", 1, _upper, deterministic=True)
    for written, codec in (
        (AWARE, CODECS["datetime"]({"timezone": True})),
        (NAIVE, CODECS["datetime"]({})),
        (TIME, CODECS["time"]({})),
    ):
        connection.create_function(written.function, 1, _rewriter(codec), deterministic=True)


def _rewriter(codec: Codec) -> Callable[[Any], Any]:
    """Return a function that rewrites a timestamp in the form of literals; invalid text stays and equals none."""

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
    """Return the part that PyDAL's year(), month() etc. ask for; times have their parts where timestamps do."""
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
    """Match a LIKE pattern with `!` as escape, by code points; SQLite's LIKE treats U+FFFD to U+FFFF as one character.

    Args:
        value: a text; other values are converted to text.
        pattern: `%` matches any text, `_` one character.
    """
    if value is None or pattern is None:
        return None
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    first, *rest = _parts(pattern)
    if not rest:
        return first.fullmatch(text) is not None
    found = first.match(text)
    for part in rest[:-1]:  # the leftmost match always suffices
        found = found and part.search(text, found.end())
    if found is None:
        return False
    length = sum(1 for _ in _ITEM.finditer(rest[-1].pattern))
    start = max(len(text) - length, found.end())
    return rest[-1].fullmatch(text, start) is not None


@functools.lru_cache(maxsize=256)
def _parts(pattern: str) -> list[re.Pattern[str]]:
    """Return the regular expressions between the `%` of a pattern; each matches a fixed length."""
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
    except ValueError:  # invalid JSON equals nothing, and must not fail the query for other rows
        return None
    return repr(_canonical(documents[0])) == repr(_canonical(documents[1]))


def _canonical(value: Any) -> Any:
    """Return a form that distinguishes 1 from true, as Python does not, and ignores the order of keys."""
    if isinstance(value, dict):
        return {"object": sorted((key, repr(_canonical(item))) for key, item in value.items())}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return float(value) if type(value) is int and abs(value) < 1 << 53 else value
