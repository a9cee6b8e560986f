"""The portable column types: each stores its values without loss on every engine, or refuses them with a reason.

The runtime stores and reads the same form, so that each side can read rows that the other wrote.
"""

import datetime as dt
from functools import partial
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.ext.compiler import compiles

from ringfence.schema import sqlalchemy_compat
from ringfence.schema.models.timestamps import fill_in_utc

_MICROSECOND = dt.timedelta(microseconds=1)


class _Plain:
    """A type without arguments, which migrations write as `Name()`."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _Moment(_Plain, sa.TypeDecorator[dt.datetime]):
    """A date and time type with which `server_default=func.now()` gives the time in UTC on every engine."""

    impl = sa.DateTime()
    cache_ok = True
    aware: ClassVar[bool]

    def _set_parent(self, parent: Any, outer: bool = False, **options: Any) -> None:
        super()._set_parent(parent, outer=outer, **options)
        if isinstance(parent, sa.Column):
            # By then the column's default is set. SQLAlchemy's own types use this hook; no public one runs before the
            # column is copied.
            sqlalchemy_compat.on_table_attach(parent, self._fill_in)

    def _fill_in(self, column: sa.Column[Any], table: sa.Table) -> None:
        fill_in_utc(column, aware=self.aware)


class Timestamp(_Moment):
    """An aware datetime with microseconds on every engine; results are in UTC.

    TIMESTAMP WITH TIME ZONE on PostgreSQL; the time in UTC as DATETIME(6) on MySQL and MariaDB, as text on SQLite.
    """

    aware = True

    impl = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: sa.Dialect) -> dt.datetime | None:
        """Convert a value to UTC.

        Raises:
            ValueError: the datetime has no zone, so that its UTC time could only be guessed.
        """
        if value is None:
            return None
        if value.utcoffset() is None:
            raise ValueError(
                f"{value!r} has no zone: give an aware datetime, as datetime.now(timezone.utc),"
                " or declare the column as NaiveTimestamp",
            )
        return value.astimezone(dt.UTC)

    def process_result_value(self, value: dt.datetime | None, dialect: sa.Dialect) -> dt.datetime | None:
        """Convert a result to an aware datetime in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


class NaiveTimestamp(_Moment):
    """A date and local time of day with microseconds and without a zone, such as an appointment."""

    aware = False

    impl = sa.DateTime(timezone=False).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: sa.Dialect) -> dt.datetime | None:
        """Pass a naive value on unchanged.

        Raises:
            ValueError: the datetime has a zone, which would be lost.
        """
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
        """Pass a naive value on unchanged.

        Raises:
            ValueError: the time has a zone, which would be lost.
        """
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
        """Convert a timedelta to whole microseconds, except where the driver takes it as it is."""
        return value // _MICROSECOND if value is not None and self._counts(dialect) else value

    def process_result_value(self, value: Any | None, dialect: sa.Dialect) -> dt.timedelta | None:
        """Convert whole microseconds to a timedelta, except where the driver gives one."""
        if value is None:
            return None
        return dt.timedelta(microseconds=value) if self._counts(dialect) else value


class LongText(_Plain, sa.TypeDecorator[str]):
    """Text of any length: LONGTEXT on MySQL and MariaDB, where plain TEXT holds only 64 KB."""

    impl = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
    cache_ok = True


class LongBytes(_Plain, sa.TypeDecorator[bytes]):
    """Bytes of any length: LONGBLOB on MySQL and MariaDB, where a plain BLOB holds only 64 KB."""

    impl = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
    cache_ok = True


class Json(_Plain, sa.TypeDecorator[Any]):
    """JSON, where None is the SQL NULL and `sqlalchemy.JSON.NULL` the JSON null.

    JSONB on PostgreSQL, whose plain JSON has no equality, and so no DISTINCT, no GROUP BY and few kinds of index.
    """

    impl = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
    cache_ok = True

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        """Delegate to JSON: the operand of an index or path operator has a type of its own."""
        return self.impl_instance.coerce_compared_value(op, value)


class BigKey(_Plain, sa.TypeDecorator[int]):
    """A 64-bit autoincrement key: INTEGER on SQLite, the only type that counts up there, BIGINT elsewhere."""

    impl = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    cache_ok = True


class DeclaredAs(sa.TypeDecorator[Any]):
    """A type with a special declaration in DDL on some dialects, as in `DeclaredAs(sa.Integer(), sqlite="INT")`.

    It describes columns of existing databases. Values are those of `kind` on every dialect.

    Args:
        kind: the type; other dialects declare it as usual.
        words: the declaration, by SQLAlchemy's name of the dialect.
    """

    impl: Any = sa.Integer
    cache_ok = True

    def __init__(self, kind: Any, **words: str) -> None:
        super().__init__()
        self.impl = sa.types.to_instance(kind)
        self.words = dict(sorted(words.items()))

    @property
    def _static_cache_key(self) -> Any:
        return (type(self), sqlalchemy_compat.static_cache_key(self.impl), *self.words.items())

    def __repr__(self) -> str:
        words = ", ".join(f"{dialect}={text!r}" for dialect, text in self.words.items())
        return f"DeclaredAs({self.impl!r}, {words})"


@compiles(DeclaredAs)
def _spell(kind: DeclaredAs, compiler: Any, **options: Any) -> str:
    text = kind.words.get(compiler.dialect.name)
    given: str = compiler.process(kind.impl, **options) if text is None else text
    return given


def copied(column: sa.Column[Any]) -> sa.Column[Any]:
    """Copy a column with its type; the copy belongs to no table.

    SQLAlchemy's own copy of a MySQL ENUM loses its character set and collation (2.1.9).

    Args:
        column: it is not changed.
    """
    made = sqlalchemy_compat.copy_column(column)
    if isinstance(column.type, mysql.ENUM):
        made.type = column.type
    return made


def preserve_on_copy(kind: Any) -> Any:
    """Make a MySQL ENUM return itself when it is copied, as Alembic copies columns; see `copied` for the reason.

    Args:
        kind: a type that was read from the database or the migrations, not one of the models, which must not change;
            it is changed.

    Returns:
        The same type.
    """
    if isinstance(kind, mysql.ENUM):
        vars(kind)["copy"] = partial(_same, kind)
    return kind


def _same(kind: mysql.ENUM, **_words: object) -> mysql.ENUM:
    return kind


PORTABLE = (Timestamp, NaiveTimestamp, PreciseTime, Duration, LongText, LongBytes, Json, BigKey)
"""The types of this module whose values survive being stored and read on every engine."""
