"""The tables that the benchmark reads and writes."""

import datetime as dt
import decimal
import uuid

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from ringfence.schema.models import Timestamp, base

metadata = sa.MetaData(naming_convention=base.NAMING)


class Base(DeclarativeBase):
    """Apart from the models of other deployments that a test run loads."""

    metadata = metadata
    type_annotation_map = base.Base.type_annotation_map


class Item(Base):
    """Five columns: a key and the types that cost a conversion somewhere."""

    __tablename__ = "item"

    id: Mapped[int] = mapped_column(primary_key=True)
    ident: Mapped[uuid.UUID]
    price: Mapped[decimal.Decimal] = mapped_column(sa.Numeric(12, 2))
    active: Mapped[bool]
    made: Mapped[dt.datetime] = mapped_column(Timestamp())


class Entry(Base):
    """As `Item`, to insert into."""

    __tablename__ = "entry"

    id: Mapped[int] = mapped_column(primary_key=True)
    ident: Mapped[uuid.UUID]
    price: Mapped[decimal.Decimal] = mapped_column(sa.Numeric(12, 2))
    active: Mapped[bool]
    made: Mapped[dt.datetime] = mapped_column(Timestamp())


class Event(Base):
    """As `Item`, to stream."""

    __tablename__ = "event"

    id: Mapped[int] = mapped_column(primary_key=True)
    ident: Mapped[uuid.UUID]
    price: Mapped[decimal.Decimal] = mapped_column(sa.Numeric(12, 2))
    active: Mapped[bool]
    made: Mapped[dt.datetime] = mapped_column(Timestamp())


class Wide(Base):
    """Twenty columns of an ordinary mixture."""

    __tablename__ = "wide"

    id: Mapped[int] = mapped_column(primary_key=True)
    ident: Mapped[uuid.UUID]
    email: Mapped[str] = mapped_column(sa.String(60))
    name: Mapped[str] = mapped_column(sa.String(60))
    street: Mapped[str] = mapped_column(sa.String(60))
    city: Mapped[str] = mapped_column(sa.String(60))
    zip: Mapped[str] = mapped_column(sa.String(10))
    country: Mapped[str] = mapped_column(sa.String(2))
    note: Mapped[str | None] = mapped_column(sa.String(200))
    visits: Mapped[int]
    score: Mapped[int]
    level: Mapped[int]
    points: Mapped[int] = mapped_column(sa.BigInteger)
    ratio: Mapped[float]
    balance: Mapped[decimal.Decimal] = mapped_column(sa.Numeric(12, 2))
    price: Mapped[decimal.Decimal] = mapped_column(sa.Numeric(12, 2))
    active: Mapped[bool]
    verified: Mapped[bool]
    made: Mapped[dt.datetime] = mapped_column(Timestamp())
    changed: Mapped[dt.datetime] = mapped_column(Timestamp())


class Maker(Base):
    """The far end of the join."""

    __tablename__ = "maker"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(40))
    country: Mapped[str] = mapped_column(sa.String(2))


class Product(Base):
    """The middle of the join."""

    __tablename__ = "product"

    id: Mapped[int] = mapped_column(primary_key=True)
    maker_id: Mapped[int] = mapped_column(sa.ForeignKey("maker.id"))
    name: Mapped[str] = mapped_column(sa.String(40))
    price: Mapped[decimal.Decimal] = mapped_column(sa.Numeric(12, 2))


class Sale(Base):
    """The near end of the join."""

    __tablename__ = "sale"

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(sa.ForeignKey("product.id"))
    quantity: Mapped[int]
    sold_at: Mapped[dt.datetime] = mapped_column(Timestamp())


class Counter(Base):
    """What is upserted, by its name."""

    __tablename__ = "counter"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(40), unique=True)
    value: Mapped[int]
    changed: Mapped[dt.datetime] = mapped_column(Timestamp())
