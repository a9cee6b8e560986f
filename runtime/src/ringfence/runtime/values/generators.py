"""The named generators of column defaults that models, mirrors and the runtime share.

A model may say `default=generators.now`; the mirror then holds the name, and the runtime calls the same function
for PyDAL's inserts and updates. Functions that models written without this module use, such as `datetime.utcnow`, are
mapped to these where their meaning is exactly known. For any other the service must give the value itself.
"""

import datetime as dt
import secrets
import time
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


def now_local() -> dt.datetime:
    """The present moment in the time zone of the process, without a zone: what `datetime.now()` gives."""
    return dt.datetime.now()  # noqa: DTZ005 - of models that keep their moments so


def today_local() -> dt.date:
    """Today's date in the time zone of the process: what `date.today()` gives."""
    return dt.date.today()  # noqa: DTZ011 - as above


def epoch() -> float:
    """The present moment as seconds since 1970, with a fraction."""
    return time.time()


def epoch_seconds() -> int:
    """The present moment as whole seconds since 1970."""
    return int(time.time())


def epoch_milliseconds() -> int:
    """The present moment as whole milliseconds since 1970."""
    return int(time.time() * 1000)


def uuid4() -> uuid.UUID:
    """A random UUID, made anew for each row."""
    return uuid.uuid4()


def uuid4_hex() -> str:
    """A random UUID as 32 hexadecimal digits."""
    return uuid.uuid4().hex


def uuid4_text() -> str:
    """A random UUID as 36 characters, with hyphens."""
    return str(uuid.uuid4())


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

# What models written without this module use for the same things.
SYNONYMS: dict[Callable[..., object], str] = {uuid.uuid4: "uuid4", dict: "empty_object", list: "empty_list"}


def name_of(function: Callable[..., object]) -> str | None:
    """The name of a generator, or None for any other callable."""
    for name, generator in GENERATORS.items():
        if function is generator:
            return name
    return SYNONYMS.get(function)
