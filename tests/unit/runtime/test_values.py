"""What each portable type takes, and what it refuses."""

import datetime as dt
import decimal
import enum
import ipaddress
import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.runtime.engines.mysql import codecs, pymysql_compat
from ringfence.runtime.engines.postgresql import codecs as postgresql_codecs
from ringfence.runtime.engines.sqlite import codecs as sqlite_codecs
from ringfence.runtime.errors import DataError
from ringfence.runtime.values import narrow, values

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=10,
)


@given(documents)
def test_a_document_reads_back(document: Any) -> None:
    given_ = values.JSON_NULL if document is None else document
    assert values.from_document(values.document(given_)) == given_


@pytest.mark.parametrize(
    "document",
    [{1: 2}, {None: 1}, [{"a": {2: 3}}], "\0", {"\0": 1}, ["a\\\0"], "\ud800", float("nan"), {1, 2}, b"x"],
)
def test_what_json_would_change_is_refused(document: Any) -> None:
    with pytest.raises(DataError):
        values.document(document)


def test_a_document_that_holds_itself_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(DataError):
        values.document(circle)


@given(st.integers())
def test_64_bits_of_a_number_in_json(number: int) -> None:
    fits = -(2**63) <= number < 2**64
    document = {"text": "1" * 40, "x": [number, 1.5, 1e300]}
    if fits:
        assert json.loads(values.document_of_64_bits(document)) == document
    else:
        with pytest.raises(DataError):
            values.document_of_64_bits(document)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**7), max_value=10**7))
def test_a_decimal_that_fits_is_the_same(number: decimal.Decimal) -> None:
    assert values.bounded_decimal(12, 4)(number) == number
    assert values.bounded_decimal(12, 4)(str(number)) == number


@pytest.mark.parametrize("number", ["1.00001", "100000000", "NaN", "Infinity", "1e9", "", "x", True, None])
def test_a_decimal_that_does_not_fit_is_refused(number: Any) -> None:
    with pytest.raises(DataError):
        values.bounded_decimal(12, 4)(number)


def test_a_float_stands_for_what_it_prints_as() -> None:
    assert values.exact(0.1) == decimal.Decimal("0.1")


@pytest.mark.parametrize(
    ("fit", "value"),
    [
        (values.boolean, 2), (values.boolean, "T"), (values.boolean, None), (values.integer, 1.5),
        (values.integer, True), (values.integer, "1.0"), (values.integer, "٣"), (values.integer, float("inf")),
        (values.floating, "1"), (values.floating, 2**53 + 1), (values.floating, 10**400), (values.text, 5),
        (values.text, "a\0"), (values.text, "\udfff"), (values.octets, "text"), (values.date, dt.datetime(2024, 1, 1)),
        (values.date, "2024-02-30"), (values.time, dt.time(1, tzinfo=dt.UTC)), (values.time, "25:00"),
        (values.naive_datetime, dt.datetime(2024, 1, 1, tzinfo=dt.UTC)), (values.aware_datetime, dt.datetime(2024, 1, 1)),
        (values.aware_datetime, dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=5)))),
        (values.interval, 5), (values.identifier, "x"), (values.identifier, 5), (values.address, "300.1.1.1"),
        (values.bounded_integer(16), 2**15), (values.bounded_text(3), "four"), (values.bounded_octets(3), b"four"),
        (values.bounded_text(3, octets_count=True), "éé"),
        (values.integer, "--5"), (values.integer, "9" * 5000), (values.integer, decimal.Decimal("sNaN")),
        (values.floating, decimal.Decimal("sNaN")), (values.floating, decimal.Decimal("1E400")),
        (values.floating, decimal.Decimal("-1E-400")), (narrow.check_digits(values.floating, 6), 1e39),
        (narrow.check_digits(values.floating, 6), -1e-50), (narrow.check_digits(values.floating, 6), 1.23456e-43), (values.choice({"values": ["a"]}), ["a"]),
    ],
)  # fmt: skip
def test_what_would_change_is_refused(fit: Any, value: Any) -> None:
    with pytest.raises(DataError) as caught:
        fit(value)
    assert "four" not in str(caught.value)  # no value in a message


