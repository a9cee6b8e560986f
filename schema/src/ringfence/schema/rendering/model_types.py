"""Chooses the type with which a column is written: a portable one if it is declared the same, else the engine's own."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.types import TypeEngine

from ringfence.schema.models import columns
from ringfence.schema.models.types import portable


def portable_source(
    exact: TypeEngine[Any], dialect: sa.Dialect, engines: Iterable[str], *, key: bool
) -> tuple[TypeEngine[Any], tuple[str, ...]]:
    """Choose the first type that this server declares the same, and that every engine of the deployment supports.

    Args:
        exact: The type that the server has.
        dialect: The dialect of the server.
        engines: The engines of the deployment.
        key: Whether the column is part of the primary key.

    Returns:
        The type, and the problems that it has on other engines; without problems unless it is the exact type.
    """
    engines = tuple(engines)
    wanted = declared(exact, dialect)
    for candidate in _candidates(exact, key=key):
        if declared(candidate, dialect) == wanted and not portable(candidate, engines).problems:
            return candidate, ()
    return exact, portable(exact, engines).problems


def declared(kind: TypeEngine[Any], dialect: sa.Dialect) -> str | None:
    """Return how a dialect declares a type, in upper case; None where it cannot.

    Args:
        kind: The type of a column.
        dialect: The dialect.
    """
    with contextlib.suppress(sa.exc.CompileError):
        return kind.compile(dialect=dialect).upper()
    return None


def _zoned(exact: TypeEngine[Any]) -> bool:
    return bool(getattr(exact, "timezone", False))


# A type of Ringfence, and the test whether a server's type is for the same kind of value.
_OURS: tuple[tuple[Callable[[], TypeEngine[Any]], Callable[[Any], bool]], ...] = (
    (columns.Timestamp, lambda t: isinstance(t, sa.DateTime) and _zoned(t)),
    (columns.NaiveTimestamp, lambda t: isinstance(t, sa.DateTime) and not _zoned(t)),
    (columns.PreciseTime, lambda t: isinstance(t, sa.Time) and not _zoned(t)),
    (columns.Duration, lambda t: isinstance(t, sa.Interval | postgresql.INTERVAL)),
    (columns.LongText, lambda t: isinstance(t, sa.Text | mysql.LONGTEXT)),
    (columns.LongBytes, lambda t: isinstance(t, sa.LargeBinary | mysql.LONGBLOB)),
    (columns.Json, lambda t: isinstance(t, sa.JSON)),
)


def _candidates(exact: TypeEngine[Any], *, key: bool) -> Iterator[TypeEngine[Any]]:
    """Yield types for the same kind of value: Ringfence's own, then SQLAlchemy's generic one, then the exact one."""
    if key and isinstance(exact, sa.BigInteger):
        yield columns.BigKey()
    yield from (make() for make, means in _OURS if means(exact))
    if not isinstance(exact, sa.TypeDecorator | sa.Enum):
        with contextlib.suppress(NotImplementedError):
            yield exact.as_generic()
    yield exact
