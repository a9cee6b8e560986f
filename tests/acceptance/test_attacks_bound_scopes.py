"""Attacks on scopes that sessions bind, from inside the service: no session sees rows of the one before, or of another."""

import asyncio
import contextlib
import decimal
import os
from collections.abc import Iterator
from typing import Any

import pytest

from ringfence.runtime import (
    CheckViolation,
    Database,
    DataError,
    InterfaceError,
    PoolOptions,
    RingfenceError,
    Settings,
    Timeout,
    UniqueViolation,
    UsageError,
)
from ringfence.runtime.aio import AsyncDatabase
from servers.base import Server
from support.scoped_accounts import SAMPLE, ScopedAccounts, migrate_scoped_accounts

pytestmark = pytest.mark.newer

ROWS = [{"tenant_id": tenant, "number": f"{tenant}/{n}", "amount": n} for tenant in (1, 2) for n in (1, 2, 3)]


@pytest.fixture(scope="module")
def scoped(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScopedAccounts]:
    with server.database() as database:
        made = migrate_scoped_accounts(tmp_path_factory.mktemp("scoped"), database)
        with made.session("office") as dal:
            dal.invoice.bulk_insert(ROWS)
        yield made
        made.close()


@pytest.fixture
def portal(scoped: ScopedAccounts) -> Database:
    """A door of one connection, so that each session meets what the one before left."""
    return scoped.service("portal", size=1)


def seen(db: Database, tenant: int | None = None) -> set[int]:
    """The tenants that a session sees rows of."""
    with db.session(read_only=True, scope=None if tenant is None else {"tenant": tenant}) as dal:
        return {row.tenant_id for row in dal(dal.invoice).select()}


def test_nothing_is_left_by_a_session_however_it_ends(portal: Database) -> None:
    with pytest.raises(UniqueViolation), portal.session(scope={"tenant": 1}) as dal:
        dal.invoice.insert(tenant_id=1, number="2/1")
    assert seen(portal) == set()
    with pytest.raises(Timeout), portal.session(scope={"tenant": 1}) as dal:
        dal(dal.invoice).count()
        portal.current().cancel()
        dal(dal.invoice).count()
    assert seen(portal) == set()
    with pytest.raises(ZeroDivisionError), portal.session(scope={"tenant": 1}, read_only=True) as dal:
        _ = 1 / (dal(dal.invoice).count() - 3)
    assert seen(portal, 2) == {2}
    with portal.session(scope={"tenant": 1}) as dal:
        dal.commit()
        assert dal(dal.invoice.tenant_id != 1).isempty()
        dal.rollback()
        with contextlib.suppress(ZeroDivisionError), portal.session():
            _ = 1 / dal(dal.invoice.tenant_id != 1).count()
        assert dal(dal.invoice).count() == 3
    assert seen(portal) == set()


def test_rows_that_are_read_on_come_from_the_session_that_asked(portal: Database) -> None:
    with portal.session(scope={"tenant": 1}) as dal:
        rows = iter(dal(dal.invoice).iterselect())
        assert next(rows).tenant_id == 1
        row = dal(dal.invoice).select().first()
    with portal.session(scope={"tenant": 2}) as dal:
        with contextlib.suppress(UsageError):  # unless they had come by then
            assert {r.tenant_id for r in rows} <= {1}
        assert row.update_record(amount=99) in (None, row)
        assert {r.tenant_id for r in dal(dal.invoice).iterselect()} == {2}
    with portal.session(scope={"tenant": 1}) as dal:
        assert dal(dal.invoice.amount == 99).isempty()


@pytest.mark.parametrize(
    "value", [None, "", "1\0", "1 OR 1", "--1", "9" * 5000, 2**31, True, 1.5, float("nan"), decimal.Decimal("sNaN"), [1], b"1"]
)  # fmt: skip
def test_what_is_no_value_binds_nothing(portal: Database, value: Any) -> None:
    with pytest.raises(DataError, match="scope tenant"), portal.session(scope={"tenant": value}):
        pytest.fail("it was bound")


def test_a_scope_is_what_it_was_when_the_session_began(portal: Database) -> None:
    scope = {"tenant": 1}
    with portal.session(scope=scope) as dal:
        scope["tenant"] = 2
        assert dal(dal.invoice.tenant_id != 1).isempty()
        with pytest.raises(InterfaceError), portal.session(scope={"tenant": 2}):
            pytest.fail("it was nested")
        with portal.session(scope={"tenant": "1"}):
            assert dal(dal.invoice).count() == 3


def test_sql_of_the_program_s_own_leaves_no_scope_behind(portal: Database) -> None:
    for sql in (
        "SET @ringfence_tenant = 2",
        "SELECT @ringfence_tenant := 2",
        "SET app.tenant = '2'",
        "SET LOCAL app.tenant = '2'",
        "SELECT set_config('app.tenant', '2', false)",
        """SELECT "set_config"('app.tenant', '2', false)""",
    ):
        with contextlib.suppress(RingfenceError), portal.session(scope={"tenant": 1}) as dal:
            dal.executesql(sql)
        assert seen(portal) == set()
        assert seen(portal, 1) == {1}


