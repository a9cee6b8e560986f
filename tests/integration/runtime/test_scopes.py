"""Scopes that a session binds: what it may bind, what a nested one has, and that nothing of it is left behind."""

import asyncio
import copy
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from ringfence.runtime import (
    BadMirror,
    Database,
    DataError,
    InterfaceError,
    PoolOptions,
    Settings,
    UnknownName,
)
from ringfence.runtime.aio import AsyncDatabase
from ringfence.runtime.flask import Ringfence
from servers.base import Database as FreshDatabase
from servers.base import Server
from support import runtime_shop
from support.runtime_shop import in_threads, opened

pytestmark = pytest.mark.newer

SCOPES: dict[str, Any] = {
    "tenant": {"type": "integer", "setting": "ringfence.tenant", "unset": "none"},
    "label": {"type": "string", "setting": "app.label", "unset": "error"},
}
HOSTILE = "50% \\ of 'x'; --\n%s %(a)s é€😀"


def _changes() -> dict[str, Any]:
    tables = copy.deepcopy(runtime_shop.MIRROR["tables"])
    for verb in tables["part"]["verbs"].values():
        verb["scope"] = [{"label": {"bound": "label", "type": "string"}}]
    return {"tables": tables, "scopes": SCOPES}


@pytest.fixture
def scoped(shop_db: FreshDatabase) -> Iterator[Database]:
    with opened(shop_db.env(), PoolOptions(size=3), _changes()) as shop:
        yield shop


def _bound(dal: Any) -> list[Any]:
    return list(
        dal.executesql(
            "SELECT current_setting('ringfence.tenant', true), current_setting('app.label', true)"
        )[0]
    )


def test_only_what_the_mirror_binds_can_be_bound_and_only_to_what_fits(
    scoped: Database, shop: Database
) -> None:
    for scope, error, words in (
        ({"tenat": 7}, UnknownName, "binds no scope tenat .it binds label, tenant"),
        ({"tenant": "seven"}, DataError, "scope tenant: a whole number"),
        ({"tenant": 1 << 40}, DataError, "scope tenant: .*between"),
        ({"tenant": None}, DataError, "leave the name out"),
        ({"label": ""}, DataError, "leave the name out"),
        ({"label": "a\0b"}, DataError, "NUL"),
    ):
        with pytest.raises(error, match=words), scoped.session(scope=scope):
            pass
    with pytest.raises(UnknownName, match="binds none"), shop.session(scope={"tenant": 7}):
        pass


def test_a_nested_session_has_the_scope_of_the_outer_one(scoped: Database) -> None:
    with scoped.session(scope={"tenant": 7}):
        with scoped.session(), scoped.session(scope={"tenant": 7}), scoped.session(scope={}):
            assert scoped.current().mode.scope == {"tenant": 7}
        for other in ({"tenant": 8}, {"tenant": 7, "label": "x"}):
            with pytest.raises(InterfaceError, match="another scope"), scoped.session(scope=other):
                pass
    with (
        scoped.session(),
        pytest.raises(InterfaceError, match="another scope"),
        scoped.session(scope={"tenant": 7}),
    ):
        pass


def test_a_statement_that_needs_a_scope_is_not_sent_without_it(scoped: Database) -> None:
    with scoped.session(scope={"tenant": 7}) as dal:
        item, part = dal.item, dal.part
        other = part.with_alias("other")
        for needs in (
            lambda: dal(part).select(),
            lambda: dal(part).count(),
            lambda: dal(part.item_id == item.id).select(item.name, part.label),
            lambda: dal(item).select(item.name, left=part.on(part.item_id == item.id)),
            lambda: dal(item).select(item.name, join=[other.on(other.item_id == item.id)]),
            lambda: list(dal(part.item_id > 0).iterselect()),
            lambda: part.insert(item_id=1, label="x"),
            lambda: part.bulk_insert([{"item_id": 1, "label": "x"}]),
            lambda: dal(part).update(label="x"),
            lambda: dal(part).delete(),
        ):
            with pytest.raises(
                InterfaceError, match=r'on part a session must bind label: .*session.scope=\{"label": …\}'
            ):
                needs()
        dal.item.insert(name="tea", amount=1)
    with scoped.session(scope={"label": "x"}) as dal:
        assert dal(dal.item).count() == 1
        assert not dal(dal.part.label == "y").select()


