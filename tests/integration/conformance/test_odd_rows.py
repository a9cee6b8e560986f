"""What other programs stored and Python has no form for: the exact value, or an error that says column and key."""

import asyncio
import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from ringfence.runtime import (
    JSON_NULL,
    Database,
    DataError,
    Mirror,
    RingfenceError,
    Settings,
    UnreadableValue,
)
from ringfence.runtime.aio import AsyncDatabase
from servers.base import Database as ServerDatabase

UTC = dt.UTC
FAMILY = ("mysql", "mariadb", "galera")

_POSTGRESQL = [
    ("day", "'infinity'", "infinity"),
    ("day", "'-infinity'", "infinity"),
    ("day", "'10000-06-23'", "year 9999"),
    ("day", "'102024-01-02'", "year 9999"),
    ("day", "'0044-03-15 BC'", "year 1"),
    ("naive", "'infinity'", "infinity"),
    ("naive", "'-infinity'", "infinity"),
    ("naive", "'12026-01-01 00:00'", "year 9999"),
    ("naive", "'101112-01-01 00:00'", "year 9999"),
    ("naive", "'0044-03-15 10:00 BC'", "year 1"),
    ("moment", "'infinity'", "infinity"),
    ("moment", "'-infinity'", "infinity"),
    ("moment", "'12026-01-01 00:00+00'", "year 9999"),
    ("moment", "'0044-03-15 10:00+00 BC'", "year 1"),
    ("clock", "'24:00:00'", "24:00"),
    ("span", "'1 month'", "months"),
    ("span", "'2 years -3 days'", "months"),
    ("span", "'infinity'", "infinity"),
    ("span", "'2147483647 days'", "Python can hold"),
    ("document", "'[1e-400]'", "no float keeps"),
]
_FAMILY = [
    ("day", "'0000-00-00'", "zero date"),
    ("day", "'2030-02-00'", "zero date"),
    ("day", "'0000-05-01'", "zero date"),
    ("naive", "'0000-00-00 00:00:00'", "zero date"),
    ("naive", "'2030-02-00 10:00:00'", "zero date"),
    ("moment", "'0000-00-00 00:00:00'", "zero date"),
    ("moment", "'2030-00-01 00:00:00'", "zero date"),
    ("clock", "'25:00:00'", "length of time"),
    ("clock", "'-01:00:00'", "length of time"),
    ("clock", "'838:59:59'", "length of time"),
    ("boolean", "2", "neither true nor false"),
]
_SQLITE = [
    ("boolean", "2", "neither"),
    ("boolean", "'yes'", "neither"),
    ("small", "1.5", "floating-point"),
    ("whole", "'many'", "text"),
    ("whole", "x'00'", "bytes"),
    ("big", "9223372036854775808.0", "floating-point"),
    ("real", "'fast'", "text"),
    ("price", "'abc'", "text"),
    ("price", "1.23456", "floating-point"),
    ("price", "x'31'", "bytes"),
    ("name", "x'6162'", "bytes"),
    ("story", "x'6162'", "bytes"),
    ("blob", "'text'", "text"),
    ("blob", "7", "whole number"),
    ("day", "'soon'", "text"),
    ("day", "20300101", "whole number"),
    ("day", "'2030-01-01 10:00:00'", "text"),
    ("clock", "'noon'", "text"),
    ("clock", "'10:00:00Z'", "text"),
    ("naive", "'soon'", "text"),
    ("naive", "1893456000", "whole number"),
    ("naive", "'2030-01-01T10:00:00Z'", "text"),
    ("moment", "'soon'", "text"),
    ("moment", "1893456000", "whole number"),
    ("moment", "1893456000.5", "floating-point"),
    ("moment", "'2030-01-01 10:00:00.123456789Z'", "text"),
    ("span", "1.5", "floating-point"),
    ("span", "'long'", "text"),
    ("ident", "'none'", "text"),
    ("document", "'{bad'", "JSON"),
    ("document", "'[NaN]'", "no JSON"),
    ("document", "'{\"a\": -Infinity}'", "no JSON"),
    ("document", "'[1e400]'", "no float keeps"),
    ("document", "1e999", "no float keeps"),
    ("colour", "x'00'", "bytes"),
]


