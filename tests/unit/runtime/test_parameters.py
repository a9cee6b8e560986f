"""Parameters of a program's own SQL, looked at before any driver sees them."""

import datetime as dt
import decimal
import enum
import uuid
from typing import Any

import pytest

from ringfence.runtime import ArgumentError, DataError
from ringfence.runtime.engines.mysql import codecs
from ringfence.runtime.engines.mysql.parameters import expand_lists
from ringfence.runtime.engines.postgresql import codecs as postgresql_codecs
from ringfence.runtime.engines.sqlite import codecs as sqlite_codecs
from ringfence.runtime.values.parameters import check_parameters

SENDS = {
    "mysql": codecs.to_driver,
    "postgresql": postgresql_codecs.to_driver,
    "sqlite": sqlite_codecs.to_driver,
}
PLUS_TWO = dt.timezone(dt.timedelta(hours=2))


class Word(str, enum.Enum):  # noqa: UP042 - what many packages have
    """A text that is an Enum."""

    yes = "YES"


class Number(int):
    """A number that prints as something else."""

    def __repr__(self) -> str:
        return "no number"

    __str__ = __repr__


class Text(str):
    """A text that prints as something else."""

    __slots__ = ()

    def __str__(self) -> str:
        return "other"


class Clock(dt.datetime):
    """A datetime of a package."""


class Thing:
    """What no driver knows."""

    def __str__(self) -> str:
        return "m4rk3r"


def _fitting(sql: str, given: Any, style: str = "pyformat") -> Any:
    return check_parameters(sql, given, style=style, send=codecs.to_driver)


