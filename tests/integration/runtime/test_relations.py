"""A verb goes through the relation that the mirror names for it, and the program's queries stay as they are."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ringfence.runtime import Database
from servers.base import Database as FreshDatabase
from support import runtime_shop
from support.runtime_shop import MIRROR

_VERBS = {"select": "shelf", "insert": "shelf_in", "update": "shelf_up", "delete": "shelf_out"}


def _routed(engine: str, schema: str | None) -> dict[str, Any]:
    """The shop's tables, with four views before `item`."""
    tables = copy.deepcopy(MIRROR["tables"])
    tables["item"]["verbs"] = {verb: {"relations": {engine: view}} for verb, view in _VERBS.items()}
    tables["item"]["schema"] = schema
    tables["part"]["foreign_keys"][0]["schema"] = schema
    return {"tables": tables}


def _schema(database: FreshDatabase) -> str:
    return "public" if database.server.db_type == "postgresql" else database.name


def _stocked(db: Database) -> tuple[Any, Any]:
    with db.session() as dal:
        nail = dal.item.insert(name="nail", amount=1)
        keys = dal.item.bulk_insert([{"name": "screw", "amount": 2}, {"name": "hidden", "amount": 3}])
        dal.part.insert(item_id=nail, label="head")
        assert len(keys) == 2
    return dal, nail


@pytest.mark.requires("networked")
@pytest.mark.parametrize("named", [lambda database: None, _schema], ids=["unqualified", "qualified"])
def test_each_verb_goes_its_way(shop_db: FreshDatabase, named: Callable[[FreshDatabase], str | None]) -> None:
    shop_db.execute(
        *(f"CREATE VIEW {view} AS SELECT id, name, amount FROM item WHERE {where}" for view, where in (
            ("shelf", "name <> 'hidden'"),
            ("shelf_in", "1 = 1"),
            ("shelf_up", "amount < 9"),
            ("shelf_out", "amount = 0"),
        ))
    )  # fmt: skip
    try:
        changes = _routed(shop_db.server.engine, named(shop_db))
        with runtime_shop.opened(shop_db.env(), None, changes) as db:
            _through_the_views(db)
            assert not [stage for stage in db.readiness().stages if stage.state == "missing-grant"]
    finally:
        shop_db.execute(*(f"DROP VIEW {view}" for view in _VERBS.values()))
    assert shop_db.execute("SELECT name, amount FROM item ORDER BY id") == [("nail", 9), ("hidden", 3)]


def _through_the_views(db: Database) -> None:
    dal, nail = _stocked(db)
    item, part = dal.item, dal.part
    with db.session():
        assert [row.name for row in dal(item).select(orderby=item.id)] == ["nail", "screw"]
        assert dal(item).count() == 2
        assert dal(part.item_id == item.id).select(item.name, part.label).first().item.name == "nail"
        left = dal(item).select(item.name, part.label, left=part.on(part.item_id == item.id))
        assert {row.item.name for row in left} == {"nail", "screw"}
        other = item.with_alias("other")
        assert dal(other.name == "screw").select(other.amount).first().amount == 2
        nested = dal(item.amount > 1)._select(item.id)
        assert [row.name for row in dal(item.id.belongs(nested)).select()] == ["screw"]
        assert [row.name for row in dal(item).iterselect(orderby=item.id)] == ["nail", "screw"]
        assert item[nail].part.count() == 1

        assert dal(item.name == "screw").update(amount=0) == 1
        assert dal(item.id == nail).update(amount=item.amount + 8) == 1
        assert dal(item.name == "nail").update(amount=1) == 0  # 9 is not below 9
        assert dal((item.name == "nail") | (item.name == "screw")).delete() == 1
        assert item.update_or_insert(item.name == "nail", name="nail", amount=9) is None