def store(database: ServerDatabase, column: str, literal: str) -> int:
    """Store what the runtime would not, as another program, between two rows without fault."""
    lax = ["SET sql_mode = ''"] if database.server.engine in FAMILY else []
    database.execute(
        *lax, *(f"INSERT INTO specimen (id, {column}) VALUES ({key}, {value})" for key, value in
                ((1, "NULL"), (2, literal), (3, "NULL")))
    )  # fmt: skip
    return 2


@pytest.mark.engines("postgresql")
@pytest.mark.parametrize(("column", "literal", "why"), _POSTGRESQL)
def test_postgresql_has_values_without_a_form(
    shop: Database, workshop_db: ServerDatabase, column: str, literal: str, why: str
) -> None:
    if (column, literal) == ("span", "'infinity'") and not has_infinite_intervals(shop):
        pytest.skip("PostgreSQL has infinite intervals from 17 on")
    named(shop, workshop_db, column, literal, why)


def has_infinite_intervals(shop: Database) -> bool:
    sql = "SELECT current_setting('server_version_num')::int / 10000"
    with shop.session() as dal:
        return bool(dal.executesql(sql)[0][0] >= 17)


@pytest.mark.engines("postgresql")
def test_what_has_no_form_is_text_to_sql_of_the_programs_own(shop: Database) -> None:
    odd = {
        "date": ["infinity", "-infinity", "0044-03-15 BC", "10000-01-01"],
        "timestamp": ["infinity", "0044-03-15 10:00:00 BC"],
        "time": ["24:00:00"],
        "timetz": ["24:00:00+00"],
        "interval": ["1 mon", "2147483647 days"],
    }
    with shop.session() as dal:
        for kind, texts in odd.items():
            for text in texts:
                rows = dal.executesql(f"SELECT %s::{kind}, ARRAY[%s::{kind}]", [text, text])
                assert rows == [(text, [text])], kind
        rows = dal.executesql("SELECT '10:00+05:30'::timetz, '1 day -00:00:01'::interval")
        zone = dt.timezone(dt.timedelta(hours=5, minutes=30))
        assert rows == [(dt.time(10, tzinfo=zone), dt.timedelta(seconds=86399))]


@pytest.mark.engines(*FAMILY)
@pytest.mark.parametrize(("column", "literal", "why"), _FAMILY)
def test_mysql_and_mariadb_have_values_without_a_form(
    shop: Database, workshop_db: ServerDatabase, column: str, literal: str, why: str
) -> None:
    named(shop, workshop_db, column, literal, why)


@pytest.mark.engines("mariadb", "galera")
@pytest.mark.parametrize("literal", ["'1e400'", "'{\"a\": [-1E+309]}'", "'1e-400'", f"'{'9' * 400}.5'"])
def test_mariadb_keeps_numbers_in_json_that_are_no_floats(
    shop: Database, workshop_db: ServerDatabase, literal: str
) -> None:
    named(shop, workshop_db, "document", literal, "no float keeps")


@pytest.mark.engines(*FAMILY, "sqlite")
def test_a_length_of_time_that_is_too_long_is_refused_before_it_is_stored(shop: Database) -> None:
    longest = dt.timedelta(microseconds=2**63 - 1)
    with shop.session() as dal:
        for span in (longest, -longest):
            assert dal.specimen[dal.specimen.insert(span=span)].span == span
        for span in (longest + dt.timedelta(microseconds=1), dt.timedelta.max, dt.timedelta.min):
            with pytest.raises(DataError, match=r"specimen\.span: .*64 bits"):
                dal.specimen.insert(span=span)
        assert dal(dal.specimen).count() == 2


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize(("column", "literal", "why"), _SQLITE)
def test_sqlite_keeps_any_value_in_any_column(
    shop: Database, workshop_db: ServerDatabase, column: str, literal: str, why: str
) -> None:
    named(shop, workshop_db, column, literal, why)


