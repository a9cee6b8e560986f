"""Defaults and on-updates happen on PyDAL's inserts and updates as they do on SQLAlchemy's."""

import datetime as dt
import importlib
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from ringfence.runtime import Database, Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import reach
from servers.base import Database as ServerDatabase

Deployment.load(Path(__file__).parent / "workshop")
models = importlib.import_module("workshop_models")  # found by now
Colour, Defaulted, Specimen = models.Colour, models.Defaulted, models.Specimen
NEAR = dt.timedelta(seconds=60)
COLUMNS = [column.key for column in sa.inspect(Defaulted).columns]


@pytest.fixture
def engine(workshop_db: ServerDatabase) -> Iterator[sa.Engine]:
    made = reach(Settings.from_env(workshop_db.env())).engine()
    yield made
    made.dispose()


def seen(engine: sa.Engine, key: int) -> dict[str, Any]:
    """A row as SQLAlchemy reads it."""
    with Session(engine) as session:
        row = session.get_one(Defaulted, key)
        return {name: getattr(row, name) for name in COLUMNS}


def alike(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Equal, but for what is made anew for each row."""
    for name in COLUMNS:
        assert type(ours[name]) is type(theirs[name]), name
        if isinstance(ours[name], dt.datetime):
            assert abs(ours[name] - theirs[name]) < NEAR
            assert abs(ours[name] - dt.datetime.now(dt.UTC)) < NEAR
        elif isinstance(ours[name], uuid.UUID):
            assert ours[name] != theirs[name]
        elif name != "id":
            assert ours[name] == theirs[name], name


def test_inserts_and_updates_are_alike(shop: Database, engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        row = Defaulted()
        session.add(row)
        session.flush()
        theirs = row.id
    with shop.session() as dal:
        ours = int(dal.defaulted.insert())
    alike(seen(engine, ours), seen(engine, theirs))
    assert seen(engine, ours)["changed"] is None
    with Session(engine) as session, session.begin():
        session.get_one(Defaulted, theirs).label = "other"
    with shop.session() as dal:
        assert dal(dal.defaulted.id == ours).update(label="other") == 1
    alike(seen(engine, ours), seen(engine, theirs))
    assert seen(engine, ours)["touched"] == "touched"
    assert seen(engine, ours)["changed"] is not None


def test_what_is_given_wins(shop: Database, engine: sa.Engine) -> None:
    with shop.session() as dal:
        key = int(
            dal.defaulted.insert(
                label="mine", active=False, note=None, choice="RED", by_server=1, bag={"a": 1}
            )
        )
        dal(dal.defaulted.id == key).update(touched="mine", changed=None)
    row = seen(engine, key)
    assert (row["label"], row["active"], row["note"], row["choice"]) == ("mine", False, None, Colour.RED)
    assert (row["by_server"], row["bag"], row["touched"], row["changed"]) == (1, {"a": 1}, "mine", None)


def test_what_a_default_makes_is_no_other_rows(shop: Database) -> None:
    with shop.session() as dal:
        keys = [dal.defaulted.insert(), dal.defaulted.insert()]
        first, second = (dal.defaulted[key] for key in keys)
        assert first.ident != second.ident
        first.bag["changed"] = True
        assert dal.defaulted[dal.defaulted.insert()].bag == {}
        assert (second.cost, second.choice, second.by_server) == (Decimal("1.50"), "GREEN", 7)


WRITTEN: dict[str, Any] = {
    "boolean": True,
    "small": -5,
    "whole": 7,
    "big": 2**40,
    "real": 0.1,
    "price": Decimal("-12.3400"),
    "name": "it's 100% \\ 😀",
    "story": "é" * 70_000,
    "blob": bytes(range(256)) * 300,
    "day": dt.date(2024, 2, 29),
    "clock": dt.time(23, 59, 59, 999999),
    "naive": dt.datetime(2024, 2, 29, 12, 0, 0, 123456),
    "moment": dt.datetime(2024, 2, 29, 12, 0, 0, 123456, dt.UTC),
    "span": dt.timedelta(days=-1, microseconds=1),
    "ident": uuid.UUID("12345678-1234-5678-1234-567812345678"),
    "document": {"a": [1, None, "x'y"]},
    "mood": "wild",
    "colour": Colour.RED,
}


def test_each_side_reads_what_the_other_wrote(shop: Database, engine: sa.Engine) -> None:
    with Session(engine) as session, session.begin():
        row = Specimen(**WRITTEN)
        session.add(row)
        session.flush()
        theirs = row.id
    with shop.session() as dal:
        read = dal.specimen[theirs]
        assert {name: read[name] for name in WRITTEN} == WRITTEN | {"colour": "RED"}
        ours = int(dal.specimen.insert(**WRITTEN))
        for name, value in WRITTEN.items():
            if name not in ("story", "blob"):
                assert dal(dal.specimen[name] == value).count() == 2, name
        assert dal(dal.specimen.colour.belongs([Colour.GREEN, Colour.RED])).count() == 2
        assert dal(dal.specimen.colour == "RED").count() == 2
    with Session(engine) as session:
        row = session.get_one(Specimen, ours)
        assert {name: getattr(row, name) for name in WRITTEN} == WRITTEN
