"""The named generators of column defaults that models, mirrors and the runtime share.

A model may say `default=generators.now`; the mirror then holds the name, and the runtime calls the same function
for PyDAL's inserts and updates. Any other Python callable as a default is refused when the mirror is made.
"""

import datetime as dt
import secrets
import uuid
from collections.abc import Callable


def now() -> dt.datetime:
    """The present moment, aware, in UTC, with microseconds."""
    return dt.datetime.now(dt.UTC)


def now_naive() -> dt.datetime:
    """The present moment in UTC without a zone, for columns that keep none."""
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


def today() -> dt.date:
    """Today's date in UTC."""
    return dt.datetime.now(dt.UTC).date()


def uuid4() -> uuid.UUID:
    """A random UUID, made anew for each row."""
    return uuid.uuid4()


def uuid4_hex() -> str:
    """A random UUID as 32 hexadecimal digits."""
    return uuid.uuid4().hex


def token() -> str:
    """A secret of 256 random bits as 43 URL-safe characters."""
    return secrets.token_urlsafe(32)


def empty_list() -> list[object]:
    """A new empty list, for JSON columns."""
    return []


def empty_object() -> dict[str, object]:
    """A new empty object, for JSON columns."""
    return {}


GENERATORS: dict[str, Callable[[], object]] = {
    f.__name__: f for f in (now, now_naive, today, uuid4, uuid4_hex, token, empty_list, empty_object)
}

# What models written without this module use for the same things.
SYNONYMS: dict[Callable[..., object], str] = {uuid.uuid4: "uuid4", dict: "empty_object", list: "empty_list"}


def name_of(function: Callable[..., object]) -> str | None:
    """The name of a generator, or None for any other callable."""
    for name, generator in GENERATORS.items():
        if function is generator:
            return name
    return SYNONYMS.get(function)
