"""What a caller does wrong with SQL of its own is told once, by name, and costs no connection."""

import sqlite3
from typing import Any

import pytest

from ringfence.runtime import ArgumentError, Database, DataError

pytestmark = pytest.mark.runtime_only
MARKER = "m4rk3r-of-a-value"


def test_parameters_that_do_not_fit_are_the_callers_error_and_reported_once(shop: Database) -> None:
    mark = "?" if shop.settings.db_type == "sqlite" else "%s"
    wrong_marks: list[tuple[str, Any]] = [
        (f"SELECT id FROM item WHERE id = {mark}", [1, 2]),
        (f"SELECT id FROM item WHERE id = {mark} AND name = {mark}", [1]),
        (f"SELECT id FROM item WHERE id = {mark}", []),
        (f"SELECT id FROM item WHERE id = {mark}", {"a": 1}),
        (f"SELECT id FROM item WHERE id = {mark}", MARKER),
    ]
    if mark == "%s":
        wrong_marks += [
            ("SELECT id FROM item WHERE id = ?", [1]),
            ("SELECT id FROM item WHERE id = %d", [1]),
            ("SELECT id FROM item WHERE id = %(id)s", (1,)),
            ("SELECT id FROM item WHERE id = %(id)s", {"other": 1}),
            ("SELECT id FROM item WHERE name LIKE 'R%' AND id = %s", [1]),
        ]
    else:
        wrong_marks += [("SELECT id FROM item WHERE id = %s", [1])]
    with shop.session() as dal:
        dal.item.insert(name="kept", amount=1)
    opened_, calls = shop.pool.stats().opened, 0
    for statement, given in wrong_marks:

        def work(dal: Any, statement: str = statement, given: Any = given) -> None:
            nonlocal calls
            calls += 1
            dal.executesql(statement, given)

        with pytest.raises(ArgumentError) as raised:
            shop.run(work)
        assert MARKER not in str(raised.value), statement
    assert calls == len(wrong_marks)
    figures = shop.pool.stats()
    assert (figures.opened, figures.dropped) == (opened_, 0)


def test_a_parameter_that_the_driver_does_not_know_is_named_by_its_position(shop: Database) -> None:
    class Thing:
        def __str__(self) -> str:
            return MARKER

    mark = "?" if shop.settings.db_type == "sqlite" else "%s"
    sql = f"INSERT INTO item (amount, name) VALUES ({mark}, {mark})"
    for wrong in (Thing(), {MARKER: 1}, {MARKER}, object, "\ud800"):
        with pytest.raises(DataError, match="parameter 2") as raised, shop.session() as dal:
            dal.executesql(sql, [1, wrong])
        assert MARKER not in f"{raised.value} {raised.value!r}"
    with shop.session() as dal:
        dal.executesql(sql, [1, "it's 50%"])
        found = dal.executesql(f"SELECT amount, name FROM item WHERE name = {mark}", ("it's 50%",))
        assert [tuple(row) for row in found] == [(1, "it's 50%")]
        assert dal(dal.item).count() == 1


@pytest.mark.requires("networked")
def test_in_takes_a_tuple_whatever_the_text_in_it(shop: Database) -> None:
    names = ("it's", 'say "a"', r"back\\slash", "50%", "%s")
    with shop.session() as dal:
        for amount, name in enumerate(names):
            dal.item.insert(name=name, amount=amount)
        found = dal.executesql("SELECT amount FROM item WHERE name IN %s ORDER BY amount", [names[1:]])
        assert [amount for (amount,) in found] == [1, 2, 3, 4]
        named = "SELECT amount FROM item WHERE (name, amount) IN %(rows)s AND amount <= %(most)s"
        rows = (("it's", 0), ("50%", 3), ("%s", 5))
        assert sorted(amount for (amount,) in dal.executesql(named, {"rows": rows, "most": 4})) == [0, 3]
        if shop.settings.db_type == "mysql":
            shop.current().connection.query(
                "SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_BACKSLASH_ESCAPES')"
            )
            found = dal.executesql("SELECT amount FROM item WHERE name IN %s", [[names[2], names[0]]])
            assert sorted(amount for (amount,) in found) == [0, 2]
            with pytest.raises(DataError, match="parameter 1: the list is empty"):
                dal.executesql("SELECT amount FROM item WHERE name IN %s", [[]])


@pytest.mark.engines("mysql", "mariadb", "sqlite")
def test_a_statement_that_is_too_long_is_the_callers_error(shop: Database) -> None:
    with shop.session() as dal:
        dal.item.insert(name="kept", amount=1)
        connection = shop.current().connection
        if shop.settings.db_type == "sqlite":
            connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 2_000)
        else:
            assert connection.longest >= 1 << 20
            connection.longest = 2_000  # as a server's max_allowed_packet, which is a matter of megabytes
    opened_, calls = shop.pool.stats().opened, []

    def work(dal: Any) -> None:
        calls.append(dal.item.insert(name="first", amount=1))
        dal.executesql(f"SELECT '{MARKER * 300}'")

    with pytest.raises(DataError, match=r"statement .*in parts") as raised:
        shop.run(work)
    assert MARKER not in str(raised.value)
    assert len(calls) == 1
    with shop.session() as dal:
        assert [row.name for row in dal(dal.item).select()] == ["kept"]
    assert shop.pool.stats().opened == opened_
