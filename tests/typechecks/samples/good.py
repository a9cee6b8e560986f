"""What a service writes, with no error for either checker; `assert_type` states the types."""

import enum
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Literal, assert_type
from uuid import UUID, uuid4

from flask import Flask

from mirrors.gallery import (
    DAL,
    MIRROR,
    AThingRow,
    BThingRow,
    CatalogRow,
    OddRow,
    TokenRow,
    WorkRow,
    WorkSet,
    WorkUpdate,
    open_async_database,
    open_database,
)
from ringfence.runtime import Database
from ringfence.runtime.aio import AsyncDatabase
from ringfence.runtime.flask import Ringfence
from ringfence.runtime.typed import Column, Query, Reference, Row, Rows


class Kind(enum.Enum):
    OIL = "oil"


def rows_of_one_table(dal: DAL) -> None:
    work = dal.work
    assert_type(dal(work.id == 3), WorkSet)
    rows = dal(work.id == 3).select()
    assert_type(rows, Rows[WorkRow])
    row = rows.first()
    assert row is not None
    assert_type(row.title, str)
    assert_type(row.kind, Literal["oil", "print"])
    assert_type(row.price, Decimal | None)
    assert_type(row.weight, float | None)
    assert_type(row.made_on, date | None)
    assert_type(row.opens, time | None)
    assert_type(row.sold_at, datetime | None)
    assert_type(row.shown_for, timedelta | None)
    assert_type(row.scan, bytes | None)
    assert_type(row.tags, list[str | None])
    assert_type(row.sold, bool)
    assert_type(row.artist_id, Reference)
    assert_type(row[work.title], str)
    assert_type([each.title for each in rows], list[str])
    assert_type(rows.column(work.price), list[Decimal | None])
    assert_type(rows[0], WorkRow)
    assert_type(rows.find(lambda each: each.sold), Rows[WorkRow])
    assert_type(dal(work).iterselect().first(), WorkRow | None)
    assert_type(dal.work(3), WorkRow | None)
    assert_type(dal.work(title="x", sold=True), WorkRow | None)
    assert_type(dal.work[3], WorkRow | None)
    for artist in dal(dal.artist).select():
        assert_type(artist.work.select(work.title), Rows[WorkRow])


def columns(dal: DAL) -> list[Column[WorkSet]]:
    return [dal.work.id, dal.work.title, dal.work.details]


def conditions(dal: DAL, newest: datetime | None) -> None:
    work = dal.work
    wanted = work.id > 3
    if newest is not None:
        wanted &= work.sold_at < newest
    assert_type(wanted, Query[WorkSet])
    wanted = (work.price >= 3) & ((work.kind == "oil") | (work.kind == Kind.OIL)) & ~(work.sold == True)  # noqa: E712
    wanted &= (work.made_on == None) | (work.made_on >= date(2030, 1, 1))  # noqa: E711
    wanted &= work.title.startswith("x") | work.title.lower().contains("y") | work.title.like("%z")
    wanted &= work.id.belongs([1, 2]) & work.artist_id.belongs(dal(dal.artist).nested_select(dal.artist.id))
    wanted &= (work.details == {"a": 1}) & (work.made_on.year() == 2030) & (work.scan == b"x")
    assert_type(dal(wanted)(work.sold == False), WorkSet)  # noqa: E712
    rows = dal(wanted).select(
        *columns(dal), orderby=~work.price | work.id, limitby=(0, 10), distinct=True, for_update=True
    )
    assert_type(rows, Rows[WorkRow])
    assert_type(dal(wanted).select(work.ALL), Rows[WorkRow])
    assert_type(dal(wanted).count(), int)


