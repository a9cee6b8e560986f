"""Models as people write them who know nothing of Ringfence: bare types, defaults in Python, nothing named."""

import datetime as dt
import functools
import json
import time
import uuid

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

metadata = sa.MetaData()


class Utc(sa.TypeDecorator[dt.datetime]):
    """Moments in UTC, in whatever the engine has for them."""

    impl = sa.TIMESTAMP(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect):
        """Six digits of a second everywhere."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.TIMESTAMP(fsp=6))
        return dialect.type_descriptor(sa.TIMESTAMP(timezone=True))

    def process_bind_param(self, value, dialect):
        """No moment without a zone."""
        if value is not None and value.tzinfo is None:
            raise ValueError("naive")
        return None if value is None else value.astimezone(dt.UTC)


class Packed(sa.TypeDecorator[object]):
    """JSON in a column of text."""

    impl = sa.Text().with_variant(sa.JSON(), "postgresql")
    cache_ok = True

    def process_bind_param(self, value, dialect):
        """Text, where the engine takes text."""
        return value if value is None or dialect.name == "postgresql" else json.dumps(value)


class Guid(sa.TypeDecorator[str]):
    """A UUID in what each engine has for it."""

    impl = sa.CHAR(32)
    cache_ok = True

    def load_dialect_impl(self, dialect):
        """Three forms."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.UUID())
        return dialect.type_descriptor(sa.BINARY(16) if dialect.name in ("mysql", "mariadb") else sa.CHAR(32))

    def process_bind_param(self, value, dialect):
        """From its digits."""
        if value is None or dialect.name == "sqlite":
            return value
        return uuid.UUID(value) if dialect.name == "postgresql" else uuid.UUID(value).bytes


class Upper(sa.TypeDecorator[str]):
    """Capitals."""

    impl = sa.String(20)
    cache_ok = True

    def process_bind_param(self, value, dialect):
        """In capitals."""
        return None if value is None else value.upper()


def utc_now():
    """The present moment."""
    return dt.datetime.now(tz=dt.UTC)


def milliseconds():
    """Since 1970."""
    return int(time.time() * 1000)


def draw(context):
    """What nobody can know beforehand."""
    given = context.get_current_parameters()
    return given["weight"]


sender = sa.Table(
    "sender",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
    sa.Column("name", sa.String(40), nullable=False),
    sa.UniqueConstraint("name"),
)
sa.Table(
    "parcel",
    metadata,
    sa.Column("id", sa.CHAR(32), primary_key=True, default=lambda: uuid.uuid4().hex),
    sa.Column("sender_id", sa.ForeignKey("sender.id")),
    sa.Column("weight", sa.Float, nullable=False, default=lambda: 1.5),
    sa.Column("made", sa.DateTime, default=dt.datetime.utcnow),
    sa.Column("moved", sa.DateTime(timezone=True), default=utc_now, onupdate=functools.partial(utc_now)),
    sa.Column("seen", Utc, default=utc_now),
    sa.Column("at", sa.Time),
    sa.Column("price", sa.Numeric),
    sa.Column("taken", sa.BigInteger, default=milliseconds),
    sa.Column("day", sa.Date, default=dt.datetime.utcnow),
    sa.Column("label", Upper, default="low"),
    sa.Column("extra", Packed, default=dict),
    sa.Column("token", sa.Uuid(native_uuid=False), default=uuid.uuid4),
    sa.Column("share", sa.Float, default=draw),
    sa.Column("shape", sa.Text, default=max),
    sa.Column("guid", Guid, default=lambda: str(uuid.uuid4()).replace("-", "")),
    sa.CheckConstraint("weight > 0"),
    sa.Index("ix_parcel_label", "label"),
)
# A name that SQLAlchemy shortens by itself, and one that two tables have.
for name in ("a", "b"):
    sa.Table(
        name,
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("a_column_whose_name_is_as_long_as_names_are_allowed_to_be", sa.Integer, index=True),
        sa.Column("text", sa.Text),
        sa.Index(f"ix_{name}_text", "text", mysql_length={"text": 100}, mariadb_length={"text": 100}),
    )
# Three that refer to each other in a circle, and one to itself.
for name, other in (("dog", "owner"), ("owner", "house"), ("house", "dog")):
    sa.Table(
        name,
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("other_id", sa.ForeignKey(f"{other}.id", name=f"fk_{name}_{other}")),
        sa.Column("parent_id", sa.ForeignKey(f"{name}.id", name=f"fk_{name}_parent")),
    )
# A key of which the server makes two parts, and counts none up.
sa.Table(
    "protocol",
    metadata,
    sa.Column("scheme", sa.String(20), primary_key=True),
    sa.Column("host", sa.String(40), primary_key=True, server_default=""),
    sa.Column("port", sa.Integer, primary_key=True, server_default="0", autoincrement=False),
)
sa.Table("alembic_version", metadata, sa.Column("version_num", sa.String(32), primary_key=True))
