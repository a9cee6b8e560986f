"""A value of a class that nobody knows is refused in the column's name, wherever a program may put one."""

from collections.abc import Callable
from typing import Any

import pytest

from ringfence.runtime import Database, DataError

MARKER = "m4rk3r"


class Thing:
    """What PyMySQL would store as its `str()`."""

    def __str__(self) -> str:
        return MARKER

    __repr__ = __str__


COLUMNS = [
    *("boolean", "small", "whole", "big", "real", "price", "name", "story", "blob", "day", "clock", "naive"),
    *("moment", "span", "ident", "document", "mood", "colour"),
]


def test_a_value_of_an_unknown_class_is_refused_everywhere(shop: Database) -> None:
    wrong = Thing()
    with shop.session() as dal:
        table = dal.specimen
        key = table.insert(name="kept")
        for column in COLUMNS:
            field = table[column]
            ways: dict[str, Callable[[], Any]] = {
                "insert": lambda column=column: table.insert(**{column: wrong}),
                "bulk_insert": lambda column=column: table.bulk_insert([{column: None}, {column: wrong}]),
                "update": lambda column=column: dal(table.id == key).update(**{column: wrong}),
                "bulk_update": lambda column=column: table.bulk_update([{"id": key, column: wrong}]),
                "upsert": lambda column=column: table.upsert(id=key, **{column: wrong}),
                "update_or_insert": lambda column=column: table.update_or_insert(
                    table.id == key, **{column: wrong}
                ),
                "equal": lambda field=field: dal(field == wrong).count(),
                "unequal": lambda field=field: dal(field != wrong).select(),
                "belongs": lambda field=field: dal(field.belongs([wrong])).count(),
                "coalesce": lambda field=field: dal(table).select(field.coalesce(wrong)),
            }
            for name, way in ways.items():
                with pytest.raises(DataError, match=f"specimen.{column}|{column}") as caught:
                    way()
                assert MARKER not in str(caught.value), (column, name)
        assert dal(table).count() == 1
        assert table[key].name == "kept"


def test_texts_that_are_asked_for_are_texts(shop: Database) -> None:
    with shop.session() as dal:
        field = dal.specimen.name
        dal.specimen.insert(name=f"a {MARKER} b")
        for question in (
            lambda: field.like(Thing()),
            lambda: field.contains(Thing()),
            lambda: field.startswith(Thing()),
            lambda: field.endswith(Thing()),
            lambda: field.ilike(Thing()),
            lambda: field.regexp(Thing()),
            lambda: field + Thing() == "x",
        ):
            with pytest.raises(DataError, match="name"):
                dal(question()).count()
