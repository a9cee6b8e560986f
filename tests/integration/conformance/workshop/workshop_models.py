"""A table for every portable type, key and name that the conformance suite speaks of."""

import datetime as dt
import decimal
import enum
import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.schema.models import (
    Base,
    BigKey,
    Duration,
    LongBytes,
    LongText,
    NaiveTimestamp,
    PreciseTime,
    Timestamp,
    UuidKey,
    generators,
)

metadata = Base.metadata


class Colour(enum.Enum):
    """For a column that gives back members."""

    RED = "r"
    GREEN = "g"


class Specimen(Base):
    """One column of every type."""

    __tablename__ = "specimen"

    id: Mapped[int] = mapped_column(primary_key=True)
    boolean: Mapped[bool | None]
    small: Mapped[int | None] = mapped_column(sa.SmallInteger)
    whole: Mapped[int | None]
    big: Mapped[int | None] = mapped_column(sa.BigInteger)
    real: Mapped[float | None]
    price: Mapped[decimal.Decimal | None] = mapped_column(sa.Numeric(12, 4))
    name: Mapped[str | None] = mapped_column(sa.String(40))
    story: Mapped[str | None] = mapped_column(LongText())
    blob: Mapped[bytes | None] = mapped_column(LongBytes())
    day: Mapped[dt.date | None]
    clock: Mapped[dt.time | None] = mapped_column(PreciseTime())
    naive: Mapped[dt.datetime | None] = mapped_column(NaiveTimestamp())
    moment: Mapped[dt.datetime | None] = mapped_column(Timestamp())
    span: Mapped[dt.timedelta | None] = mapped_column(Duration())
    ident: Mapped[uuid.UUID | None]
    document: Mapped[dict[str, Any] | None]
    mood: Mapped[str | None] = mapped_column(sa.Enum("calm", "wild", name="mood"))
    colour: Mapped[Colour | None] = mapped_column(sa.Enum(Colour, name="colour"))


class Defaulted(Base):
    """Defaults and on-updates of each kind."""

    __tablename__ = "defaulted"

    id: Mapped[int] = mapped_column(BigKey(), primary_key=True)
    label: Mapped[str] = mapped_column(sa.String(20), default="plain")
    active: Mapped[bool] = mapped_column(default=True)
    made: Mapped[dt.datetime] = mapped_column(Timestamp(), default=generators.now)
    changed: Mapped[dt.datetime | None] = mapped_column(Timestamp(), onupdate=generators.now)
    ident: Mapped[uuid.UUID] = mapped_column(default=generators.uuid4)
    bag: Mapped[dict[str, Any]] = mapped_column(default=dict)
    by_server: Mapped[int] = mapped_column(server_default="7")
    note: Mapped[str | None] = mapped_column(sa.String(20), default="hello")
    choice: Mapped[Colour | None] = mapped_column(sa.Enum(Colour, name="colour"), default=Colour.GREEN)
    cost: Mapped[decimal.Decimal | None] = mapped_column(sa.Numeric(6, 2), default=decimal.Decimal("1.50"))
    touched: Mapped[str | None] = mapped_column(sa.String(20), onupdate="touched")


class Owner(UuidKey, Base):
    """A UUID key."""

    __tablename__ = "owner"

    name: Mapped[str] = mapped_column(sa.String(40), unique=True)


class Pet(Base):
    """A key of another name, and references."""

    __tablename__ = "pet"

    pet_no: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("owner.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(sa.String(40))
    mother: Mapped[int | None] = mapped_column(sa.ForeignKey("pet.pet_no"))


class Country(Base):
    """A text key."""

    __tablename__ = "country"

    code: Mapped[str] = mapped_column(sa.String(2), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(40))


class Seat(Base):
    """A composite key."""

    __tablename__ = "seat"

    row: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    guest: Mapped[str | None] = mapped_column(sa.String(40))
    __table_args__ = (sa.CheckConstraint("number > 0", name="number_positive"),)


class Collider(Base):
    """Columns whose names are PyDAL's, Python's or SQL's own."""

    __tablename__ = "update"

    id: Mapped[int] = mapped_column(primary_key=True)
    update: Mapped[str | None] = mapped_column("update", sa.String(10))
    keys: Mapped[str | None] = mapped_column("keys", sa.String(10))
    class_: Mapped[str | None] = mapped_column("class", sa.String(10))
    select: Mapped[str | None] = mapped_column("select", sa.String(10))


class Tally(Base):
    """What several writers count up at the same time."""

    __tablename__ = "tally"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(40), unique=True)
    hits: Mapped[int | None]


class Locker(Base):
    """An index that holds for some rows alone, where the engine has such indexes."""

    __tablename__ = "locker"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    holder: Mapped[str | None] = mapped_column(sa.String(40))
    taken: Mapped[bool]


sa.Index(
    "uq_locker_holder",
    Locker.holder,
    unique=True,
    postgresql_where=Locker.taken,
    sqlite_where=Locker.taken,
)


class Namesake(Base):
    """A column called id that is not the key, and names that are words of SQL."""

    __tablename__ = "order"

    no: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str | None] = mapped_column("id", sa.String(10))
    group: Mapped[str | None] = mapped_column("group", sa.String(10))
    user: Mapped[str | None] = mapped_column("user", sa.String(10))
    from_: Mapped[str | None] = mapped_column("from", sa.String(10))
    mixed: Mapped[str | None] = mapped_column("MixedCase", sa.String(10))
    hidden: Mapped[str | None] = mapped_column("_hidden", sa.String(10))
    spaced: Mapped[str | None] = mapped_column("two words", sa.String(10))
    number: Mapped[str | None] = mapped_column("2nd", sa.String(10))
    percent: Mapped[str | None] = mapped_column("100%", sa.String(10))
