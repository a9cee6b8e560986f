"""The base class and mixins of models, with column types that behave the same on every engine.

    class Song(UuidKey, CreatedUpdated, Base):
        __tablename__ = "songs"
        title: Mapped[str] = mapped_column(sa.String(200))
        length: Mapped[timedelta]

A column marked `info={"sensitive": True}` is in no shorthand of the manifest: an account gets it only by name.
One marked `info={"password": True}` is of PyDAL's type `password`: values from forms and py4web's Auth are hashed.
A `default` or `onupdate` that is a Python callable must be one of `generators` or equivalent to one (`callables`):
services insert through PyDAL, which calls no other, and would have to give the value themselves.
"""

import datetime as dt
import uuid
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, registry

from ringfence.runtime.values import generators
from ringfence.schema.models.columns import (
    BigKey,
    DeclaredAs,
    Duration,
    Json,
    LongBytes,
    LongText,
    NaiveTimestamp,
    PreciseTime,
    Timestamp,
)
from ringfence.schema.models.timestamps import UtcNow

__all__ = [
    "EXACT_TEXT",
    "NAMING",
    "Base",
    "BigKey",
    "CreatedUpdated",
    "CreatedUpdatedDeleted",
    "DeclaredAs",
    "Duration",
    "Json",
    "LongBytes",
    "LongText",
    "NaiveTimestamp",
    "PreciseTime",
    "SyncTimes",
    "Timestamp",
    "UtcNow",
    "UuidKey",
    "generators",
]

NAMING = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}
"""The naming convention; without a name, a constraint can neither be altered nor identified in an error."""

_JSON = Json()

EXACT_TEXT: dict[str, str] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_0900_bin",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}
"""Table options for MySQL and MariaDB under which texts are only equal when identical, as on the other engines.

The default collations of both treat `a` as equal to `A` and to `a `; these collations compare and sort by code point.
"""


class Base(DeclarativeBase):
    """The base class of a deployment's models: it names constraints, and maps Python types to lossless column types.

    A deployment has its own base class, so that its metadata holds no other deployment's tables:

        class Base(models.Base):
            __abstract__ = True
            metadata = sa.MetaData(naming_convention=models.NAMING)

    Tables compare text exactly on every engine (`EXACT_TEXT`). To change that, give a column a collation,
    `sa.String(40, collation=…)`, or a table its options in `__table_args__`.
    """

    metadata = sa.MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        bool: sa.Boolean(),
        float: sa.Double(),
        bytes: LongBytes(),
        dt.datetime: Timestamp(),
        dt.date: sa.Date(),
        dt.time: PreciseTime(),
        dt.timedelta: Duration(),
        uuid.UUID: sa.Uuid(),
        dict: _JSON,
        list: _JSON,
        dict[str, Any]: _JSON,
        dict[str, object]: _JSON,
        dict[str, str]: _JSON,
        dict[str, int]: _JSON,
        list[Any]: _JSON,
        list[object]: _JSON,
        list[str]: _JSON,
        list[int]: _JSON,
    }

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Give a base class that has its own metadata its own registry."""
        if cls.__dict__.get("__abstract__") and "metadata" in cls.__dict__ and "registry" not in cls.__dict__:
            cls.registry = registry(metadata=cls.metadata, type_annotation_map=cls.type_annotation_map)
            cls._sa_registry = cls.registry
        super().__init_subclass__(**arguments)

    @classmethod
    def __table_cls__(cls, name: str, metadata: sa.MetaData, *args: Any, **kwargs: Any) -> sa.Table:
        """Make the table of a model, with the options of `EXACT_TEXT` that its own arguments do not override."""
        return sa.Table(name, metadata, *args, **(EXACT_TEXT | kwargs))


class UuidKey:
    """A primary key `id`, a random UUID that is generated for each row."""

    id: Mapped[uuid.UUID] = mapped_column(
        sa.Uuid(), primary_key=True, default=generators.uuid4, sort_order=-100
    )


class CreatedUpdated:
    """The times at which a row was created and last updated."""

    created_at: Mapped[dt.datetime] = mapped_column(Timestamp(), default=generators.now, sort_order=100)
    updated_at: Mapped[dt.datetime] = mapped_column(
        Timestamp(),
        default=generators.now,
        onupdate=generators.now,
        sort_order=101,
    )


class CreatedUpdatedDeleted(CreatedUpdated):
    """Created and updated times, and a soft delete: a row with a `deleted_at` counts as deleted.

    Such rows are not hidden automatically. Exclude them in each query, `dal(dal.songs.deleted_at == None).select()`,
    or once for the table, `dal.songs._common_filter = lambda query: dal.songs.deleted_at == None`; the latter is a
    convenience and no row security: it does not apply to `executesql` and inserts. Delete with
    `dal(dal.songs.id == key).update(deleted_at=generators.now())`.
    """

    deleted_at: Mapped[dt.datetime | None] = mapped_column(Timestamp(), index=True, sort_order=102)


class SyncTimes:
    """The time window that was synchronised with another system, and the times when the last run began and ended."""

    sync_start_min_datetime: Mapped[dt.datetime | None] = mapped_column(
        Timestamp(), index=True, sort_order=110
    )
    sync_end_max_datetime: Mapped[dt.datetime | None] = mapped_column(Timestamp(), index=True, sort_order=111)
    sync_last_start_datetime: Mapped[dt.datetime | None] = mapped_column(
        Timestamp(), index=True, sort_order=112
    )
    sync_last_end_datetime: Mapped[dt.datetime | None] = mapped_column(
        Timestamp(), index=True, sort_order=113
    )
