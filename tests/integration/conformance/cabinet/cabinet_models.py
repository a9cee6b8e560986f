"""The types that PostgreSQL alone has."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from ringfence.schema import models


class Base(models.Base):
    """Tables of this deployment alone."""

    __abstract__ = True
    metadata = sa.MetaData(naming_convention=models.NAMING)


metadata = Base.metadata


class Curio(Base):
    """One column of every type."""

    __tablename__ = "curio"

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    texts: Mapped[list[str] | None] = mapped_column(postgresql.ARRAY(sa.Text))
    names: Mapped[list[str] | None] = mapped_column(postgresql.ARRAY(sa.String(10)))
    numbers: Mapped[list[int] | None] = mapped_column(postgresql.ARRAY(sa.Integer))
    bigs: Mapped[list[int] | None] = mapped_column(postgresql.ARRAY(sa.BigInteger))
    flags: Mapped[list[bool] | None] = mapped_column(postgresql.ARRAY(sa.Boolean))
    reals: Mapped[list[float] | None] = mapped_column(postgresql.ARRAY(sa.Double))
    prices: Mapped[list[Decimal] | None] = mapped_column(postgresql.ARRAY(sa.Numeric(8, 2)))
    days: Mapped[list[dt.date] | None] = mapped_column(postgresql.ARRAY(sa.Date))
    moments: Mapped[list[dt.datetime] | None] = mapped_column(postgresql.ARRAY(sa.DateTime(timezone=True)))
    naives: Mapped[list[dt.datetime] | None] = mapped_column(postgresql.ARRAY(sa.DateTime(timezone=False)))
    clocks: Mapped[list[dt.time] | None] = mapped_column(postgresql.ARRAY(sa.Time))
    idents: Mapped[list[uuid.UUID] | None] = mapped_column(postgresql.ARRAY(sa.Uuid))
    spans: Mapped[list[dt.timedelta] | None] = mapped_column(postgresql.ARRAY(postgresql.INTERVAL))
    blobs: Mapped[list[bytes] | None] = mapped_column(postgresql.ARRAY(sa.LargeBinary))
    addresses: Mapped[list[str] | None] = mapped_column(postgresql.ARRAY(postgresql.INET))
    documents: Mapped[list[Any] | None] = mapped_column(postgresql.ARRAY(postgresql.JSONB))
    plain: Mapped[Any | None] = mapped_column(sa.JSON(none_as_null=True))
    binary: Mapped[Any | None] = mapped_column(postgresql.JSONB(none_as_null=True))
    email: Mapped[str | None] = mapped_column(postgresql.CITEXT, unique=True)
    address: Mapped[str | None] = mapped_column(postgresql.INET)
    exact: Mapped[Decimal | None] = mapped_column(sa.Numeric)
