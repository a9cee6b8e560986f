"""The types that MySQL and MariaDB alone have: every value of the column is stored, found and read; others are refused."""

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.runtime import Database, DataError, Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import reach
from ringfence.schema.mirror import make_mirror
from servers.base import Database as ServerDatabase
from support.pydal_sides import create

pytestmark = pytest.mark.engines("mysql", "mariadb", "galera")
LABELS = ("red", "green", "dark blue", "it's", "é😀")
BOUNDS = {
    "tiny": (-128, 127),
    "utiny": (0, 255),
    "usmall": (0, 2**16 - 1),
    "medium": (-(2**23), 2**23 - 1),
    "umedium": (0, 2**24 - 1),
    "uint": (0, 2**32 - 1),
    "zint": (0, 2**32 - 1),
    "ubig": (0, 2**64 - 1),
    "flag": (0, 1),
    "bits": (0, 15),
    "word": (0, 2**64 - 1),
}
SAMPLES: dict[str, list[Any]] = {
    **{name: list({least, most, most // 2 + 1}) for name, (least, most) in BOUNDS.items()},
    "ureal": [0.0, 1e300],
    "uprice": [Decimal("0.00"), Decimal("99999999.99")],
    "born": [0, 1901, 2155],
    "colours": [set(), {"red"}, {"é😀", "red"}, set(LABELS)],
    "raw": [bytes(16), bytes(range(16)), b"\xff" * 15 + b"\0", b"'\\\"" * 5 + b" "],
    "other": [b"", b"\0", b"ab\0", b"\xff" * 16],
}


@pytest.fixture(scope="session")
def meters() -> Deployment:
    """The deployment of these tests."""
    return Deployment.load(Path(__file__).parent / "meter")


@pytest.fixture
def meter_db(
    recycled: Callable[[str, Callable[[ServerDatabase], object]], ServerDatabase], meters: Deployment
) -> ServerDatabase:
    """A database with its table, and no rows."""
    return recycled("meter", lambda database: create(database, meters))


@pytest.fixture
def meter(meter_db: ServerDatabase, meters: Deployment) -> Iterator[Database]:
    """The service's door to it."""
    mirror = make_mirror(meters, meters.accounts["meter"], None)
    with Database(Settings.from_env(meter_db.env()), mirror) as database:
        yield database


@pytest.mark.parametrize("column", SAMPLES)
def test_the_whole_range_is_stored_found_and_read(
    meter: Database, meter_db: ServerDatabase, meters: Deployment, column: str
) -> None:
    engine = reach(Settings.from_env(meter_db.env())).engine()
    table = meters.tables["dial"]
    with meter.session() as dal:
        keys = [(int(dal.dial.insert(**{column: value})), value) for value in SAMPLES[column]]
        for key, value in keys:
            read = dal.dial[key][column]
            assert (read, type(read)) == (value, type(value))
            assert [row.id for row in dal(dal.dial[column] == value).select(dal.dial.id)] == [key]
            assert [row.id for row in dal(dal.dial[column].belongs([value])).select(dal.dial.id)] == [key]
            assert next(iter(dal(dal.dial.id == key).iterselect()))[column] == value
            assert dal(dal.dial.id == key).update(**{column: value}) == 1
    with engine.connect() as connection:
        for key, value in keys:
            read = connection.execute(sa.select(table.c[column]).where(table.c.id == key)).scalar_one()
            read = int.from_bytes(read) if isinstance(read, bytes) and isinstance(value, int) else read
            assert read == value
    engine.dispose()


def test_csv_reads_back_every_type(meter: Database) -> None:
    with meter.session() as dal:
        for column, values in SAMPLES.items():
            dal.dial.bulk_insert([{column: value} for value in values])
        before, file = dal(dal.dial).select(orderby=dal.dial.id).as_list(), io.StringIO(newline="")
        dal(dal.dial).select().export_to_csv_file(file)
        dal(dal.dial).delete()
        dal.dial.import_from_csv_file(io.StringIO(file.getvalue(), newline=""))
        assert dal(dal.dial).select(orderby=dal.dial.id).as_list() == before


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *((name, least - 1) for name, (least, _) in BOUNDS.items()),
        *((name, most + 1) for name, (_, most) in BOUNDS.items()),
        ("ureal", -0.5),
        ("uprice", Decimal("-0.01")),
        ("born", 1),  # which the server would store as 2001
        ("born", 1900),
        ("born", 2156),
        ("colours", {"violet"}),
        ("colours", "red,violet"),
        ("colours", 3),
        ("raw", b"short"),
        ("raw", bytes(17)),
        ("other", bytes(17)),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_sent(meter: Database, column: str, value: Any) -> None:
    with pytest.raises(DataError, match=f"dial.{column}: "), meter.session() as dal:
        dal.dial.insert(**{column: value})
    with meter.session() as dal:
        assert dal(dal.dial).count() == 0
        assert column in {"born", "colours"} or dal(dal.dial[column] == value).count() == 0


def test_keys_above_half_their_range(meter: Database, meter_db: ServerDatabase) -> None:
    meter_db.execute("INSERT INTO dial (id, ubig) VALUES (18446744073709551000, 7)")
    with meter.session() as dal:
        made = dal.dial.insert(parent_id=18446744073709551000)
        # A node of Galera counts in steps of the cluster's size.
        assert 18446744073709551000 < made < 18446744073709551010
        assert dal.dial[made].parent_id == 18446744073709551000
        assert dal.dial[made].parent_id.ubig == 7
        assert dal(dal.dial.id == 18446744073709551000).select().first().ubig == 7
        keys = dal.dial.bulk_insert([{"ubig": 1}, {"ubig": 2}])
        if keys != [None, None]:  # MySQL gives none
            assert made < keys[0] < keys[1] < 18446744073709551020
            assert [dal.dial[key].ubig for key in keys] == [1, 2]
        assert dal(dal.dial).select(dal.dial.ubig.sum()).first()[dal.dial.ubig.sum()] == 10
        assert dal(dal.dial).select(dal.dial.id.max()).first()[dal.dial.id.max()] > 2**63


def test_a_bit_that_is_a_boolean_to_the_models(
    meter_db: ServerDatabase, meters: Deployment, meter: Database
) -> None:
    made = make_mirror(meters, meters.accounts["meter"], None)
    dial = made.tables["dial"]
    flag = replace(dial.columns["flag"], type="boolean", params={})
    mirror = replace(
        made, tables={**made.tables, "dial": replace(dial, columns={**dial.columns, "flag": flag})}
    )
    with Database(Settings.from_env(meter_db.env()), mirror) as service, service.session() as dal:
        table = dal.dial
        for value in (True, False, None):
            key = table.insert(flag=value)
            assert table[key].flag is value
            assert next(iter(dal(table.id == key).iterselect(table.flag))).flag is value
            highest = table.flag.max()
            assert dal(table.id == key).select(highest).first()[highest] is value
            assert dal.executesql("SELECT flag FROM dial WHERE id = %s", [key])[0][0] == value
            assert dal(table.flag == value).count() == 1
        assert [row.bits for row in dal(table.bits == None).select()] == [None] * 3  # noqa: E711  # PyDAL's IS NULL
        for number in (0, 53, 2**63, int.from_bytes(b"12345678")):
            key = table.insert(word=number)
            assert table[key].word == number
            for asked in (table.word.max(), table.word.min(), table.word.coalesce(table.word)):
                assert dal(table.id == key).select(asked).first()[asked] == number
        table.insert(bits=0, word=0)
        assert dal.executesql("SELECT bits, word FROM dial WHERE bits IS NOT NULL") == ((0, 0),)
        assert not dal.executesql("SELECT COALESCE(flag, bits) FROM dial WHERE bits IS NOT NULL")[0][0]


@pytest.mark.engines("mysql")
def test_a_vector_is_read_as_bytes(meter: Database) -> None:
    wanted = struct.pack("<3f", 1.5, -2.0, 0.25)
    with meter.session() as dal:
        if int(str(dal.executesql("SELECT VERSION()")[0][0]).partition(".")[0]) < 9:
            pytest.skip("MySQL has vectors from 9.0 on")
        rows = dal.executesql("SELECT 1, STRING_TO_VECTOR('[1.5,-2,0.25]'), 'é' UNION SELECT 2, NULL, ''")
        assert rows == ((1, wanted, "é"), (2, None, ""))
        assert dal.executesql("SELECT VECTOR_DIM(%s)", [wanted]) == ((3,),)


SETS = st.sets(st.sampled_from(LABELS))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    whole=st.fixed_dictionaries({n: st.none() | st.integers(*bound) for n, bound in BOUNDS.items()}),
    born=st.just(0) | st.integers(1901, 2155),
    colours=SETS,
    raw=st.binary(min_size=16, max_size=16),
    other=st.binary(max_size=16),
)
def test_the_driver_and_the_runtime_agree(
    meter: Database,
    meter_db: ServerDatabase,
    whole: Any,
    born: int,
    colours: set[str],
    raw: bytes,
    other: bytes,
) -> None:
    values = {**whole, "born": born, "colours": colours, "raw": raw, "other": other}
    connection = meter_db.connect()
    cursor = connection.cursor()
    with meter.session() as dal:
        key = int(dal.dial.insert(**values))
    cursor.execute(f"SELECT {', '.join(values)} FROM dial WHERE id = {key}")
    seen = dict(zip(values, cursor.fetchone(), strict=True))
    for name in ("flag", "bits", "word"):
        seen[name] = None if seen[name] is None else int.from_bytes(seen[name])
    seen["colours"] = set(seen["colours"].split(",")) if seen["colours"] else set()
    assert seen == values
    text = ",".join(label for label in reversed(LABELS) if label in colours)
    row = {**values, "colours": text}
    cursor.execute(
        f"INSERT INTO dial ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})", list(row.values())
    )
    with meter.session() as dal:
        read = dal.dial[cursor.lastrowid].as_dict()
        assert {name: read[name] for name in values} == values
        for name, value in values.items():
            assert dal((dal.dial[name] == value) & (dal.dial.id >= key)).count() == 2, name
    connection.close()