def named(shop: Database, workshop_db: ServerDatabase, column: str, literal: str, why: str) -> None:
    """On every path the error says column and key, and the session goes on."""
    key = store(workshop_db, column, literal)
    paths: dict[str, Callable[[Any], Any]] = {
        "by key": lambda dal: dal.specimen[key],
        "select": lambda dal: dal(dal.specimen).select(),
        "two columns": lambda dal: dal(dal.specimen).select(dal.specimen.id, dal.specimen[column]),
        "as_list": lambda dal: dal(dal.specimen).select().as_list(),
        "iterselect": lambda dal: list(dal(dal.specimen).iterselect()),
        "join": lambda dal: dal(dal.specimen.id == dal.tally.id).select(dal.specimen.ALL, dal.tally.name),
        "left join": lambda dal: dal(dal.specimen).select(
            dal.specimen.ALL, dal.tally.name, left=dal.tally.on(dal.tally.id == dal.specimen.id)
        ),
        "with an expression": lambda dal: dal(dal.specimen).select(dal.specimen.ALL, dal.specimen.id * 2),
        "cacheable": lambda dal: dal(dal.specimen).select(cacheable=True),
    }
    workshop_db.execute(*(f"INSERT INTO tally (id, name, hits) VALUES ({k}, 'n{k}', 0)" for k in (1, 2, 3)))
    for name, path in paths.items():
        with pytest.raises(UnreadableValue, match=why) as caught, shop.session() as dal:
            path(dal)
        error = caught.value
        assert (error.table, error.column, error.key) == ("specimen", column, {"id": key}), name
        assert f"specimen.{column} of the row id={key} " in str(error), name
        assert error.__context__ is None, name
    with shop.session() as dal:
        with pytest.raises(UnreadableValue, match="select its key too"):
            dal(dal.specimen).select(dal.specimen[column])
        # the session goes on, and so do the other rows, and the other columns of this one
        assert [row.id for row in dal(dal.specimen).select(dal.specimen.id, orderby=dal.specimen.id)] == [
            1,
            2,
            3,
        ]
        assert dal.specimen[1][column] is None
        assert dal(dal.specimen.id == key).update(**{column: None}) == 1
        assert dal.specimen[key][column] is None


@pytest.mark.engines("postgresql", *FAMILY, "sqlite")
def test_an_odd_row_is_named_in_asyncio_and_in_a_maximum(
    shop: Database, workshop_db: ServerDatabase, workshop_mirror: Mirror
) -> None:
    literal = {"postgresql": "'infinity'", "sqlite": "'soon'"}.get(workshop_db.server.engine, "'0000-00-00'")
    store(workshop_db, "day", literal)

    async def ask() -> None:
        settings = Settings.from_env(workshop_db.env())
        async with AsyncDatabase(settings, workshop_mirror) as adb, adb.session() as session:
            await session.run(lambda dal: dal(dal.specimen).select())

    with pytest.raises(UnreadableValue, match=r"specimen\.day of the row id=2 "):
        asyncio.run(ask())
    with pytest.raises(UnreadableValue, match=r"expression of specimen\.day"), shop.session() as dal:
        dal(dal.specimen).select(dal.specimen.day.max()).first()


@pytest.mark.engines("sqlite")
def test_text_that_is_no_utf_8_is_named(shop: Database, workshop_db: ServerDatabase) -> None:
    key = store(workshop_db, "name", "CAST(x'ff41' AS TEXT)")
    for read in (lambda dal: dal.specimen[key], lambda dal: dal(dal.specimen).select()):
        with pytest.raises(UnreadableValue, match="bytes") as caught, shop.session() as dal:
            read(dal)
        assert (caught.value.column, caught.value.key) == ("name", {"id": key})
    with pytest.raises(UnreadableValue, match=r"specimen\.name .* UTF-8") as caught, shop.session() as dal:
        list(dal(dal.specimen).iterselect())
    assert "A" not in str(caught.value.__cause__)
    with shop.session() as dal:
        assert dal(dal.specimen.name == "x").count() == 0
        assert [row.name for row in dal(dal.specimen.id != key).select()] == [None, None]


