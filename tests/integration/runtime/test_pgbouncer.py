"""Through PgBouncer in transaction mode, which keeps no session state and forgives no startup option."""

import threading
from collections.abc import Iterator

import pytest

from ringfence.runtime import Database, InterfaceError, PoolOptions, Timeout, UniqueViolation
from servers.base import Database as FreshDatabase
from servers.base import Server
from support import runtime_shop
from support.runtime_shop import in_threads, opened, sleeping


@pytest.fixture
def pooled_db(postgres_server: Server, pgbouncer: Server) -> Iterator[FreshDatabase]:
    with postgres_server.database() as database:
        runtime_shop.create(database)
        login = runtime_shop.make_account(database)
        through = database.through(pgbouncer)
        through.login = login  # type: ignore[attr-defined]
        yield through


@pytest.fixture
def pooled(pooled_db: FreshDatabase) -> Iterator[Database]:
    env = pooled_db.env(pooled_db.login, runtime_shop.PASSWORD)  # type: ignore[attr-defined]
    with opened(env, PoolOptions(size=30, wait=60)) as shop:
        yield shop


def test_transactions_do_not_mix(pooled: Database) -> None:
    def work(number: int) -> int:
        with pooled.session() as dal:
            dal.item.insert(name=f"kept {number}", amount=number)
            try:
                with pooled.session():
                    dal.item.insert(name=f"lost {number}", amount=number)
                    dal.item.insert(name=f"lost {number}", amount=number)
            except UniqueViolation:
                pass
        with pooled.session(read_only=True) as dal:
            return int(dal(dal.item.amount == number).count())

    assert in_threads(30, work) == [1] * 30


def test_modes_and_limits_end_with_their_session(pooled: Database) -> None:
    for _ in range(3):
        with pytest.raises(InterfaceError, match="read-only"), pooled.session(read_only=True) as dal:
            dal.item.insert(name="tea", amount=1)
        with pytest.raises(Timeout), pooled.session(timeout=0.2) as dal:
            dal.executesql(sleeping("postgresql", 30))
    with pooled.session() as dal:
        assert dal.executesql("SHOW statement_timeout") == [("0",)]
        assert dal.executesql("SHOW transaction_read_only") == [("off",)]
        dal.item.insert(name="tea", amount=1)


def test_it_can_be_ready(pooled: Database) -> None:
    report = pooled.readiness()
    assert report.ready, report


def test_a_statement_can_be_cancelled(pooled: Database) -> None:
    with pytest.raises(Timeout), pooled.session() as dal:
        threading.Timer(0.3, pooled.current().cancel).start()
        dal.executesql("SELECT 1")
        dal.executesql(sleeping("postgresql", 60))