def test_a_type_that_cannot_be_bound_is_reported_at_once(shop_db: FreshDatabase) -> None:
    bad = {"scopes": {"tenant": SCOPES["tenant"] | {"type": "json"}}}
    with pytest.raises(BadMirror, match=r"scopes\.tenant"), opened(shop_db.env(), None, bad):
        pass


def test_flask_asks_once_for_each_request(scoped: Database) -> None:
    app, asked = Flask(__name__), []

    def scope() -> dict[str, Any] | None:
        asked.append(1)
        with scoped.session() as dal:  # a look-up of its own
            return {"tenant": 7 + dal(dal.item).count()}

    ringfence = Ringfence(app, database=scoped, scope=scope, metrics=False)

    @app.get("/")
    def view() -> Any:
        _ = ringfence.dal
        return dict(scoped.current().mode.scope)

    @app.after_request
    def again(response: Any) -> Any:
        _ = ringfence.dal
        assert scoped.current().mode.scope == {"tenant": 7}
        return response

    client = app.test_client()
    assert client.get("/").json == {"tenant": 7}
    assert len(asked) == 1
    with scoped.session() as dal:
        dal.item.insert(name="tea", amount=1)


def test_flask_reports_a_scope_function_that_waits_for_itself(scoped: Database) -> None:
    app = Flask(__name__)
    app.testing = True
    ringfence = Ringfence(
        app, database=scoped, scope=lambda: {"tenant": ringfence.dal(0).count()}, metrics=False
    )
    app.get("/")(lambda: str(ringfence.dal))
    with pytest.raises(InterfaceError, match="waits for it"):
        app.test_client().get("/")


def test_tasks_bind_their_own(shop_db: FreshDatabase) -> None:
    mirror = runtime_shop.mirror(**_changes())

    async def bound(shop: AsyncDatabase, number: int) -> tuple[Any, Any]:
        async with shop.session(scope={"tenant": number}) as session:
            first = await session.run(lambda dal: shop.database.current().mode.scope["tenant"])
        second = await shop.run(
            lambda dal: shop.database.current().mode.scope["tenant"], scope={"tenant": -number}
        )
        return first, second

    async def main() -> None:
        async with AsyncDatabase(Settings.from_env(shop_db.env()), mirror, PoolOptions(size=3)) as shop:
            found = await asyncio.gather(*(bound(shop, number) for number in range(12)))
            assert found == [(number, -number) for number in range(12)]

    asyncio.run(main())


@pytest.mark.engines("postgresql")
class TestPostgreSQL:
    def test_scopes_travel_with_the_transaction_and_end_with_it(self, scoped: Database) -> None:
        with scoped.session(scope={"tenant": -7, "label": HOSTILE}) as dal:
            assert _bound(dal) == ["-7", HOSTILE]
            assert dal.executesql("SELECT %s", ["%"]) == [("%",)]
            dal.commit()
            assert dal.executesql("SELECT current_setting('app.label'), %s", ["%"]) == [(HOSTILE, "%")]
            dal.rollback()
            with scoped.session():  # begins by itself, for its savepoint
                assert _bound(dal) == ["-7", HOSTILE]
        with scoped.session(scope={"label": "x"}) as dal:
            assert _bound(dal) == ["", "x"]
        with scoped.session(read_only=True, timeout=5) as dal:
            assert _bound(dal) == ["", ""]
        assert scoped.run(_bound, scope={"tenant": 1}) == ["1", ""]

    def test_threads_on_shared_connections_see_their_own(self, scoped: Database) -> None:
        def work(number: int) -> list[list[Any]]:
            found = []
            for round_ in range(10):
                scope = {"tenant": number} if (number + round_) % 2 else {}
                with scoped.session(scope=scope) as dal:
                    found.append(_bound(dal) == [str(scope.get("tenant", "")), ""])
            return found

        assert in_threads(12, work) == [[True] * 10] * 12

    def test_a_service_without_scopes_sends_nothing_for_them(self, shop: Database) -> None:
        with shop.session():
            assert shop.backend.opening(shop.current().mode) == "BEGIN; "


def test_what_another_client_of_a_pooler_left_is_not_taken_over(
    postgres_server: Server, pgbouncer: Server
) -> None:
    with postgres_server.database() as database:
        through = database.through(pgbouncer)
        with opened(through.env(), PoolOptions(size=1), _changes()) as shop:
            through.execute("SET ringfence.tenant = '666'")
            with shop.session() as dal:
                assert _bound(dal) == ["", ""]
            with shop.session(scope={"tenant": 5}) as dal:
                assert _bound(dal) == ["5", ""]
