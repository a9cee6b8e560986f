"""Conditions and expressions that PyDAL makes without a type of their own: values stay values, and numbers numbers."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from pydal.objects import Expression

from ringfence.runtime import ArgumentError, Database, DataError, UsageError


@pytest.fixture
def filled(shop: Database) -> Iterator[Any]:
    """The DAL, in a session that is rolled back."""
    with shop.session() as dal:
        for name, whole, boolean in (("ann", 1, True), ("bob", 5, True), ("cid", 7, False)):
            dal.specimen.insert(
                name=name, whole=whole, boolean=boolean, price=Decimal("7.5"), day=dt.date(2024, 2, 29)
            )
        yield dal
        dal.rollback()


def names(dal: Any, condition: Any) -> list[str]:
    return sorted(row.name for row in dal(condition).select(dal.specimen.name))


def test_what_a_case_is_compared_with_is_a_value(filled: Any) -> None:
    dal, t = filled, filled.specimen
    many = (t.whole > 3).case("many", "it's few")
    number = (t.whole > 3).case(1, 0)
    lowered = Expression(dal, "LOWER(name)")  # a program's own SQL
    for condition, found in (
        (many == "many", ["bob", "cid"]),
        (many != "many", ["ann"]),
        (many == "it's few", ["ann"]),
        (many == "'many' OR 1 = 1", []),
        (many.belongs(["many", "x"]), ["bob", "cid"]),
        (many.coalesce("x") == "many", ["bob", "cid"]),
        (many.lower().like("ma%"), ["bob", "cid"]),
        (number == 1, ["bob", "cid"]),
        (number + 1 == 2, ["bob", "cid"]),
        ((t.whole > 3).case(True, False) == False, ["ann"]),  # noqa: E712  # SQL's comparison
        ((t.whole > 6).case("a", (t.whole > 3).case("b", "c")) == "b", ["bob"]),
        ((t.whole > 3).case(t.name, None) == "bob", ["bob"]),
        (lowered == "ann", ["ann"]),
        (lowered == "'ann' OR 1 = 1", []),
        (Expression(dal, "whole + 1") == 6, ["bob"]),
        (Expression(dal, "price") * 2 == Decimal(15), ["ann", "bob", "cid"]),
    ):
        assert names(dal, condition) == found, str(condition)
    with pytest.raises(DataError, match=r"case\(\) gives texts, numbers.*not a date"):
        dal(t).select((t.whole > 3).case(dt.date(2024, 1, 1), None))


def test_what_a_case_gives_is_of_its_values_type(filled: Any) -> None:
    dal, t = filled, filled.specimen
    high = t.whole > 3
    wanted = [
        (high.case("x", "y").max(), "y"),
        (high.case(1, 0).sum(), 2),
        (high.case(2.5, 0.5).max(), 2.5),
        (high.case(Decimal("1.5"), Decimal(0)).sum(), Decimal("3.0")),
        (high.case(True, False).max(), True),
        (high.case(True, False).sum(), 2),
        (high.case(t.day, None).max(), dt.date(2024, 2, 29)),
        # Truths are counted, and not made a truth again.
        (t.boolean.sum(), 2),
        (t.boolean.coalesce(False).sum(), 2),
        (t.boolean.sum() + 1, 3),
        (t.boolean.max(), True),
        (t.boolean.min(), False),
    ]
    row = dal(t).select(*(expression for expression, _ in wanted)).first()
    for expression, value in wanted:
        assert (type(row[expression]), row[expression]) == (type(value), value), str(expression)
    (share,) = dal(t).select(t.boolean.avg()).first()._extra.values()
    assert share == pytest.approx(2 / 3, rel=1e-3)
    found = dal(t).select(t.boolean, high.case(True, False), groupby=[t.boolean, high.case(True, False)])
    assert sorted((row.specimen.boolean, *row._extra.values()) for row in found) == [
        (False, True),
        (True, False),
        (True, True),
    ]


def test_a_row_of_a_cast_holds_nothing_else(filled: Any) -> None:
    dal, t = filled, filled.specimen
    text = t.whole.cast("text")
    (row,) = dal(t.name == "ann").select(t.name, text).as_list()
    assert row == {"specimen": {"name": "ann"}, "_extra": {str(text): "1"}}


def test_what_is_no_condition_is_refused(filled: Any) -> None:
    dal, t = filled, filled.specimen
    known = t.whole > 3
    for wrong in (
        lambda: dal(known & "1 = 1").count(),
        lambda: dal(known | "1 = 1").count(),
        lambda: dal(known | t).count(),
        lambda: dal(known & None).count(),
        lambda: dal(t).select(left=dal.pet.on("1 = 1")),
        lambda: dal(t).select(t.name, left=dal.pet),
        lambda: dal(True),
        lambda: dal([known]),
        lambda: dal(dal(t).select().first()),
        lambda: dal(known == (t.whole < 9)),  # Python's False: PyDAL has no comparison of conditions
        lambda: dal(~t.boolean),
        lambda: dal(known & ~t.boolean).count(),
        lambda: dal(t).select(known.case("a", "b").cast("text")),
    ):
        with pytest.raises(UsageError, match=r"condition|cast"):
            wrong()
    for wrong in (lambda: dal().select(), lambda: dal().count()):
        with pytest.raises(ArgumentError, match="names no table"):
            wrong()
    assert [row.name for row in dal().select(t.name, orderby=t.name)] == ["ann", "bob", "cid"]
    assert names(dal, known & True) == ["bob", "cid"]
    assert names(dal, ~(known | (t.name == "x"))) == ["ann"]


def test_nested_selects_of_the_table_itself_with_a_limit_and_of_moments(filled: Any) -> None:
    dal, t = filled, filled.specimen
    first = dal(t).nested_select(t.id, orderby=t.name, limitby=(0, 1))
    assert names(dal, t.id.belongs(first)) == ["ann"]
    assert names(dal, ~t.id.belongs(first)) == ["bob", "cid"]
    many = dal(t.whole > 3).nested_select(t.id)
    assert dal(t.id.belongs(many)).update(whole=t.whole + 1) == 2
    assert dal(t.id.belongs(first)).update(whole=9) == 1
    assert dal(t.id.belongs(dal(t.whole == 6).nested_select(t.id))).delete() == 1
    assert names(dal, t.id > 0) == ["ann", "cid"]
    # Another select reads every column of one within it.
    moment = dt.datetime(2024, 2, 29, 12, 0, 0, 1)
    dal(t.name == "ann").update(naive=moment, moment=moment.replace(tzinfo=dt.UTC), clock=moment.time())
    inner = dal(t.naive != None).nested_select(t.name, t.naive, t.moment, t.clock).with_alias("inner_")  # noqa: E711  # PyDAL's IS NOT NULL
    (row,) = dal(inner.naive == moment).select(inner.ALL)
    assert (row.name, row.naive, row.moment, row.clock) == (
        "ann",
        moment,
        moment.replace(tzinfo=dt.UTC),
        moment.time(),
    )
    high = dal(t.whole > 3).cte("high", t.id, t.name)
    assert (dal(high.id > 0).count(), dal(high.name == "ann").count(distinct=high.id)) == (2, 1)
    with pytest.raises(ArgumentError, match="a nested select is no column"):
        dal(t).select(dal(t).nested_select(t.id.max()))
