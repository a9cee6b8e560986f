"""An account that may not update what decides, or what its scope says, has an upsert all the same."""

import copy
from typing import Any

import pytest

from ringfence.runtime import AccessDenied, Database, UniqueViolation
from servers.base import Database as FreshDatabase
from support import runtime_shop
from support.runtime_shop import MIRROR, PASSWORD


def _narrow() -> dict[str, Any]:
    """The till, that may update amounts alone, and of nails and screws alone."""
    tables = copy.deepcopy(MIRROR["tables"])
    for name in ("id", "name"):
        tables["item"]["columns"][name]["updatable"] = False
    return {"tables": tables}


def _verbs(database: FreshDatabase, *verbs: str) -> tuple[dict[str, str], dict[str, Any]]:
    """The till with these verbs alone on items: its login, and what its mirror says."""
    tables = copy.deepcopy(MIRROR["tables"])
    tables["item"]["verbs"] = {verb: {} for verb in verbs}
    for column in tables["item"]["columns"].values():
        may = {"selectable": "select", "insertable": "insert", "updatable": "update"}
        column |= {right: verb in verbs for right, verb in may.items()}
    if database.server.db_type == "sqlite":
        return database.env(), {"tables": tables}
    login = runtime_shop.make_account(database)
    postgresql = database.server.db_type == "postgresql"
    item, to = ("item", f'"{login}"') if postgresql else (f"`{database.name}`.item", f"'{login}'@'%'")
    database.execute(f"REVOKE ALL ON {item} FROM {to}", f"GRANT {', '.join(verbs).upper()} ON {item} TO {to}")
    return database.env() | {"DB_USER": login, "DB_PASS": PASSWORD}, {"tables": tables}


def test_an_account_that_may_only_insert_leaves_existing_rows(shop_db: FreshDatabase) -> None:
    env, changes = _verbs(shop_db, "insert")
    shop_db.execute("INSERT INTO item (name, amount) VALUES ('nail', 7), ('screw', 8)")
    with runtime_shop.opened(env, None, changes) as db:
        with db.session() as dal:
            item = dal.item
            for _ in range(2):
                assert item.upsert(name="nail", amount=1, _update={}) is None
                assert item.upsert(name="bolt", amount=2, _update={}) is None
                assert item.upsert(name="rope") is None
                assert item.update_or_insert({"name": "nut"}, name="nut") is None
                assert item.update_or_insert(item.name == "nail", name="nail") is None
            item.insert(name="tack", amount=5)  # the session goes on
            with pytest.raises(UniqueViolation, match="name"), db.session():
                item.upsert(_key="id", id=4711, name="screw", _update={})  # another unique key is met
        for wrong, verb in (
            (lambda dal: dal.item.upsert(name="nail", amount=1), "update"),
            (lambda dal: dal.item.upsert(name="new", amount=1), "update"),
            (lambda dal: dal.item.update_or_insert(dal.item.name == "x", name="x", amount=1), "update"),
            (lambda dal: dal.item.update_or_insert(dal.item.amount > 1, name="x", amount=1), "select"),
            (lambda dal: dal.item.bulk_update([{"id": 1, "amount": 1}]), "update"),
            (
                lambda dal: dal.item.validate_and_update_or_insert({"name": "x"}, name="x", amount=1),
                "select",
            ),
        ):
            with pytest.raises(AccessDenied) as denied, db.session() as dal:
                wrong(dal)
            assert (denied.value.verb, denied.value.table) == (verb, "item"), denied.value
            assert "item" in str(denied.value)
    rows = [tuple(row) for row in shop_db.execute("SELECT name, amount FROM item ORDER BY name")]
    assert rows == [("bolt", 2), ("nail", 7), ("nut", 0), ("rope", 0), ("screw", 8), ("tack", 5)]


