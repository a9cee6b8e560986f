"""Every portable type makes the round trip on every engine: in rows, in inserts and updates, and in WHERE."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.runtime import JSON_NULL, Database, DataError

pytestmark = pytest.mark.newer

UTC = dt.UTC
OTHER_ZONE = dt.timezone(dt.timedelta(hours=5, minutes=30))
HOSTILE = [
    "",
    "it's",
    "back\\slash \\' \\\" \\0 \\n",
    "100% %s %(x)s %%",
    "emoji 😀 and 𝄞",
    "new\nline\ttab\rreturn",
    "'; DROP TABLE specimen; --",
    "\x1a\x08\x7f",
    " trailing ",
    "NULL",
    '?:;`"[]{}$$',
    "é" * 40,
]

SAMPLES: dict[str, list[Any]] = {
    "boolean": [True, False],
    "small": [0, -32768, 32767],
    "whole": [0, -(2**31), 2**31 - 1],
    "big": [0, -(2**63), 2**63 - 1],
    "real": [0.0, 0.1, -1.5e300, 1e-300, 123456789.123456789, 5.0],
    "price": [Decimal("0.0000"), Decimal("-99999999.9999"), Decimal("12.3400"), Decimal("0.0001")],
    "name": HOSTILE,
    "story": ["x" * 70_000, "😀" * 20_000],
    "blob": [b"", b"\0\x01\xff'\\\"", bytes(range(256)) * 300],
    "day": [dt.date(2024, 2, 29), dt.date(1000, 1, 1), dt.date(9999, 12, 31)],
    "clock": [dt.time(0, 0), dt.time(23, 59, 59, 999999), dt.time(12, 0, 0, 1)],
    "naive": [
        dt.datetime(2024, 2, 29, 12, 0, 0, 123456),
        dt.datetime(1000, 1, 1),
        dt.datetime(2024, 1, 1, 12),
    ],
    "moment": [
        dt.datetime(2024, 2, 29, 12, 0, 0, 123456, UTC),
        dt.datetime(2024, 7, 1, 12, 0, tzinfo=OTHER_ZONE),
        dt.datetime(1999, 12, 31, 23, 59, 59, 999999, UTC),
    ],
    "span": [dt.timedelta(0), dt.timedelta(days=-1, microseconds=1), dt.timedelta(days=4000, seconds=5)],
    "ident": [uuid.UUID(int=0), uuid.UUID("12345678-1234-5678-1234-567812345678")],
    "document": [
        {"a": [1, 2.5, None, True, "x'y\\"]},
        [],
        {},
        "text",
        5,
        2.5,
        True,
        False,
        JSON_NULL,
        {"é": "😀"},
    ],
    "mood": ["calm", "wild"],
}


@pytest.mark.parametrize("column", SAMPLES)
def test_what_goes_in_comes_out(shop: Database, column: str) -> None:
    with shop.session() as dal:
        table = dal.specimen
        for value in SAMPLES[column]:
            key = table.insert(**{column: value})
            read = table[key][column]
            assert read == value
            assert type(read) is type(value)
            other = table.insert()
            assert table[other][column] is None
            assert dal(table.id == other).update(**{column: value}) == 1
            assert table[other][column] == value
            assert dal(table.id == other).update(**{column: None}) == 1
            assert table[other][column] is None
            dal(table.id > 0).delete()


@pytest.mark.parametrize("column", [name for name in SAMPLES if name not in ("story", "blob")])
def test_a_value_finds_its_own_row(shop: Database, column: str) -> None:
    with shop.session() as dal:
        table = dal.specimen
        keys = {int(table.insert(**{column: value})): value for value in SAMPLES[column]}
        for key, value in keys.items():
            found = [row.id for row in dal(table[column] == value).select(table.id)]
            assert found == [key], value
            found = {row.id for row in dal(table[column].belongs([value])).select(table.id)}
            assert found == {key}
        assert dal(table[column] == None).count() == 0  # noqa: E711  # PyDAL's IS NULL


def test_moments_come_back_in_utc(shop: Database) -> None:
    with shop.session() as dal:
        key = dal.specimen.insert(moment=dt.datetime(2024, 7, 1, 12, 0, tzinfo=OTHER_ZONE))
        assert dal.specimen[key].moment.tzinfo is UTC
        assert dal.specimen[key].moment.hour == 6


def test_ordered_comparisons_mean_the_same(shop: Database) -> None:
    ordered = {
        "price": [Decimal("-1.5"), Decimal(0), Decimal(2), Decimal(10)],
        "moment": [dt.datetime(2024, 1, day, tzinfo=UTC) for day in range(1, 5)],
        "naive": [dt.datetime(2024, 1, 1, 0, 0, 0, us) for us in (0, 1, 500_000, 999_999)],
        "span": [
            dt.timedelta(seconds=-5),
            dt.timedelta(0),
            dt.timedelta(microseconds=1),
            dt.timedelta(days=40),
        ],
        "clock": [dt.time(1), dt.time(2), dt.time(2, 0, 0, 1), dt.time(20)],
        "real": [-1.5, 0.0, 1e-3, 7.25],
    }
    with shop.session() as dal:
        for column, values in ordered.items():
            field = dal.specimen[column]
            for value in reversed(values):
                dal.specimen.insert(**{column: value})
            rows = dal(field != None).select(field, orderby=field)  # noqa: E711  # PyDAL's IS NOT NULL
            assert [row[column] for row in rows] == values
            assert dal(field > values[1]).count() == 2
            assert dal(field <= values[1]).count() == 2


REFUSED = [
    ("boolean", 2),
    ("boolean", "yes"),
    ("small", 32768),
    ("whole", 2**31),
    ("whole", 1.5),
    ("whole", "seven"),
    ("big", 2**63),
    ("price", Decimal("1.00001")),
    ("price", Decimal(100000000)),
    ("price", Decimal("NaN")),
    ("price", "abc"),
    ("name", "x" * 41),
    ("name", "nul\0"),
    ("name", "\ud800"),
    ("name", 5),
    ("blob", "text"),
    ("day", dt.datetime(2024, 1, 1, 12)),
    ("day", "2024-13-01"),
    ("clock", "25:00"),
    ("naive", dt.datetime(2024, 1, 1, tzinfo=UTC)),
    ("moment", dt.datetime(2024, 1, 1)),
    ("moment", dt.datetime(1, 1, 1, tzinfo=OTHER_ZONE)),
    ("span", 5),
    ("ident", "not-a-uuid"),
    ("document", {"x": {1, 2}}),
    ("document", float("nan")),
    ("mood", "angry"),
    ("mood", ""),
]


@pytest.mark.parametrize(("column", "value"), REFUSED, ids=lambda item: str(item)[:20].replace("\0", "NUL"))
def test_what_does_not_fit_is_refused(shop: Database, column: str, value: object) -> None:
    with pytest.raises(DataError, match=f"specimen.{column}"), shop.session() as dal:
        dal.specimen.insert(**{column: value})
    with shop.session() as dal:
        assert dal(dal.specimen).count() == 0


@pytest.mark.engines("mysql", "mariadb", "galera", "sqlite")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_no_number_is_refused_where_the_engine_has_none(shop: Database, value: float) -> None:
    with pytest.raises(DataError), shop.session() as dal:
        dal.specimen.insert(real=value)


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=text, story=text, blob=st.binary(max_size=200), whole=st.integers(-(2**31), 2**31 - 1))
def test_hostile_text_reads_back_exactly(
    shop: Database, name: str, story: str, blob: bytes, whole: int
) -> None:
    with shop.session() as dal:
        table = dal.specimen
        key = table.insert(name=name, story="x")
        dal((table.id == key) & (table.name == name)).update(story=story, blob=blob, whole=whole)
        row = dal(table.name == name).select(table.ALL).last()
        assert (row.name, row.story, row.blob, row.whole) == (name, story, blob, whole)
        assert dal.executesql(
            "SELECT name FROM specimen WHERE id = " + shop_placeholder(shop), [int(key)]
        ) == tuple_or_list(shop, name)
        assert dal((table.id == key) & (table.story == story)).delete() == 1


def shop_placeholder(shop: Database) -> str:
    """How the driver marks a parameter."""
    return "?" if shop.backend.features.paramstyle == "qmark" else "%s"


def tuple_or_list(shop: Database, name: str) -> Any:
    """One row of one column, in the driver's own container."""
    rows = [(name,)]
    return tuple(rows) if shop.settings.db_type == "mysql" else rows
