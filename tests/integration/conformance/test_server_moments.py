"""A moment that the server fills in means the same on every engine, whoever inserts, and is found by itself."""

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.runtime import Database, InterfaceError, Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import reach
from ringfence.schema.mirror import make_mirror
from servers.base import Database as ServerDatabase
from servers.base import Server
from support.pydal_sides import create

UTC = dt.UTC
NEAR = dt.timedelta(seconds=60)
FAMILY = ("mysql", "mariadb", "galera")
COLUMNS = ("made", "wall", "words")


@pytest.fixture(scope="session")
def clocks() -> Deployment:
    """The deployment of these tests."""
    return Deployment.load(Path(__file__).parent / "clock")


@pytest.fixture
def clock_db(
    recycled: Callable[[str, Callable[[ServerDatabase], object]], ServerDatabase], clocks: Deployment
) -> ServerDatabase:
    """A database with its table, and no rows."""
    return recycled("clock", lambda database: create(database, clocks))


@pytest.fixture
def clock(clock_db: ServerDatabase, clocks: Deployment) -> Iterator[Database]:
    """The service's door to it."""
    mirror = make_mirror(clocks, clocks.accounts["clock"], None)
    with Database(Settings.from_env(clock_db.env()), mirror) as database:
        yield database


def is_now(moment: dt.datetime) -> bool:
    """Whether a moment, in UTC where it has no zone, is about the present one."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return abs(aware - dt.datetime.now(UTC)) < NEAR


def finds_itself(dal: Any, key: int, column: str) -> None:
    """A row is found by its own moment, by every comparison."""
    field, table = dal.stamp[column], dal.stamp
    moment = table[key][column]
    step = dt.timedelta(microseconds=1)
    own = table.id == key
    for query in (
        field == moment, field >= moment, field <= moment, field.belongs([moment]), field > moment - step,
        field < moment + step, field.belongs([moment - step, moment]), (field == moment) & (field >= moment),
        field.belongs(dal(own)._select(field)), ~(field != moment), ~(field < moment), ~(field > moment),
    ):  # fmt: skip
        assert dal(own & query).count() == 1, str(query)
    for query in (field != moment, field < moment, field > moment, field == moment + step):
        assert dal(own & query).count() == 0, str(query)


def test_a_default_of_the_server_is_now_and_finds_its_row(clock: Database) -> None:
    with clock.session() as dal:
        key = int(dal.stamp.insert(label="x"))
        for column in COLUMNS:
            assert is_now(dal.stamp[key][column])
            finds_itself(dal, key, column)


def test_another_program_in_another_zone_inserts_the_same_moment(
    clock: Database, clock_db: ServerDatabase
) -> None:
    zone = {"postgresql": ["SET TIME ZONE '-05:00'"], "sqlite": []}.get(
        clock_db.server.engine, ["SET time_zone = '+05:00'"]
    )
    clock_db.execute(*zone, "INSERT INTO stamp (id, label) VALUES (7, 'other')")
    with clock.session() as dal:
        for column in COLUMNS:
            assert is_now(dal.stamp[7][column]), column
            finds_itself(dal, 7, column)


def test_sqlalchemy_and_the_runtime_agree_on_it(
    clock: Database, clock_db: ServerDatabase, clocks: Deployment
) -> None:
    table = clocks.tables["stamp"]
    engine = reach(Settings.from_env(clock_db.env())).engine()
    with engine.begin() as connection:
        (key,) = connection.execute(table.insert().values(label="sa")).inserted_primary_key
    with clock.session() as dal:
        row = dal.stamp[key]
        finds_itself(dal, key, "made")
    with engine.connect() as connection:
        for column in COLUMNS:
            query = sa.select(table.c.id).where(table.c[column] == row[column])
            assert connection.execute(query).scalars().all() == [key]
    engine.dispose()


@pytest.mark.engines("mysql", "mariadb")
def test_a_server_in_another_zone_means_utc(
    own_server: Callable[[str], Server], server: Server, clocks: Deployment
) -> None:
    made = own_server(server.engine).database()
    made.execute("SET GLOBAL time_zone = '+05:00'")  # the server is this test's own
    create(made, clocks)
    made.execute(
        "ALTER TABLE stamp MODIFY changed DATETIME(6) NULL"
        " DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)"
    )
    mirror = make_mirror(clocks, clocks.accounts["clock"], None)
    engine = reach(Settings.from_env(made.env())).engine()
    table = clocks.tables["stamp"]
    with Database(Settings.from_env(made.env()), mirror) as database:
        with database.session() as dal:
            key = int(dal.stamp.insert(label="x"))
            for column in (*COLUMNS, "changed"):
                assert is_now(dal.stamp[key][column]), column
                finds_itself(dal, key, column)
            dal(dal.stamp.id == key).update(changed=dt.datetime(2000, 1, 1, tzinfo=UTC))
            dal(dal.stamp.id == key).update(label="y")
            assert is_now(dal.stamp[key].changed)
            assert is_now(dal.executesql("SELECT NOW(6)")[0][0])
        with pytest.raises(InterfaceError, match="outlives the session"), database.session() as dal:
            dal.executesql("SET time_zone = '+03:00'")
        with engine.begin() as connection:
            connection.execute(table.update().values(label="z"))
            assert is_now(connection.execute(sa.select(table.c.changed)).scalar_one())
    engine.dispose()


@pytest.mark.engines("postgresql")
def test_every_session_is_in_utc_whatever_the_database_says(db: ServerDatabase, clocks: Deployment) -> None:
    db.execute(f"ALTER DATABASE {db.name} SET timezone TO 'Asia/Karachi'")
    assert db.execute("SHOW TimeZone") == [("Asia/Karachi",)]
    create(db, clocks)
    engine = reach(Settings.from_env(db.env())).engine()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW TimeZone").scalar_one() == "UTC"
    engine.dispose()
    mirror = make_mirror(clocks, clocks.accounts["clock"], None)
    with Database(Settings.from_env(db.env()), mirror) as database, database.session() as dal:
        assert dal.executesql("SHOW TimeZone") == [("UTC",)]
        key = int(dal.stamp.insert(label="x"))
        for column in COLUMNS:
            finds_itself(dal, key, column)
            assert is_now(dal.stamp[key][column])
    db.execute("INSERT INTO stamp (id, label) VALUES (7, 'other')")
    with Database(Settings.from_env(db.env()), mirror) as database, database.session() as dal:
        assert all(is_now(dal.stamp[7][column]) for column in COLUMNS)


FORMS = {
    "made": [
        "2030-01-01 10:00:00.000000", "2030-01-01 10:00:00", "2030-01-01T10:00:00Z", "2030-01-01T10:00:00.000Z",
        "2030-01-01 10:00:00+00:00", "2030-01-01 10:00:00.000+00", "2030-01-01T15:00:00+05:00", "2029-12-31T22:00:00-12:00",
        "2030-01-02T00:00+14:00", "2030-01-01 10:00",
    ],
    "wall": ["2030-01-01 10:00:00.000000", "2030-01-01 10:00:00", "2030-01-01T10:00:00", "2030-01-01T10:00"],
    "clock": ["10:00:00.000000", "10:00:00", "10:00", "10:00:00.0"],
}  # fmt: skip
MEANT = {
    "made": dt.datetime(2030, 1, 1, 10, tzinfo=UTC),
    "wall": dt.datetime(2030, 1, 1, 10),
    "clock": dt.time(10),
}


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize("column", FORMS)
def test_other_forms_of_text_are_found_by_their_own_moment(
    clock: Database, clock_db: ServerDatabase, column: str
) -> None:
    for number, text in enumerate(FORMS[column], 1):
        clock_db.execute(f"INSERT INTO stamp (id, label, {column}) VALUES ({number}, 'l', '{text}')")
    keys = list(range(1, len(FORMS[column]) + 1))
    meant = MEANT[column]
    with clock.session() as dal:
        table, field = dal.stamp, dal.stamp[column]
        other = table.insert(label="later", **{column: meant.replace(minute=30)})

        def found(query: Any) -> list[int]:
            return [int(row.id) for row in dal(query).select(table.id, orderby=table.id)]

        assert [row[column] for row in dal(table.id != other).select(field)] == [meant] * len(keys)
        assert found(field == meant) == keys
        assert found(field.belongs([meant])) == keys
        assert found(field <= meant) == keys
        assert found(field < meant.replace(second=1)) == keys
        assert found(field > meant) == [other]
        assert found(field >= meant) == [*keys, other]
        assert found(field != meant) == [other]
        assert found(field.belongs(dal(table.id == 1)._select(field))) == keys
        assert found(field == None) == []  # noqa: E711  # PyDAL's IS NULL
        assert len(dal(table).select(field, distinct=True)) == 2
        assert dal(table).count(distinct=field) == 2
        count = table.id.count()
        groups = dal(table).select(field, count, groupby=field, orderby=field)
        assert [(row.stamp[column], row[count]) for row in groups] == [
            (meant, len(keys)), (meant.replace(minute=30), 1),
        ]  # fmt: skip
        assert {row[field.max()] for row in dal(table).select(field.max())} == {meant.replace(minute=30)}
        assert {row[field.min()] for row in dal(table).select(field.min())} == {meant}
        ordered = dal(table).select(table.id, orderby=field | table.id)
        assert [row.id for row in ordered] == [*keys, other]
        twin = table.with_alias("twin")
        assert (
            dal((field == twin[column]) & (table.id == 1))
            .select(table.id, twin.id)
            .sort(lambda row: row.twin.id)
            .as_list()[-1]["twin"]["id"]
            == keys[-1]
        )
        assert dal(field == meant).update(label="seen") == len(keys)
        if column != "clock":
            assert {row[field.hour()] for row in dal(table).select(field.hour())} == {10}
        assert dal(field == meant).delete() == len(keys)


@pytest.mark.engines("sqlite")
def test_an_index_answers_for_moments(clock: Database) -> None:
    with clock.session() as dal:
        for query in (
            dal.stamp.made == MEANT["made"],
            dal.stamp.made.belongs([MEANT["made"]]),
            dal.stamp.made > MEANT["made"],
            dal.stamp.made < MEANT["made"],
        ):
            plan = dal.executesql("EXPLAIN QUERY PLAN " + dal(query)._select(dal.stamp.id))
            assert "USING" in plan[0][3], plan
            assert "ix_stamp_made" in plan[0][3], plan


MOMENTS = st.datetimes(min_value=dt.datetime(1, 1, 2), max_value=dt.datetime(9999, 12, 30))
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))


@pytest.mark.engines("sqlite")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(naive=MOMENTS, zone=OFFSETS, sep=st.sampled_from(" T"), spec=st.sampled_from(["auto", "microseconds"]))
def test_any_iso_form_of_a_moment_is_the_moment(
    clock: Database, clock_db: ServerDatabase, naive: dt.datetime, zone: dt.timezone, sep: str, spec: str
) -> None:
    moment = naive.replace(tzinfo=zone)
    clock_db.execute(
        "DELETE FROM stamp", f"INSERT INTO stamp (id, made) VALUES (1, '{moment.isoformat(sep, spec)}')"
    )
    with clock.session() as dal:
        assert dal.stamp[1].made == moment
        finds_itself(dal, 1, "made")