def test_every_row_is_written_by_an_account_that_may_not_read(shop_db: FreshDatabase) -> None:
    """Without a condition: a server wants the right to read for any."""
    env, changes = _verbs(shop_db, "update", "delete")
    shop_db.execute("INSERT INTO item (name, amount) VALUES ('nail', 7), ('screw', 8)")
    with runtime_shop.opened(env, None, changes) as db:
        for wrong in (lambda dal: dal(dal.item).select(), lambda dal: dal(dal.item.id == 1).delete()):
            with pytest.raises(AccessDenied), db.session() as dal:
                wrong(dal)
        with db.session() as dal:
            assert dal(dal.item).update(amount=9) == 2
        assert [row[0] for row in shop_db.execute("SELECT amount FROM item")] == [9, 9]
    env, changes = _verbs(shop_db, "delete")
    changes["tables"]["item"]["columns"] = {}  # as the mirror of such an account is
    with runtime_shop.opened(env, None, changes) as db:
        for wrong in (
            lambda dal: dal(dal.item).select(),
            lambda dal: dal(dal.item).isempty(),
            lambda dal: dal(dal.item).count(),
        ):
            with pytest.raises(AccessDenied), db.session() as dal:
                wrong(dal)
        with db.session() as dal:
            assert dal(dal.item).delete() == 2
    assert shop_db.execute("SELECT count(*) FROM item")[0][0] == 0


def test_an_account_that_may_not_read_upserts_where_the_server_lets_it(shop_db: FreshDatabase) -> None:
    env, changes = _verbs(shop_db, "insert", "update")
    with runtime_shop.opened(env, None, changes) as db:
        for amount in (1, 2):
            if shop_db.server.engine == "mysql":
                with db.session() as dal:
                    assert dal.item.upsert(name="nail", amount=amount) is None
                continue
            with pytest.raises(AccessDenied) as denied, db.session() as dal:
                dal.item.upsert(name="nail", amount=amount)
            assert (denied.value.verb, denied.value.table) == ("select", "item")
        with db.session() as dal:
            assert dal.item.upsert(name="bolt", amount=3, _update={}) is None
    rows = [tuple(row) for row in shop_db.execute("SELECT name, amount FROM item ORDER BY name")]
    assert rows == [("bolt", 3)] + [("nail", 2)] * (shop_db.server.engine == "mysql")


def test_an_account_upserts_what_it_may_write_and_not_read(shop_db: FreshDatabase) -> None:
    tables = copy.deepcopy(MIRROR["tables"])
    tables["item"]["columns"]["amount"]["selectable"] = False
    env = shop_db.env()
    if shop_db.server.db_type != "sqlite":
        login = runtime_shop.make_account(shop_db)
        postgresql = shop_db.server.db_type == "postgresql"
        item, to = ("item", f'"{login}"') if postgresql else (f"`{shop_db.name}`.item", f"'{login}'@'%'")
        shop_db.execute(f"REVOKE SELECT ON {item} FROM {to}", f"GRANT SELECT (id, name) ON {item} TO {to}")
        env |= {"DB_USER": login, "DB_PASS": PASSWORD}
    with runtime_shop.opened(env, None, {"tables": tables}) as db:
        with db.session() as dal:
            key = dal.item.upsert(name="nail", amount=1)
        with db.session() as dal:
            assert dal.item.upsert(name="nail", amount=2) == key
    assert [tuple(row) for row in shop_db.execute("SELECT name, amount FROM item")] == [("nail", 2)]


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


def test_values_of_the_scope_are_kept(shop: Database, shop_db: FreshDatabase) -> None:
    changes = _narrow()
    scope = {"scope": [{"name": {"in": ["nail", "screw"], "type": "string", "params": {"length": 50}}}]}
    changes["tables"]["item"]["verbs"] = dict.fromkeys(("select", "insert", "update"), scope)
    with runtime_shop.opened(shop_db.env(), None, changes) as db, db.session() as dal:
        key = dal.item.upsert(name="nail", amount=1)
        assert dal.item.upsert(_key="id", id=key, name="nail", amount=2) == key
        assert dal.item[key].amount == 2
