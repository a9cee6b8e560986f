"""Many rows at once: in few statements, with the same care as one."""

import datetime as dt
import uuid

import pytest

from ringfence.runtime import Database, DataError, UniqueViolation, UnknownName


def test_rows_keep_their_order_and_their_keys(shop: Database) -> None:
    with shop.session() as dal:
        keys = dal.specimen.bulk_insert(
            [{"name": f"it's {number} %", "whole": number} for number in range(2_500)]
        )
        assert len(keys) == 2_500
        rows = dal(dal.specimen).select(orderby=dal.specimen.id)
        assert [row.whole for row in rows] == list(range(2_500))
        assert rows[7].name == "it's 7 %"
        if shop.backend.returns_keys(shop.mirror.tables["specimen"]):
            assert [int(key) for key in keys] == [row.id for row in rows]
        else:
            assert set(keys) == {None}


def test_rows_may_name_other_columns_each(shop: Database) -> None:
    with shop.session() as dal:
        dal.specimen.bulk_insert([{"name": "a"}, {"whole": 1}, {"whole": 2}, {"name": "b", "whole": 3}, {}])
        rows = dal(dal.specimen).select(orderby=dal.specimen.id)
        assert [(row.name, row.whole) for row in rows] == [
            ("a", None),
            (None, 1),
            (None, 2),
            ("b", 3),
            (None, None),
        ]


def test_defaults_are_evaluated_for_each_row(shop: Database) -> None:
    with shop.session() as dal:
        dal.defaulted.bulk_insert([{"label": "a"}, {"label": "b"}])
        rows = dal(dal.defaulted).select()
        assert len({row.ident for row in rows}) == 2
        assert all(row.active is True and row.made.tzinfo is dt.UTC and row.bag == {} for row in rows)


def test_a_key_that_is_known_comes_back(shop: Database) -> None:
    with shop.session() as dal:
        keys = dal.owner.bulk_insert([{"name": "x"}, {"name": "y"}])
        assert all(isinstance(key, uuid.UUID) for key in keys)
        assert {row.id for row in dal(dal.owner).select()} == set(keys)


def test_a_mistake_names_its_row_and_stores_nothing(shop: Database) -> None:
    with pytest.raises(DataError, match=r"row 2: specimen.name"), shop.session() as dal:
        dal.specimen.bulk_insert([{"name": "a"}, {"name": "b"}, {"name": "x" * 41}])
    with pytest.raises(UnknownName, match="nmae"), shop.session() as dal:
        dal.specimen.bulk_insert([{"nmae": "a"}])
    with pytest.raises(UniqueViolation), shop.session() as dal:
        dal.owner.bulk_insert([{"name": "a"}, {"name": "a"}])
    with shop.session() as dal:
        assert dal(dal.specimen).count() == 0
        assert dal(dal.owner).count() == 0


def test_a_hook_that_refuses_the_rows_gives_no_keys(shop: Database) -> None:
    with shop.session() as dal:
        dal.tally._before_insert.append(lambda row: True)
        try:
            assert dal.tally.bulk_insert([{"name": "a"}, {"name": "b"}]) == []
        finally:
            dal.tally._before_insert.pop()
        assert dal(dal.tally).isempty()