def test_a_cache_gives_nothing_of_another_scope_account_or_query(
    scoped: ScopedAccounts, portal: Database
) -> None:
    class Cache(dict[str, Any]):
        def __call__(self, key: str, get: Any, _seconds: int) -> Any:
            if key not in self:
                self[key] = get()
            return self[key]

    def found(dal: Any, cache: Any, **options: Any) -> set[int]:
        return {row.tenant_id for row in dal(dal.invoice).select(cache=cache, **options)}

    kept = Cache()
    for cache in (
        (kept, 60),
        {"model": kept, "expiration": 60},
        {"model": kept, "expiration": 60, "key": "mine"},
    ):
        for tenant in (1, 2, 1):
            with portal.session(scope={"tenant": tenant}) as dal:
                assert found(dal, cache) == {tenant}
                if isinstance(cache, tuple):
                    assert found(dal, cache, cacheable=True) == {tenant}
        kept.clear()
    with scoped.session("office") as dal:
        assert found(dal, (kept, 60)) == {1, 2}
        assert dal(dal.invoice).count(cache=(kept, 60)) == 6
        assert dal(dal.invoice.tenant_id == 1).count(cache=(kept, 60)) == 3
    with portal.session() as dal:
        assert found(dal, (kept, 60)) == set()
        assert dal(dal.invoice).count(cache=(kept, 60)) == 0
    with portal.session(scope={"tenant": 1}) as dal:
        assert dal(dal.invoice).count(cache={"model": kept, "expiration": 60}) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_has_not_its_parent_s_scope(portal: Database) -> None:
    with portal.session(read_only=True, scope={"tenant": 1}) as dal:
        assert dal(dal.invoice).count() == 3
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                with contextlib.suppress(RingfenceError):
                    dal(dal.invoice).count()
                    os.write(writing, b"the parent's rows ")
                try:
                    said = str(sorted(seen(portal)))
                except RingfenceError as error:
                    said = str(error)
                os.write(writing, said.encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            assert pipe.read().startswith(
                "[]" if portal.backend.features.survives_fork else "this process was forked"
            )
        os.waitpid(child, 0)
        assert dal(dal.invoice).count() == 3


def test_tasks_have_each_their_own(scoped: ScopedAccounts) -> None:
    login = scoped.login("portal")
    settings = Settings.from_env(scoped.database.env(login, scoped.password("portal")))

    async def tenants(adb: AsyncDatabase, tenant: int) -> set[int]:
        scope = {"tenant": tenant} if tenant else None
        async with adb.session(read_only=True, scope=scope) as session:
            return await session.run(lambda dal: {row.tenant_id for row in dal(dal.invoice).select()})

    async def abandoned(adb: AsyncDatabase) -> None:
        async with adb.session(read_only=True, scope={"tenant": 1}) as session:
            await session.run(lambda dal: dal(dal.invoice).count())
            await asyncio.Event().wait()

    async def main() -> list[set[int]]:
        adb = AsyncDatabase(settings, scoped.mirror("portal"), PoolOptions(size=2))
        try:
            task = asyncio.create_task(abandoned(adb))
            await asyncio.sleep(0)
            found = await asyncio.gather(*(tenants(adb, number % 3) for number in range(9)))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return [*found, *await asyncio.gather(*(tenants(adb, 0) for _ in range(4)))]
        finally:
            await adb.close()

    assert asyncio.run(main()) == [{number % 3} - {0} for number in range(9)] + [set()] * 4


def test_a_value_is_bound_as_it_is_and_finds_its_own_rows_alone(scoped: ScopedAccounts) -> None:
    words = [
        "'; --",
        "\\",
        "\\'",
        '"',
        "50%s %(x)s",
        "$1",
        "some",
        "Some",
        "some ",
        "sömé",
        "so\u0301",
        "\U0001f600",
        "\n\x1a",
    ]
    with scoped.session("office") as dal:
        dal.sample.bulk_insert([SAMPLE | {"word": word, "remark": str(n)} for n, word in enumerate(words)])
    binder = scoped.service("binder", size=1)
    bound = {name: SAMPLE[name] for name in ("ident", "flag", "day", "mood")}
    placeholder = "?" if binder.backend.features.paramstyle == "qmark" else "%s"
    for n, word in enumerate(words):
        with binder.session(scope=bound | {"word": word}) as dal:
            assert [str(row[0]) for row in dal.executesql(f"SELECT {placeholder}", ("%s",))] == ["%s"]
            assert [row.remark for row in dal(dal.sample).select()] == [str(n)]
            assert dal(dal.sample).update(remark=str(n)) == 1
    for word in ("some" + " " * 5000, "x" * 100_000, "'; SELECT 1; --", "%"):
        with contextlib.suppress(RingfenceError), binder.session(scope=bound | {"word": word}) as dal:
            assert dal(dal.sample).isempty()


def test_an_error_of_the_program_s_own_sql_names_no_table_that_is_not_known(
    scoped: ScopedAccounts, portal: Database
) -> None:
    relation = scoped.relation("portal", "invoice", "insert")
    for tenant, number, kind in ((2, "x", CheckViolation), (1, "2/1", UniqueViolation)):
        with pytest.raises(kind) as raised, portal.session(scope={"tenant": 1}) as dal:
            dal.executesql(
                f"INSERT INTO {relation} (tenant_id, number, amount) VALUES ({tenant}, '{number}', 1)"
            )
        assert "None" not in str(raised.value)
