"""What people fill in forms for: every type, a password, unique values, and references to keys of each kind."""

import datetime as dt
import decimal
import enum
import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.schema.models import (
    Duration,
    Json,
    LongBytes,
    NaiveTimestamp,
    PreciseTime,
    Timestamp,
    UuidKey,
    base,
)


class Base(base.Base):
    """Tables of this deployment alone."""

    __abstract__ = True
    metadata = sa.MetaData(naming_convention=base.NAMING)


metadata = Base.metadata


class Colour(enum.Enum):
    """A column that gives back members."""

    RED = "r"
    GREEN = "g"


class Team(UuidKey, Base):
    """A UUID key."""

    __tablename__ = "team"

    name: Mapped[str] = mapped_column(sa.String(40), unique=True)


class Guest(Base):
    """Who fills in the form."""

    __tablename__ = "guest"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(sa.String(100), unique=True)
    password: Mapped[str | None] = mapped_column(sa.String(255), info={"sensitive": True, "password": True})
    name: Mapped[str | None] = mapped_column(sa.String(10))
    active: Mapped[bool] = mapped_column(default=True)
    agreed: Mapped[bool | None]
    small: Mapped[int | None] = mapped_column(sa.SmallInteger)
    big: Mapped[int | None] = mapped_column(sa.BigInteger)
    share: Mapped[float | None]
    price: Mapped[decimal.Decimal | None] = mapped_column(sa.Numeric(6, 2))
    born: Mapped[dt.date | None]
    alarm: Mapped[dt.time | None] = mapped_column(PreciseTime())
    local: Mapped[dt.datetime | None] = mapped_column(NaiveTimestamp())
    moment: Mapped[dt.datetime | None] = mapped_column(Timestamp())
    span: Mapped[dt.timedelta | None] = mapped_column(Duration())
    info: Mapped[dict[str, Any] | None] = mapped_column(Json())
    bag: Mapped[dict[str, Any]] = mapped_column(Json(), default=dict)
    photo: Mapped[bytes | None] = mapped_column(LongBytes())
    ident: Mapped[uuid.UUID | None] = mapped_column(unique=True)
    mood: Mapped[str | None] = mapped_column(sa.Enum("calm", "wild", name="mood"))
    colour: Mapped[Colour | None] = mapped_column(sa.Enum(Colour, name="colour"))
    team_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("team.id", ondelete="SET NULL"))
    host: Mapped[int | None] = mapped_column(sa.ForeignKey("guest.id"))


class Visit(Base):
    """A text key, and a value that has to be given."""

    __tablename__ = "visit"

    code: Mapped[str] = mapped_column(sa.String(10), primary_key=True)
    guest_id: Mapped[int] = mapped_column(sa.ForeignKey("guest.id", ondelete="CASCADE"))
    room: Mapped[int]