EXACT = {
    "postgresql": [
        ("price", "'NaN'", "NaN"),
        ("real", "'Infinity'", float("inf")),
        ("real", "'-Infinity'", float("-inf")),
        ("document", "'null'", JSON_NULL),
        ("day", "'9999-12-31'", dt.date(9999, 12, 31)),
        ("day", "'0001-01-01'", dt.date(1, 1, 1)),
        ("naive", "'9999-12-31 23:59:59.999999'", dt.datetime.max),
        ("moment", "'9999-12-31 23:59:59.999999+00'", dt.datetime.max.replace(tzinfo=UTC)),
        ("moment", "'2030-01-01 10:00:00.1+05:30'", dt.datetime(2030, 1, 1, 4, 30, 0, 100000, UTC)),
        ("span", "'-1 days +00:00:00.000001'", dt.timedelta(days=-1, microseconds=1)),
        ("span", "'800:00:00'", dt.timedelta(hours=800)),
    ],
    "sqlite": [
        ("moment", "'2030-01-01 10:00:00'", dt.datetime(2030, 1, 1, 10, tzinfo=UTC)),
        ("moment", "'2030-01-01T10:00:00Z'", dt.datetime(2030, 1, 1, 10, tzinfo=UTC)),
        ("moment", "'2030-01-01T15:00:00+05:00'", dt.datetime(2030, 1, 1, 10, tzinfo=UTC)),
        ("moment", "'2030-01-01 10:00:00.5'", dt.datetime(2030, 1, 1, 10, 0, 0, 500000, UTC)),
        ("moment", "'2030-01-01 10:00:00.123456000Z'", dt.datetime(2030, 1, 1, 10, 0, 0, 123456, UTC)),
        ("moment", "'2030-01-01'", dt.datetime(2030, 1, 1, tzinfo=UTC)),
        ("naive", "'2030-01-01 10:00:00'", dt.datetime(2030, 1, 1, 10)),
        ("naive", "'2030-01-01T10:00'", dt.datetime(2030, 1, 1, 10)),
        ("real", "9e999", float("inf")),
        ("price", "9e999", "Infinity"),
        ("price", "0.1 + 0.2", Decimal("0.3000")),
        ("price", "7", Decimal("7.0000")),
        ("document", "'null'", JSON_NULL),
    ],
    "family": [
        ("clock", "'23:59:59.999999'", dt.time(23, 59, 59, 999999)),
        ("day", "'9999-12-31'", dt.date(9999, 12, 31)),
        ("naive", "'9999-12-31 23:59:59.999999'", dt.datetime.max),
        ("document", "'null'", JSON_NULL),
    ],
}


@pytest.mark.parametrize("path", ["by key", "iterselect", "expression"])
def test_a_value_with_a_form_is_exact(shop: Database, workshop_db: ServerDatabase, path: str) -> None:
    engine = workshop_db.server.engine
    rows = EXACT["family" if engine in FAMILY else engine]
    for number, (column, literal, _) in enumerate(rows, 1):
        workshop_db.execute(f"INSERT INTO specimen (id, {column}) VALUES ({number}, {literal})")
    with shop.session() as dal:
        table = dal.specimen
        for number, (column, literal, wanted) in enumerate(rows, 1):
            if path == "by key":
                read = table[number][column]
            elif path == "iterselect":
                read = next(iter(dal(table.id == number).iterselect(table[column])))[column]
            elif column == "document":
                continue
            else:
                highest = table[column].max()
                read = dal(table.id == number).select(highest).first()[highest]
            if isinstance(wanted, str):  # NaN equals nothing
                assert str(read) == wanted
                assert isinstance(read, Decimal)
            else:
                assert read == wanted, literal
                assert type(read) is type(wanted), literal


def test_an_error_of_an_odd_row_is_one_of_the_tree() -> None:
    assert issubclass(UnreadableValue, RingfenceError)
