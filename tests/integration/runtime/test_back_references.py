"""References and the sets that refer back, as stock PyDAL has them on the same tables."""

from typing import Any

import pytest
from pydal import Field

from ringfence.runtime import Database
from servers.base import Database as FreshDatabase
from support import runtime_shop
from support.pydal_sides import Stock


@pytest.mark.engines("sqlite", "postgresql", "mariadb")
def test_back_references_are_those_of_stock_pydal(shop: Database, shop_db: FreshDatabase) -> None:
    with shop.session() as dal:
        nail = dal.item.insert(name="nail", amount=3)
        dal.item.insert(name="screw", amount=4)
        dal.part.bulk_insert({"item_id": nail, "label": label} for label in ("head", "shaft"))
    stock = Stock(shop_db, runtime_shop.mirror())
    try:
        stock.dal.define_table("item", Field("name"), Field("amount", "integer"), migrate=False)
        stock.dal.define_table("part", Field("item_id", "reference item"), Field("label"), migrate=False)
        with stock.session() as theirs:
            wanted = gathered(theirs)
        assert wanted["parts"] == ["head", "shaft"]
        for compiled in (True, False):
            shop.dal._adapter.compiled = compiled
            with shop.session() as dal:
                assert gathered(dal) == wanted
    finally:
        stock.close()


def gathered(dal: Any) -> dict[str, Any]:
    """What a row says of those that refer to it, and a reference of what it refers to."""
    row = dal(dal.item.name == "nail").select().first()
    part = dal(dal.part.label == "head").select().first()
    both = dal(dal.part.item_id == dal.item.id).select(orderby=dal.part.id).first()
    return {
        "there": ("part" in row, "part" in part, "item" in row),
        "parts": [each.label for each in row.part.select(orderby=dal.part.id)],
        "called": [each.label for each in row.part(dal.part.label == "head").select()],
        "count": (row.part.count(), row.part.isempty()),
        "reference": (int(part.item_id), part.item_id.name, part.item_id.amount, part.item_id.id == row.id),
        "through both": both.part.item_id.name,
        "joined": (both.item.part.count(), both.item.name),
        "by key": dal.item[row.id].part.select().first().label,
        "plain": (sorted(row.as_dict()), sorted(part.as_dict())),
    }
