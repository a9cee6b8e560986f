"""Models that others wrote: a service stores and reads in their columns what comes back as it was, and is told the rest."""

import datetime as dt
import io
import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ringfence.runtime import Database, DataError, Mirror, Settings
from ringfence.runtime.errors import ForeignKeyViolation, UniqueViolation
from ringfence.runtime.mirror import Table
from ringfence.schema.deployment import Deployment
from ringfence.schema.mirror import make_mirror
from ringfence.schema.review.lint import lint
from servers.base import Database as ServerDatabase
from support.pydal_sides import create


@pytest.fixture(scope="module")
def borrowed() -> Deployment:
    return Deployment.load(Path(__file__).parent / "borrowed")


@pytest.fixture
def database(
    recycled: Callable[[str, Callable[[ServerDatabase], object]], ServerDatabase], borrowed: Deployment
) -> ServerDatabase:
    return recycled("borrowed", lambda made: create(made, borrowed))


@pytest.fixture
def depot(database: ServerDatabase, borrowed: Deployment) -> Iterator[Database]:
    mirror = Mirror.parse(json.loads(make_mirror(borrowed, borrowed.accounts["depot"], None).to_json()))
    mirror = replace(mirror, tables={key: _straight(table) for key, table in mirror.tables.items()})
    with Database(Settings.from_env(database.env()), mirror) as found:
        yield found


def _straight(table: Table) -> Table:
    """Through no view: the admin's own rights reach the table."""
    return replace(table, verbs={verb: replace(given, relations={}) for verb, given in table.verbs.items()})


def _only(depot: Database) -> Any:
    with depot.session() as dal:
        return dal(dal.parcel).select().first()


def test_what_the_models_fill_in_is_filled_in_where_it_is_known(
    depot: Database, admin: sa.Connection
) -> None:
    before = dt.datetime.now(dt.UTC)
    with depot.session() as dal:
        dal.parcel.insert(share=None)
    row, after = _only(depot), dt.datetime.now(dt.UTC)
    assert row.weight == 1.5
    assert row.made.microsecond == 0
    assert row.made.tzinfo is None
    assert before.replace(microsecond=0) <= row.made.replace(tzinfo=dt.UTC) <= after
    assert before.replace(microsecond=0) <= row.moved <= after
    assert before.replace(microsecond=0) <= row.seen <= after
    assert before.timestamp() * 1000 - 1 <= row.taken <= after.timestamp() * 1000
    assert row.day in (before.date(), after.date())
    assert (row.label, row.extra) == ("LOW", {})
    assert uuid.UUID(row.id).hex == row.id
    assert uuid.UUID(row.token).hex == row.token
    assert "shape" not in row
    stored = admin.execute(sa.text("SELECT id, label, token FROM parcel")).one()
    assert tuple(stored) == (row.id, "LOW", row.token)


def test_what_it_stores_sqlalchemy_reads_and_the_other_way_round(
    depot: Database, admin: sa.Connection, borrowed: Deployment
) -> None:
    moment = dt.datetime(2026, 3, 4, 5, 6, 7, tzinfo=dt.UTC)
    told: dict[str, Any] = {
        "id": "0" * 32,
        "weight": 0.1,
        "made": moment.replace(tzinfo=None),
        "moved": moment,
        "seen": moment,
        "at": dt.time(7, 8, 9),
        "price": Decimal(12),
        "taken": 2**40,
        "day": moment.date(),
        "label": "HIGH",
        "extra": {"a": [1, None]},
        "token": uuid.UUID(int=7).hex,
        "share": 0.25,
    }
    table = borrowed.tables["parcel"]
    with depot.session() as dal:
        dal.parcel.insert(**told)
    seen = admin.execute(sa.select(table)).one()._asdict()
    del seen["guid"]  # which has a test of its own
    by_sqlalchemy = told | {"token": uuid.UUID(told["token"]), "sender_id": None, "shape": None}
    for name in ("moved", "seen"):
        seen[name] = seen[name] if seen[name].tzinfo else seen[name].replace(tzinfo=dt.UTC)
    by_sqlalchemy["extra"] = seen["extra"] if isinstance(seen["extra"], str) else told["extra"]
    assert seen == by_sqlalchemy
    admin.execute(table.delete())
    admin.execute(table.insert().values(**by_sqlalchemy | {"extra": told["extra"]}))
    admin.commit()
    row = _only(depot)
    assert {name: row[name] for name in told} == told
    with depot.session() as dal:
        for name, value in told.items():
            if name != "extra":
                assert dal(dal.parcel[name] == value).count() == 1, name


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"made": dt.datetime(2026, 1, 1, 0, 0, 0, 1)}, "whole seconds"),
        ({"at": dt.time(1, 2, 3, 4)}, "whole seconds"),
        ({"price": Decimal("1.5")}, "decimal places"),
        ({"weight": 0.123456789}, "6 digits"),
        ({"label": "x" * 21}, "longer than 20"),
        ({}, "parcel.share: give a value, or None: the models fill it in with borrowed_models.draw"),
    ],
)
def test_what_would_not_come_back_is_refused_by_its_value(
    depot: Database, value: dict[str, Any], why: str
) -> None:
    with depot.session() as dal, pytest.raises(DataError, match=why):
        dal.parcel.insert(**({"share": None} if value else {}), **value)
    assert _only(depot) is None