def joins_and_expressions(dal: DAL) -> None:
    work, artist = dal.work, dal.artist
    joined = dal((work.artist_id == artist.id) & (work.sold == True)).select(work.title, artist.name)  # noqa: E712
    assert_type(joined, Rows[Row])
    print([(row.work.title, row.artist.name) for row in joined])
    number = work.id.count()
    counted = dal(work.id > 0).select(work.kind, number, groupby=work.kind, having=number > 1)
    assert_type(counted, Rows[Row])
    print([(row[work.kind], row[number]) for row in counted])
    left = dal(artist.id > 0).select(artist.ALL, left=work.on(work.artist_id == artist.id))
    assert_type(left, Rows[Row])
    other = work.with_alias("other")
    dal(other.id == work.id).select()


def writes(dal: DAL) -> None:
    key = dal.work.insert(
        artist_id=1, title="x", price=Decimal(3), details=[1, {"a": None}], tags=["a"], sold_at=None
    )
    assert_type(key, int)
    dal.work.insert(
        artist_id=1, title="x", kind=Kind.OIL, price=3, sold_at=datetime.now(UTC), scan=bytearray(3)
    )
    dal.work.bulk_insert([{"artist_id": 1, "title": "x"}, {"artist_id": 2, "title": "y", "sold": True}])
    changes: WorkUpdate = {"title": "y"}
    changes["price"] = None
    assert_type(dal(dal.work.id == key).update(**changes), int)
    dal(dal.work.id == key).update(price=dal.work.price * 2, title=dal.work.title.upper())
    dal.work.upsert(_key="title", _update={"sold": True}, artist_id=1, title="x")
    dal.work.update_or_insert({"title": "x"}, sold=False)
    found = dal.work.validate_and_insert(title="x", price="3.50", made_on="2030-01-01")
    assert_type(found["errors"], dict[str, str])
    dal.work.validate_and_update(key, price="4")
    row = dal.work(key)
    if row is not None:
        row.update_record(title="z")
        row.delete_record()
    assert_type(dal(dal.work.sold == True).delete(), int)  # noqa: E712


def tables_of_every_kind(dal: DAL) -> None:
    assert_type(dal.token.insert(id=uuid4(), text="x"), UUID)
    assert_type(dal.token(uuid4()), TokenRow | None)
    dal(dal.token.id == "7f3c8ab0-4d5e-4f5c-8f0a-6d3a7f1d2c11").select()
    dal.log.insert(line="x")
    assert_type(dal(dal.catalog).select().first(), CatalogRow | None)
    assert_type(dal(dal.a_thing.one == 1).select().first(), AThingRow | None)
    assert_type(dal(dal.b_thing.two == 1).select().first(), BThingRow | None)
    odd = dal(dal.odd.class_ == "x").select().first()
    if odd is not None:
        assert_type(odd.int, str | None)
        assert_type(odd.n9lives, str | None)
    dal.odd.insert(class_="x", date="y", update_="z", na_ve=None)
    assert_type(dal.odd(key="x", property="y"), OddRow | None)
    dal.odd.update_or_insert({"key": "x"}, key="x", values_="y")
    dal.pair.insert(left=1, right=date(2030, 1, 1))
    dal(dal.stock.id == 3).update(count=dal.stock.count + 1)


def by_hand(dal: DAL) -> int:
    dal.executesql("SELECT 1")
    dal.work.price.label = "Price"
    return dal(dal.work).count()


def open_them(app: Flask) -> None:
    with open_database() as database, database.session(read_only=True) as dal:
        assert_type(dal, DAL)
        assert_type(database.run(by_hand), int)
    assert_type(Database["DAL"].from_env(MIRROR), Database[DAL])
    ringfence: Ringfence[DAL] = Ringfence(app, mirror=MIRROR)
    assert_type(ringfence.dal, DAL)
    assert_type(Ringfence(app, database=open_database()).dal, DAL)


async def open_async() -> None:
    async with open_async_database() as database, database.session() as session:
        assert_type(database, AsyncDatabase[DAL])
        assert_type(await session.run(by_hand), int)
        assert_type(await database.run(by_hand), int)
