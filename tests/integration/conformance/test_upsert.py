"""Insert or update by a unique key, one record or many, whatever other writers do."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest

from ringfence.runtime import ArgumentError, Database, DataError, UniqueViolation, UsageError
from support.runtime_shop import in_threads


def test_it_inserts_and_then_updates_and_gives_the_key(shop: Database) -> None:
    with shop.session() as dal:
        t = dal.tally
        key = t.upsert(name="a", hits=1)
        assert t.upsert(name="b", hits=1) != key
        assert t.upsert(name="a", hits=2) == key
        assert t.upsert(name="a", hits=2) == key  # nothing changes
        assert t.upsert(name="a") == key  # nothing to change
        assert t.upsert(name="a", hits=9, _update={"hits": t.hits + 5}) == key
        assert key.hits == 7
        assert t.upsert(_key="id", id=key, name="c", hits=None) == key
        assert [(row.name, row.hits) for row in dal(t).select(orderby=t.id)] == [("c", None), ("b", 1)]
        assert dal.seat.upsert(row=1, number=2, guest="Ada") == {"row": 1, "number": 2}
        assert dal.seat.upsert(row=1, number=2, guest="Zoe") == {"row": 1, "number": 2}
        assert dal(dal.seat).select().first().guest == "Zoe"
        assert dal.country.upsert(code="DE", name="Deutschland") == "DE"
        ada = dal.owner.upsert(_key=["name"], name="Ada")
        assert isinstance(ada, uuid.UUID)
        assert dal.owner.upsert(_key="name", name="Ada") == ada


def test_defaults_go_with_the_insert_and_on_updates_with_the_update(shop: Database) -> None:
    with shop.session() as dal:
        t = dal.defaulted
        key = t.upsert(id=5, label="one")
        first = t[key]
        assert (first.active, first.note, first.touched) == (True, "hello", None)
        t(5).update_record(note="changed")
        assert t.upsert(id=5, label="two") == key
        second = t[key]
        assert (second.label, second.note, second.touched) == ("two", "changed", "touched")
        assert (second.ident, second.made) == (first.ident, first.made)
        assert isinstance(second.changed, dt.datetime)


def test_what_cannot_be_decided_is_reported_by_name(shop: Database) -> None:
    with shop.session() as dal:
        for call, told in (
            (lambda: dal.specimen.upsert(name="x"), "specimen.upsert: the values give no unique key.* id"),
            (lambda: dal.tally.upsert(name=None, hits=1), r"no unique key in full.* id, name"),
            (
                lambda: dal.tally.upsert(id=1, name="x"),
                r"more than one unique key \(id, name\).*_key=\['id'\]",
            ),
            (lambda: dal.tally.upsert(_key="hits", hits=1), r"hits is no unique key.* id, name"),
            (lambda: dal.tally.upsert(nmae="x"), "no field nmae.*name"),
            (lambda: dal.tally.upsert(name="x", _update={"name": "y"}), "name is part of the key"),
            (lambda: dal.tally.bulk_update([{"name": "x", "hits": 1}]), "row 0 has no id"),
            (lambda: dal.tally.bulk_update([{"id": 1}]), "nothing but its key"),
            (lambda: dal.tally.bulk_update([{"id": None, "hits": 1}]), "row 0 is None"),
            (lambda: dal.tally.bulk_update([{"id": 1, "hits": 1}, {"id": 1, "hits": 2}]), "rows 0 and 1"),
            (lambda: dal.tally.bulk_update([{"id": 1, "hist": 1}]), "no field hist.*hits"),
            (lambda: dal.tally.bulk_update([{"id": 1, "hits": dal.tally.hits + 1}]), "is an expression"),
        ):
            with pytest.raises(UsageError, match=told):
                call()
        with pytest.raises(DataError, match=r"row 1: tally\.name"):
            dal.tally.bulk_update([{"id": 1, "name": "x"}, {"id": 2, "name": "y" * 41}])
        assert dal(dal.tally).count() == 0


def test_another_unique_key_is_a_violation_on_every_engine(shop: Database) -> None:
    with shop.session() as dal:
        one, two = dal.tally.upsert(name="a", hits=1), dal.tally.upsert(name="b", hits=2)
        for key in (two, 77):
            with pytest.raises(UniqueViolation), shop.session():
                dal.tally.upsert(_key="id", id=key, name="a", hits=3)
        assert [(row.id, row.name, row.hits) for row in dal(dal.tally).select(orderby=dal.tally.id)] == [
            (one, "a", 1),
            (two, "b", 2),
        ]


def test_an_index_of_some_rows_decides_nothing_and_is_not_passed_over(shop: Database) -> None:
    with shop.session() as dal:
        t = dal.locker
        for given in ({"_key": "holder", "number": 1}, {}):
            with pytest.raises(ArgumentError, match=r"unique keys?.* number$"):
                t.upsert(**given, holder="Ada", taken=True)
        assert t.upsert(number=1, holder="Ada", taken=True) == t.upsert(number=1, holder="Zoe", taken=True)
        t.upsert(number=2, holder="Ada", taken=True)
        for number in (1, 3):
            with pytest.raises(UniqueViolation) as raised, shop.session():
                t.upsert(number=number, holder="Ada", taken=True)
            assert (raised.value.constraint, raised.value.columns) == ("uq_locker_holder", ("holder",))
        assert t.update_or_insert(t.holder == "Eve", number=4, holder="Eve", taken=True)
        assert t.update_or_insert(t.holder == "Eve", number=4, holder="Eve", taken=False) is None
        rows = [(row.number, row.holder, row.taken) for row in dal(t).select(orderby=t.number)]
        assert rows == [(1, "Zoe", True), (2, "Ada", True), (4, "Eve", False)]


def test_hooks_of_the_program_are_called(shop: Database) -> None:
    called: list[str] = []
    hooks = {
        "_before_insert": lambda row: called.append("before insert"),
        "_after_update": lambda found, row: called.append("after update"),
    }
    for name, hook in hooks.items():
        getattr(shop.dal.tally, name).append(hook)
    try:
        with shop.session() as dal:
            key = dal.tally.upsert(name="a", hits=1)
            assert dal.tally.upsert(name="a", hits=2) == key
            assert dal.tally.bulk_update([{"id": key, "hits": 3}]) == 1
            assert called == ["before insert", "after update", "after update"]
            assert dal(dal.tally).select().first().hits == 3
    finally:
        for name, hook in hooks.items():
            getattr(shop.dal.tally, name).remove(hook)


def test_no_count_is_lost_among_many_writers(shop: Database) -> None:
    def upsert(number: int) -> None:
        for turn in range(10):
            word = f"word {(number + turn) % 3}"
            shop.run(
                lambda dal, word=word: dal.tally.upsert(
                    name=word, hits=1, _update={"hits": dal.tally.hits + 1}
                ),
                attempts=30,
            )

    def update_or_insert(number: int) -> list[Any]:
        return [
            shop.run(
                lambda dal, name=name: dal.tally.update_or_insert(
                    dal.tally.name == name, name=name, hits=number
                ),
                attempts=30,
            )
            for name in ("x", "y")
        ]

    assert in_threads(6, upsert) == [None] * 6
    made = in_threads(6, update_or_insert)
    with shop.session() as dal:
        t = dal.tally
        assert dal(t.name.startswith("word")).select(t.hits.sum()).first()[t.hits.sum()] == 60
        assert dal(t.name.startswith("word")).count() == 3
        assert dal(t.name.belongs(["x", "y"])).count() == 2
        assert sum(key is not None for keys in made for key in keys) == 2, made


def test_many_records_are_updated_by_key(shop: Database) -> None:
    with shop.session() as dal:
        t = dal.specimen
        t.bulk_insert({"whole": number, "name": "old"} for number in range(450))
        rows = dal(t).select(t.id, t.whole, orderby=t.id)
        moment = dt.datetime(2024, 2, 29, 12, 0, 0, 123456, dt.UTC)

        def values(number: int) -> dict[str, Any]:
            if number % 10 == 0:
                return dict.fromkeys(
                    ("whole", "big", "real", "price", "boolean", "name", "story", "blob", "day", "clock", "naive",
                     "moment", "span", "ident", "document", "mood")
                )  # fmt: skip
            return {
                "whole": number, "big": number << 40, "real": number / 7, "price": Decimal(number) / 4,
                "boolean": number % 2 == 0, "name": f"it's {number} %s", "story": "é\\" * number,
                "blob": bytes([number % 256]), "day": moment.date(), "clock": moment.time(),
                "naive": moment.replace(tzinfo=None), "moment": moment, "span": dt.timedelta(microseconds=number),
                "ident": uuid.UUID(int=number), "document": {"n": number}, "mood": "calm",
            }  # fmt: skip

        assert t.bulk_update({"id": row.id} | values(row.whole) for row in rows) == 450
        for before, row in zip(rows, dal(t).select(orderby=t.id), strict=True):
            assert {name: row[name] for name in values(before.whole)} == values(before.whole)
        assert t.bulk_update([{"id": rows[0].id, "name": "x"}, {"id": -1, "name": "y"}]) == 1
        assert t.bulk_update([{"id": rows[1].id, "name": "z"}, {"id": rows[2].id, "whole": None}]) == 2
        assert t.bulk_update([]) == 0
        keyed = [{"whole": 13, "small": 1}, {"whole": 14, "small": 2}]
        assert t.bulk_update(keyed, key="whole") == 2
        dal.seat.bulk_insert([{"row": r, "number": n} for r in range(15) for n in range(1, 16)])
        assert (
            dal.seat.bulk_update(
                {"row": r, "number": n, "guest": f"{r}/{n}"} for r in range(15) for n in range(1, 16)
            )
            == 225
        )
        assert all(seat.guest == f"{seat.row}/{seat.number}" for seat in dal(dal.seat).select())
        assert dal.country.insert(code="DE", name="?") == "DE"
        assert dal.country.bulk_update([{"code": "DE", "name": "Deutschland"}]) == 1
        dal.defaulted.insert(id=1)
        assert dal.defaulted.bulk_update([{"id": 1, "label": "new"}]) == 1
        assert dal.defaulted[1].touched == "touched"


def test_validate_and_update_or_insert(shop: Database) -> None:
    with shop.session() as dal:
        found = dal.tally.validate_and_update_or_insert({"name": "a"}, name="a", hits=1)
        assert found["id"]
        dal.tally.validate_and_update_or_insert({"name": "a"}, name="a", hits=2)
        assert [row.hits for row in dal(dal.tally).select()] == [2]