@pytest.mark.parametrize(
    ("sql", "given", "says"),
    [
        ("SELECT %s", [1, 2], r"1 mark \(%s\) for 2 parameters"),
        ("SELECT %s, %s", [1], r"2 marks \(%s\) for 1 parameter"),
        ("SELECT %s", [], "1 mark .* 0 parameters"),
        ("SELECT %s", {}, "give a list"),
        ("SELECT %(a)s", (), "give a dict"),
        ("SELECT ?", [1], r"\? is the mark of SQLite"),
        ("SELECT 1", [1], "0 marks .* 1 parameter"),
        ("SELECT 1", {"a": 1}, "no mark"),
        ("SELECT %d", [1], "percent sign at character 8"),
        ("SELECT %s WHERE a LIKE 'R%'", [1], "percent sign at character 26"),
        ("SELECT 10 % 3, %s", [1], "percent sign at character 11"),
        ("SELECT %.3s", ["abcdef"], "percent sign at character 8"),
        ("SELECT %(a)d", {"a": 1}, "percent sign at character 8"),
        ("SELECT %(a", {"a": 1}, "percent sign at character 8"),
        ("SELECT %s %", [1], "percent sign at character 11"),
        ("SELECT %(a)s", [1], "give a dict"),
        ("SELECT %s", {"a": 1}, "not a dict"),
        ("SELECT %(a)s, %(b)s", {"a": 1}, "parameter 'b'"),
        ("SELECT %(a)s, %s", {"a": 1}, "use one kind"),
        ("SELECT %s", "x", "not a str"),
        ("SELECT %s", 1, "not a int"),
        ("SELECT %s", {1}, "not a set"),
    ],
)
def test_what_does_not_fit_is_the_callers_error(sql: str, given: Any, says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        _fitting(sql, given)


def test_what_fits_goes_on() -> None:
    assert _fitting("SELECT 10 % 3 LIKE '%s'", None) is None
    assert _fitting("SELECT 10 % 3 LIKE '%s'", []) is None
    assert _fitting("SELECT %s, '50%%'", [1]) == (1,)
    assert _fitting("SELECT %(a)s, %(a)s", {"a": 1, "more": 2}) == {"a": 1, "more": 2}
    assert _fitting("SELECT ? LIKE 'R%'", [1], "qmark") == (1,)
    assert _fitting("SELECT :a", {"a": 1}, "qmark") == {"a": 1}
    with pytest.raises(ArgumentError, match="marks of SQLite"):
        _fitting("SELECT %s", [1], "qmark")


@pytest.mark.parametrize("engine", SENDS)
def test_values_that_the_driver_does_not_know_are_named_by_position(engine: str) -> None:
    sent = SENDS[engine]
    for wrong in (Thing(), object(), {"a": 1}, {1}, Thing, Word.yes, [1, Word.yes], 1j, "\ud800"):
        with pytest.raises(DataError, match="parameter 2") as caught:
            check_parameters("SELECT %s, %s", [1, wrong], style="pyformat", send=sent)
        assert "m4rk3r" not in str(caught.value)
        with pytest.raises(DataError, match="parameter 'b'"):
            check_parameters("SELECT %(b)s", {"b": wrong}, style="pyformat", send=sent)


@pytest.mark.parametrize("engine", SENDS)
def test_a_class_made_of_a_known_one_is_its_plain_value(engine: str) -> None:
    sent = SENDS[engine]
    assert str(sent(Number(7))) in ("7", "no number")
    assert str.__str__(sent(Text("plain"))) == "plain"
    assert sent(True) in (True, 1)
    when = Clock(2030, 1, 1, 10)
    assert str(sent(when)).removesuffix(".000000") == "2030-01-01 10:00:00"


def test_mysql_gets_what_it_keeps() -> None:
    sent = codecs.to_driver
    aware = sent(dt.datetime(2030, 1, 1, 12, tzinfo=PLUS_TWO))
    assert (aware, aware.tzinfo) == (dt.datetime(2030, 1, 1, 10), None)
    assert sent(memoryview(b"ab")) == b"ab"
    assert type(sent(Number(7))) is int
    for kept in (1 - 10**81, decimal.Decimal("1E+80"), decimal.Decimal(f"{'1' * 9}.{'1' * 72}")):
        assert sent(kept) == kept
    assert type(sent(Clock(2030, 1, 1))) is dt.datetime
    for wrong in (
        float("nan"),
        float("-inf"),
        decimal.Decimal("NaN"),
        decimal.Decimal("sNaN"),
        decimal.Decimal("1E+81"),
        decimal.Decimal("1E-73"),
        decimal.Decimal(f"{'1' * 10}.{'1' * 64}"),
        10**81,
        dt.time(1, tzinfo=dt.UTC),
        [],
        [1, Thing()],
        uuid.uuid4(),
    ):
        with pytest.raises(DataError):
            sent(wrong)


@pytest.mark.parametrize(
    ("sql", "given", "wanted"),
    [
        ("a = %s", (1,), ("a = %s", (1,))),
        ("a IN %s", ((1, 2),), ("a IN (%s, %s)", (1, 2))),
        (
            "b = %s AND a IN %s AND c LIKE '%%'",
            ("x", (1,)),
            ("b = %s AND a IN (%s) AND c LIKE '%%'", ("x", 1)),
        ),
        ("(a, b) IN %s", (((1, "x"), (2, "y")),), ("(a, b) IN ((%s, %s), (%s, %s))", (1, "x", 2, "y"))),
        (
            "a IN %(some)s OR b IN %(some)s OR c = %(one)s",
            {"some": (1, 2), "one": 3},
            ("a IN (%s, %s) OR b IN (%s, %s) OR c = %s", (1, 2, 1, 2, 3)),
        ),
        ("a = %(one)s", {"one": 3}, ("a = %(one)s", {"one": 3})),
    ],
)
def test_the_mysql_family_gets_a_mark_for_each_item_of_a_list(sql: str, given: Any, wanted: Any) -> None:
    assert expand_lists(sql, given) == wanted


def test_postgresql_gets_lists_of_what_it_knows() -> None:
    sent = postgresql_codecs.to_driver
    assert sent([1, ["a", None]]) == [1, ["a", None]]
    ident = uuid.uuid4()
    assert sent(ident) == str(ident)
    assert sent((1, decimal.Decimal("NaN"))) != ()
    for wrong in ([Thing()], (1, (Thing(),)), "a\0b", ["a\0b"]):
        with pytest.raises(DataError):
            sent(wrong)


def test_sqlite_gets_what_it_keeps() -> None:
    sent = sqlite_codecs.to_driver
    assert sent(dt.date(2030, 1, 2)) == "2030-01-02"
    assert sent(dt.datetime(2030, 1, 1, 12, tzinfo=PLUS_TWO)) == "2030-01-01 10:00:00.000000"
    assert sent(float("inf")) == float("inf")
    for wrong in (float("nan"), 1 << 63, decimal.Decimal(1), dt.time(1), dt.timedelta(1), [1], uuid.uuid4()):
        with pytest.raises(DataError):
            sent(wrong)