@pytest.mark.parametrize(
    ("fit", "value", "wanted"),
    [
        (values.boolean, 1, True), (values.integer, "-7", -7), (values.integer, decimal.Decimal("5.0"), 5),
        (values.floating, decimal.Decimal("0.5"), 0.5), (values.floating, decimal.Decimal("0E-400"), 0.0),
        (narrow.check_digits(values.floating, 6), 3.40282e38, 3.40282e38),
        (narrow.check_digits(values.floating, 6), 1.17e-39, 1.17e-39), (values.octets, bytearray(b"x"), b"x"),
        (values.date, "2024-02-29", dt.date(2024, 2, 29)), (values.identifier, "0" * 32, uuid.UUID(int=0)),
        (values.aware_datetime, "2024-07-01T12:00:00+02:00", dt.datetime(2024, 7, 1, 10, tzinfo=dt.UTC)),
        (values.address, "10.0.0.1/8", "10.0.0.1/8"), (values.bounded_text(2, octets_count=True), "é", "é"),
    ],
)  # fmt: skip
def test_what_means_the_same_is_taken(fit: Any, value: Any, wanted: Any) -> None:
    assert fit(value) == wanted
    assert type(fit(value)) is type(wanted)


class Platform(str, enum.Enum):  # noqa: UP042 - what many programs have, and a StrEnum prints otherwise
    TWITCH = "twitch"


class Odd(int):
    def __int__(self) -> int:
        return 99


@pytest.mark.parametrize(
    ("fit", "value", "wanted"),
    [(values.text, Platform.TWITCH, "twitch"), (values.integer, Odd(5), 5)],
)
def test_a_class_of_its_own_changes_no_value(fit: Any, value: Any, wanted: Any) -> None:
    assert fit(value) == wanted
    assert type(fit(value)) is type(wanted)


class Colour(enum.Enum):
    RED = "r"
    GREEN = "g"


def test_an_enum_by_its_member_or_its_label() -> None:
    fit = values.choice({"values": ["RED", "GREEN"], "enum": "no.such.module:Colour"})
    assert fit(Colour.RED) == fit("RED") == "RED"
    for wrong in ("r", "", "red", None, 5, Platform.TWITCH):
        with pytest.raises(DataError):
            fit(wrong)


class Twisted(enum.Enum):
    a = "b"
    b = "a"


def test_an_enum_whose_labels_are_not_its_names() -> None:
    fit = values.choice({"values": ["b", "a"], "members": {"b": "a", "a": "b"}})
    for label, member in (("b", Twisted.a), ("a", Twisted.b)):
        assert fit(member) == fit(label) == label
        assert type(fit(member)) is str


@pytest.mark.parametrize("place", ["no.such.module:X", f"{__name__}:Twisted"])
def test_whether_the_class_can_be_imported_changes_nothing(place: str) -> None:
    params = {"values": ["a", "b"], "enum": place}
    for table in (codecs.CODECS, postgresql_codecs.CODECS, sqlite_codecs.CODECS):
        codec = table["enum"](params)
        assert codec.check(Twisted.a) == codec.check_compared(Twisted.a) == "a"
        assert (codec.decode or str)("a") == (codec.expression or str)("a") == "a"


def test_a_bit_of_another_program_is_no_other_boolean() -> None:
    for table, written in (
        (codecs.CODECS, [(0, False), (1, True)]),
        (postgresql_codecs.CODECS, [("0", False), ("1", True), (0, False), (True, True)]),
        (sqlite_codecs.CODECS, [(0, False), (1, True)]),
    ):
        codec = table["boolean"]({})
        for stored, wanted in written:
            assert codec.decode(stored) is codec.expression(stored) is wanted
        for odd in (2, "yes", b"\2", -1):
            with pytest.raises((LookupError, TypeError)):
                codec.decode(odd)
        for odd in ("yes", "f", ""):
            with pytest.raises((LookupError, TypeError)):
                codec.expression(odd)


@given(st.integers(1, 64), st.data())
def test_bits_are_numbers_however_the_server_sends_them(length: int, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, (1 << length) - 1))
    sent = number.to_bytes(-(-length // 8), "big")
    assert pymysql_compat.bits(sent, length=length, text=False, named=True) == number
    assert pymysql_compat.bits(str(number).encode(), length=length, text=True, named=False) == number
    for unsaid in (sent, str(number).encode()):  # an expression on MySQL: the number, or what was sent
        assert pymysql_compat.bits(unsaid, length=length, text=False, named=False) in (number, unsaid)
    if length < 6:
        assert pymysql_compat.bits(str(number).encode(), length=length, text=False, named=True) == number


def test_an_address_is_text_or_an_address() -> None:
    assert values.address("10.0.0.1/8") == "10.0.0.1/8"
    assert values.address(ipaddress.ip_address("::1")) == "::1"
    assert values.address(ipaddress.ip_network("10.0.0.0/8")) == "10.0.0.0/8"
    for wrong in (1, True, b"abcd", object()):
        with pytest.raises(DataError):
            values.address(wrong)


def test_json_null_is_one_and_false() -> None:
    import copy
    import pickle

    assert not values.JSON_NULL
    assert pickle.loads(pickle.dumps(values.JSON_NULL)) is values.JSON_NULL  # noqa: S301  # our own
    assert copy.deepcopy(values.JSON_NULL) is values.JSON_NULL