@pytest.mark.engines("postgresql")
def test_a_char_that_would_be_filled_up_is_refused(depot: Database) -> None:
    with depot.session() as dal, pytest.raises(DataError, match="would add 31 blanks"):
        dal.parcel.insert(id="x", share=None)


@pytest.mark.engines("mysql", "mariadb", "galera")
def test_a_char_whose_blanks_would_go_is_refused(depot: Database) -> None:
    with depot.session() as dal, pytest.raises(DataError, match="strip them first"):
        dal.parcel.insert(id="x ", share=None)


def test_a_uuid_in_the_form_of_each_engine_is_one(
    depot: Database, admin: sa.Connection, borrowed: Deployment
) -> None:
    table, one = borrowed.tables["parcel"], uuid.uuid4()
    with depot.session() as dal:
        dal.parcel.insert(share=None, guid=one)
        dal.parcel.insert(share=None)
    assert admin.execute(sa.select(sa.func.count()).where(table.c.guid == one.hex)).scalar() == 1
    admin.execute(table.delete())
    admin.execute(table.insert().values(weight=1, share=None, shape=None, guid=one.hex))
    admin.commit()
    with depot.session() as dal:
        assert dal(dal.parcel.guid == one).select().first().guid == one
        assert dal(dal.parcel.guid == str(one)).update(weight=2) == 1


def test_constraints_without_a_name_are_reported_by_their_columns(depot: Database) -> None:
    with depot.session() as dal:
        dal.sender.insert(name="Ada")
    with pytest.raises(UniqueViolation) as twice, depot.session() as dal:
        dal.sender.insert(name="Ada")
    assert twice.value.columns == ("name",)
    with pytest.raises(ForeignKeyViolation) as broken, depot.session() as dal:
        dal.parcel.insert(sender_id=99, share=None)
    if broken.value.constraint is not None:  # SQLite names none
        assert broken.value.columns == ("sender_id",)
    with depot.session() as dal:
        assert dal.sender.update_or_insert(dal.sender.name == "Ada", name="Ada") is None


def test_tables_that_refer_to_each_other_in_a_circle_are_walked_both_ways(depot: Database) -> None:
    with depot.session() as dal:
        dog = dal.dog.insert(other_id=None)
        house = dal.house.insert(other_id=dog)
        owner = dal.owner.insert(other_id=house, parent_id=None)
        dal(dal.dog.id == dog).update(other_id=owner, parent_id=dog)
    with depot.session() as dal:
        row = dal(dal.owner).select().first()
        assert row.other_id.other_id.other_id.id == owner
        assert [each.id for each in row.dog.select()] == [dog]
        assert [each.id for each in dal.dog[dog].house.select()] == [house]
        assert dal.dog[dog].parent_id.id == dog
        # All in a file, and back.
        file, circle = io.StringIO(newline=""), ("dog", "house", "owner")
        before = {name: dal(dal[name]).select().as_list() for name in circle}
        dal.export_to_csv_file(file)
        dal(dal.dog).update(other_id=None, parent_id=None)
        assert [dal(dal[name]).delete() for name in ("owner", "house", "dog")] == [1, 1, 1]
        text = "".join(
            f"TABLE {name}{file.getvalue().partition(f'TABLE {name}')[2].partition('TABLE ')[0]}"
            for name in circle
        )
        dal.import_from_csv_file(io.StringIO(text, newline=""))
        assert {name: dal(dal[name]).select().as_list() for name in circle} == before
        dal(dal.dog.id == dog).update(other_id=None)


def test_the_lint_says_what_a_service_gives_itself_and_sees_otherwise(borrowed: Deployment) -> None:
    found = [str(each) for each in lint(borrowed)]
    given = [each for each in found if "service-default" in each]
    assert [each.split(": ")[0] for each in given] == ["access.yaml:4"]
    assert "'depot' has insert on 'parcel', and gives itself share (the models fill it in with" in given[0]
    notes = "\n".join(each for each in found if "models-note" in each)
    assert (
        "borrowed_models:Utc on postgresql, mariadb, galera, mysql, sqlite converts values in Python" in notes
    )
    assert (
        "ringfence.toml:3: note models-note: models: 'alembic_version' is among them, and left out" in notes
    )
    assert re.search(
        r"borrowed_models\.py:\d+: note models-note: parcel\.moved: .* on .*sqlite keeps no zone", notes
    )


def test_a_key_that_defaults_make_is_reported_where_the_server_returns_it(
    depot: Database, database: ServerDatabase, admin: sa.Connection, borrowed: Deployment
) -> None:
    with depot.session() as dal:
        keys = [dal.protocol.insert(scheme="https"), dal.protocol.insert(scheme="ftp", host="h")]
        known = dal.protocol.insert(scheme="ssh", host="h", port=22)
    assert known == {"scheme": "ssh", "host": "h", "port": 22}
    if database.server.engine == "postgresql":
        assert keys == [{"scheme": "https", "host": "", "port": 0}, {"scheme": "ftp", "host": "h", "port": 0}]
    else:
        assert keys == [None, None]
    stored = admin.execute(sa.select(borrowed.tables["protocol"]).order_by("scheme")).all()
    assert [tuple(row) for row in stored] == [("ftp", "h", 0), ("https", "", 0), ("ssh", "h", 22)]
