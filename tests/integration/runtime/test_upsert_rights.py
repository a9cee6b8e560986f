"""An account that may not update what decides, or what its scope says, has an upsert all the same."""

import copy
from typing import Any

import pytest

import runtime_shop
from ringfence.runtime import AccessDenied, Database
from runtime_shop import MIRROR, PASSWORD
from servers.base import Database as FreshDatabase


def _narrow() -> dict[str, Any]:
    """The till, that may update amounts alone, and of nails and screws alone."""
    tables = copy.deepcopy(MIRROR["tables"])
    for name in ("id", "name"):
        tables["item"]["columns"][name]["updatable"] = False
    return {"tables": tables}


def _account(database: FreshDatabase) -> dict[str, str]:
    """Its login, as the environment names it; on SQLite the mirror is all there is."""
    if database.server.db_type == "sqlite":
        return database.env()
    login = runtime_shop.make_account(database)
    if database.server.db_type == "postgresql":
        database.execute(
            f'REVOKE UPDATE ON item FROM "{login}"', f'GRANT UPDATE (amount) ON item TO "{login}"'
        )
    else:
        database.execute(
            f"REVOKE UPDATE ON `{database.name}`.item FROM '{login}'@'%'",
            f"GRANT UPDATE (amount) ON `{database.name}`.item TO '{login}'@'%'",
        )
    return database.env() | {"DB_USER": login, "DB_PASS": PASSWORD}


def test_what_may_not_be_updated_is_not(shop_db: FreshDatabase) -> None:
    with runtime_shop.opened(_account(shop_db), None, _narrow()) as db:
        with db.session() as dal:
            key = dal.item.upsert(name="nail", amount=1)
            assert dal.item.upsert(name="nail", amount=2) == key
            assert dal.item.upsert(name="nail", amount=0, _update={"amount": dal.item.amount + 5}) == key
            assert dal.item.update_or_insert(dal.item.name == "nail", name="nail", amount=8) is None
            assert dal.item.update_or_insert(dal.item.name == "new", name="new", amount=3) is not None
            assert dal.item.bulk_update([{"id": key, "amount": 9}]) == 1
            assert [(row.name, row.amount) for row in dal(dal.item).select(orderby=dal.item.id)] == [
                ("nail", 9),
                ("new", 3),
            ]
        with pytest.raises(AccessDenied, match=r"update on item\.name"), db.session() as dal:
            dal.item.upsert(_key="id", id=key, name="other", amount=1)
        with pytest.raises(AccessDenied, match=r"update on item\.name"), db.session() as dal:
            dal.item.bulk_update([{"id": key, "name": "other"}])


def test_what_the_scope_says_stays(shop: Database, shop_db: FreshDatabase) -> None:
    changes = _narrow()
    scope = {"scope": [{"name": {"in": ["nail", "screw"], "type": "string", "params": {"length": 50}}}]}
    changes["tables"]["item"]["verbs"] = dict.fromkeys(("select", "insert", "update"), scope)
    with runtime_shop.opened(shop_db.env(), None, changes) as db, db.session() as dal:
        key = dal.item.upsert(name="nail", amount=1)
        assert dal.item.upsert(_key="id", id=key, name="nail", amount=2) == key
        assert dal.item[key].amount == 2
