"""Named generators of column defaults, shared by models, mirrors and the runtime.

A model may use `default=generators.now`; the mirror then contains the name, and the runtime calls the same function for
PyDAL's inserts and updates. Functions of models written without this module, such as `datetime.utcnow`, are mapped to
these where their meaning is exactly known. For any other function the service must give the value itself.
"""

import datetime as dt
import secrets
import time
import uuid
from collections.abc import Callable


def now() -> dt.datetime:
    """Return the current time, aware, in UTC, with microseconds."""
    return dt.datetime.now(dt.UTC)


def now_naive() -> dt.datetime:
    """Return the current time in UTC without a time zone, for columns that store none."""
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


def today() -> dt.date:
    """Return today's date in UTC."""
    return dt.datetime.now(dt.UTC).date()


def now_local() -> dt.datetime:
    """Return the current time in the process's time zone, without a zone, as `datetime.now()` does."""
    return dt.datetime.now()  # noqa: DTZ005 - for models whose columns store local time


def today_local() -> dt.date:
    """Return today's date in the process's time zone, as `date.today()` does."""
    return dt.date.today()  # noqa: DTZ011 - as above


def epoch() -> float:
    """Return the seconds since 1970, with a fraction."""
    return time.time()


def epoch_seconds() -> int:
    """Return the whole seconds since 1970."""
    return int(time.time())


def epoch_milliseconds() -> int:
    """Return the whole milliseconds since 1970."""
    return int(time.time() * 1000)


def uuid4() -> uuid.UUID:
    """Return a random UUID."""
    return uuid.uuid4()


def uuid4_hex() -> str:
    """Return a random UUID as 32 hexadecimal digits."""
    return uuid.uuid4().hex


def uuid4_text() -> str:
    """Return a random UUID as 36 characters, with hyphens."""
    return str(uuid.uuid4())


def token() -> str:
    """Return a secret of 256 random bits as 43 URL-safe characters."""
    return secrets.token_urlsafe(32)


def empty_list() -> list[object]:
    """Return a new empty list, for JSON columns."""
    return []


def empty_object() -> dict[str, object]:
    """Return a new empty dict, for JSON columns."""
    return {}


GENERATORS: dict[str, Callable[[], object]] = {
    f.__name__: f
    for f in (
        now,
        now_naive,
        now_local,
        today,
        today_local,
        epoch,
        epoch_seconds,
        epoch_milliseconds,
        uuid4,
        uuid4_hex,
        uuid4_text,
        token,
        empty_list,
        empty_object,
    )
}

# Functions that models written without this module use for the same purpose.
SYNONYMS: dict[Callable[..., object], str] = {uuid.uuid4: "uuid4", dict: "empty_object", list: "empty_list"}


def name_of(function: Callable[..., object]) -> str | None:
    """Return the name of a generator, or None for any other callable."""
    for name, generator in GENERATORS.items():
        if function is generator:
            return name
    return SYNONYMS.get(function)
