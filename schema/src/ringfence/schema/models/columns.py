"""The portable column types: each keeps its values whole on every engine, or refuses them with a reason.

The runtime stores and reads the same values in the same form, so that a row written by one side is read by the other.
"""

import datetime as dt
from functools import partial
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.ext.compiler import compiles

from ringfence.schema.models.timestamps import fill_in_utc

_MICROSECOND = dt.timedelta(microseconds=1)


class _Plain:
    """A type that takes no arguments, and is written so in a migration."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _Moment(_Plain, sa.TypeDecorator[dt.datetime]):
    """A type whose column the server may fill in: `server_default=func.now()` is the moment in UTC on every engine."""

    impl = sa.DateTime()
    cache_ok = True
    aware: ClassVar[bool]

    def _set_parent(self, parent: Any, outer: bool = False, **options: Any) -> None:
        super()._set_parent(parent, outer=outer, **options)
        if isinstance(parent, sa.Column):
            # The default is known by then; SQLAlchemy's own types use this, and no public one comes before copies.
            parent._on_table_attach(self._fill_in)  # noqa: SLF001

    def _fill_in(self, column: sa.Column[Any], table: sa.Table) -> None:
        fill_in_utc(column, aware=self.aware)


class Timestamp(_Moment):
    """A moment: an aware datetime, with microseconds, on every engine; it comes back in UTC.

    TIMESTAMP WITH TIME ZONE on PostgreSQL; elsewhere the moment in UTC, as DATETIME(6) or as text.
    """

    aware = True

    impl = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: sa.Dialect) -> dt.datetime | None:
        """To UTC. Raises ValueError for a datetime without a zone: its moment could only be guessed."""
        if value is None:
            return None
        if value.utcoffset() is None:
            raise ValueError(
                f"{value!r} has no zone: give an aware datetime, as datetime.now(timezone.utc),"
                " or declare the column as NaiveTimestamp",
            )
        return value.astimezone(dt.UTC)

    def process_result_value(self, value: dt.datetime | None, dialect: sa.Dialect) -> dt.datetime | None:
        """Aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


class NaiveTimestamp(_Moment):
    """A date and time of day without a zone, with microseconds: an appointment on the wall clock, not a moment."""

    aware = False

    impl = sa.DateTime(timezone=False).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: sa.Dialect) -> dt.datetime | None:
        """Unchanged. Raises ValueError for an aware datetime: its zone would be lost."""
        if value is not None and value.tzinfo is not None:
            raise ValueError(
                f"{value!r} has a zone, which NaiveTimestamp would lose: declare the column as Timestamp"
            )
        return value


class PreciseTime(_Plain, sa.TypeDecorator[dt.time]):
    """A time of day without a zone, with microseconds."""

    impl = sa.Time(timezone=False).with_variant(mysql.TIME(fsp=6), "mysql", "mariadb")
    cache_ok = True

    def process_bind_param(self, value: dt.time | None, dialect: sa.Dialect) -> dt.time | None:
        """Unchanged. Raises ValueError for an aware time: its zone would be lost."""
        if value is not None and value.tzinfo is not None:
            raise ValueError(f"{value!r} has a zone, which no engine keeps for a time: give a naive one")
        return value


class Duration(_Plain, sa.TypeDecorator[dt.timedelta]):
    """A length of time with microseconds: INTERVAL on PostgreSQL, a BIGINT of microseconds elsewhere."""

    impl = sa.BigInteger().with_variant(postgresql.INTERVAL(), "postgresql")
    cache_ok = True

    def _counts(self, dialect: sa.Dialect) -> bool:
        return isinstance(self.impl_instance.dialect_impl(dialect), sa.Integer)

    def process_bind_param(self, value: dt.timedelta | None, dialect: sa.Dialect) -> Any:
        """The driver's own interval, or whole microseconds."""
        return value // _MICROSECOND if value is not None and self._counts(dialect) else value

    def process_result_value(self, value: Any | None, dialect: sa.Dialect) -> dt.timedelta | None:
        """A timedelta from either."""
        if value is None:
            return None
        return dt.timedelta(microseconds=value) if self._counts(dialect) else value


class LongText(_Plain, sa.TypeDecorator[str]):
    """Text without a limit: plain TEXT holds only 64 KB on MySQL and MariaDB, so it is LONGTEXT there."""

    impl = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
    cache_ok = True


class LongBytes(_Plain, sa.TypeDecorator[bytes]):
    """Bytes without a limit: a plain BLOB holds only 64 KB on MySQL and MariaDB, so it is LONGBLOB there."""

    impl = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
    cache_ok = True


class Json(_Plain, sa.TypeDecorator[Any]):
    """JSON, in which None is the SQL NULL and `sqlalchemy.JSON.NULL` the JSON null.

    JSONB on PostgreSQL, whose plain JSON knows no equality, so neither DISTINCT nor GROUP BY nor most indexes.
    """

    impl = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
    cache_ok = True

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        """As JSON does it: what an index or a path gives is of another type."""
        return self.impl_instance.coerce_compared_value(op, value)


class BigKey(_Plain, sa.TypeDecorator[int]):
    """A big integer key that the server counts up: SQLite does that for INTEGER alone, which is 64 bits there."""

    impl = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    cache_ok = True


class Spelled(sa.TypeDecorator[Any]):
    """A type that an old database declares in words of its own: `Spelled(sa.Integer(), sqlite="INT")`.

    The words are those of the dialects named; on any other it is the type itself, whose values it takes and gives
    everywhere.

    Args:
        kind: what it is.
        words: how it is declared, by the name of the dialect.
    """

    impl: Any = sa.Integer
    cache_ok = True

    def __init__(self, kind: Any, **words: str) -> None:
        super().__init__()
        self.impl = sa.types.to_instance(kind)
        self.words = dict(sorted(words.items()))

    @property
    def _static_cache_key(self) -> Any:
        return (type(self), self.impl._static_cache_key, *self.words.items())  # noqa: SLF001 - as SQLAlchemy makes it

    def __repr__(self) -> str:
        words = ", ".join(f"{dialect}={text!r}" for dialect, text in self.words.items())
        return f"Spelled({self.impl!r}, {words})"


@compiles(Spelled)
def _spell(kind: Spelled, compiler: Any, **options: Any) -> str:
    text = kind.words.get(compiler.dialect.name)
    given: str = compiler.process(kind.impl, **options) if text is None else text
    return given


def copied(column: sa.Column[Any]) -> sa.Column[Any]:
    """A copy of a column that belongs to no table, of the same type.

    SQLAlchemy's own copy of MySQL's ENUM has lost its character set and collation (2.1.9).

    Args:
        column: it is not changed.
    """
    made = column._copy()  # noqa: SLF001 - SQLAlchemy has no public way to copy a column
    if isinstance(column.type, mysql.ENUM):
        made.type = column.type
    return made


def keep(kind: Any) -> Any:
    """Let a type be the same in every copy of its column, however often Alembic copies that: see `copied`.

    Only for a type that is not the models': they are not changed.

    Args:
        kind: a type that was read from the database or the migrations; it is changed, and returned.
    """
    if isinstance(kind, mysql.ENUM):
        vars(kind)["copy"] = partial(_same, kind)
    return kind


def _same(kind: mysql.ENUM, **_words: object) -> mysql.ENUM:
    return kind


PORTABLE = (Timestamp, NaiveTimestamp, PreciseTime, Duration, LongText, LongBytes, Json, BigKey)
"""The types of this module: every one makes the round trip on every engine."""
