"""The types that PostgreSQL alone has: arrays, jsonb, citext, inet, identity."""

import datetime as dt
import io
import math
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydal import Field

from ringfence.runtime import JSON_NULL, Database, DataError, Settings, UniqueViolation
from ringfence.schema.deployment import Deployment
from ringfence.schema.mirror import make_mirror
from servers.base import Database as ServerDatabase
from support.pydal_sides import Side, case, create

pytestmark = [pytest.mark.engines("postgresql"), pytest.mark.newer]
HOSTILE = ["", "it's", "a,b", 'q"uote', "back\\slash", "NULL", "{}", "é😀", None]
MOMENT = dt.datetime(2024, 2, 29, 12, 0, 0, 123456, dt.UTC)
SAMPLES: dict[str, list[Any]] = {
    "texts": [[], HOSTILE],
    "names": [["short", None]],
    "numbers": [[1, -2, None]],
    "bigs": [[2**62]],
    "flags": [[True, False, None]],
    "reals": [[0.1, -1e300, None]],
    "prices": [[Decimal("1.50"), None, Decimal("-0.01")]],
    "days": [[dt.date(2024, 2, 29), None]],
    "moments": [[MOMENT, None]],
    "naives": [[MOMENT.replace(tzinfo=None)]],
    "clocks": [[dt.time(23, 59, 59, 999999)]],
    "idents": [[uuid.UUID(int=5), None]],
    "spans": [[dt.timedelta(days=-1, microseconds=1)]],
    "blobs": [[b"\0\xff'\\", None]],
    "addresses": [["10.0.0.1", "::1"]],
    "documents": [[{"a": 'it\'s, "q"'}, [1], None]],
    "plain": [{"a": 1}, JSON_NULL, 1e300, "x"],
    "binary": [{"b": [1, 2.5]}, JSON_NULL, 1e300, 1e16, 1.0, 10**400, "e+99"],
    "email": ["Ada@Example.org"],
    "address": ["10.0.0.1", "10.0.0.0/8", "2001:db8::1"],
    "exact": [Decimal("123456789012345678901234567890.123456789"), Decimal("1E-20")],
}


@pytest.fixture
def cabinet(
    from_template: Callable[[str, Callable[[ServerDatabase], object]], ServerDatabase],
) -> Iterator[Database]:
    deployment = Deployment.load(Path(__file__).parent / "cabinet")

    def build(database: ServerDatabase) -> None:
        database.execute("CREATE EXTENSION citext")
        create(database, deployment)

    made = from_template("cabinet", build)
    mirror = make_mirror(deployment, deployment.accounts["cabinet"], None)
    with Database(Settings.from_env(made.env()), mirror) as database:
        yield database


@pytest.mark.parametrize("column", SAMPLES)
def test_what_goes_in_comes_out(cabinet: Database, column: str) -> None:
    with cabinet.session() as dal:
        table = dal.curio
        for value in SAMPLES[column]:
            key = table.insert(**{column: value})
            read = table[key][column]
            assert read == value
            assert type(read) is type(value)
            assert [row.id for row in dal(table[column] == value).select(table.id)] == [key], value
            assert dal(table.id == key).update(**{column: value}) == 1
            assert dal(table[column].belongs([value])).count() == 1
            dal(table.id == key).delete()


def test_bulk_insert_of_arrays(cabinet: Database) -> None:
    with cabinet.session() as dal:
        dal.curio.bulk_insert([{"texts": HOSTILE, "moments": [MOMENT]}, {"texts": [], "moments": []}])
        rows = dal(dal.curio).select(orderby=dal.curio.id)
        assert [row.texts for row in rows] == [HOSTILE, []]
        assert rows.first().moments == [MOMENT]
        assert rows.first().moments[0].tzinfo is dt.UTC


def test_csv_reads_back_every_type(cabinet: Database) -> None:
    with cabinet.session() as dal:
        for column, values in SAMPLES.items():
            dal.curio.bulk_insert([{column: value} for value in values])
        query, names = dal.curio, list(SAMPLES)
        fields = [dal.curio[name] for name in names]
        before = [row.as_dict() for row in dal(query).select(*fields, orderby=dal.curio.id)]
        file = io.StringIO(newline="")
        dal(query).iterselect(orderby=dal.curio.id).export_to_csv_file(file)
        dal(query).delete()
        dal.curio.import_from_csv_file(io.StringIO(file.getvalue(), newline=""))
        assert [row.as_dict() for row in dal(query).select(*fields, orderby=dal.curio.id)] == before


def test_citext_is_equal_whatever_the_case(cabinet: Database) -> None:
    with cabinet.session() as dal:
        key = dal.curio.insert(email="Ada@Example.org")
        assert dal(dal.curio.email == "ada@EXAMPLE.org").select().first().id == key
        with pytest.raises(UniqueViolation), cabinet.session():
            dal.curio.insert(email="ADA@example.ORG")


def test_numbers_that_are_none(cabinet: Database) -> None:
    with cabinet.session() as dal:
        key = dal.curio.insert(reals=[float("inf"), float("-inf"), float("nan")])
        most, least, none = dal.curio[key].reals
        assert (most, least) == (math.inf, -math.inf)
        assert math.isnan(none)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("texts", "text"), ("texts", [1]), ("texts", ["nul\0"]), ("names", ["x" * 11]), ("numbers", [2**31]),
        ("prices", [Decimal("0.001")]), ("address", "10.0.0.300"), ("address", "nowhere"), ("binary", {"a": "nul\0"}),
        ("plain", ["nul\0"]), ("binary", {"\ud800": 1}), ("exact", "NaN"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(cabinet: Database, column: str, value: object) -> None:
    with pytest.raises(DataError, match=f"curio.{column}"), cabinet.session() as dal:
        dal.curio.insert(**{column: value})


@case("Types", "an array is written and read")
def test_stock_arrays(side: Side) -> None:
    side.database.execute("CREATE TABLE curio (id SERIAL PRIMARY KEY, texts TEXT[])")
    given = ["it's", "a|b", ""]
    if side.name == "stock":
        side.dal.define_table("curio", Field("texts", "list:string"), migrate=False)  # type: ignore[attr-defined]
        door = side
    else:
        deployment = Deployment.load(Path(__file__).parent / "cabinet")
        door = side.another(mirror=make_mirror(deployment, deployment.accounts["cabinet"], None))
    with door.session() as dal:
        key = dal.curio.insert(texts=given)
        assert dal(dal.curio.id == key).select(dal.curio.texts).first().texts == given
