"""Which type a column is written with: a portable one where it is the same to the letter, else the engine's own."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.types import TypeEngine

from ringfence.schema.models import columns
from ringfence.schema.models.types import portable


def chosen(
    exact: TypeEngine[Any], dialect: sa.Dialect, engines: Iterable[str], *, key: bool
) -> tuple[TypeEngine[Any], tuple[str, ...]]:
    """The first type that the server would make the same column of, and that every engine of the deployment holds.

    Args:
        exact: what the server has.
        dialect: that of the server.
        engines: those of the deployment.
        key: whether the column is part of the primary key.

    Returns:
        The type, and what prevents it on which engine: nothing, or else it is the exact one.
    """
    engines = tuple(engines)
    wanted = declared(exact, dialect)
    for candidate in _candidates(exact, key=key):
        if declared(candidate, dialect) == wanted and not portable(candidate, engines).problems:
            return candidate, ()
    return exact, portable(exact, engines).problems


def declared(kind: TypeEngine[Any], dialect: sa.Dialect) -> str | None:
    """How the type is declared, or None where the dialect cannot say it.

    Args:
        kind: of a column.
        dialect: which SQL is spoken.
    """
    with contextlib.suppress(sa.exc.CompileError):
        return kind.compile(dialect=dialect).upper()
    return None


def _zoned(exact: TypeEngine[Any]) -> bool:
    return bool(getattr(exact, "timezone", False))


# A type of ours, and what the server's own must be for it to mean the same.
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
    """Types of ours before SQLAlchemy's own; each means the same kind of value."""
    if key and isinstance(exact, sa.BigInteger):
        yield columns.BigKey()
    yield from (make() for make, means in _OURS if means(exact))
    if not isinstance(exact, sa.TypeDecorator | sa.Enum):
        with contextlib.suppress(NotImplementedError):
            yield exact.as_generic()
    yield exact
