"""Conflicts and lost commits: what is repeated, what is not, and what is told."""

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from ringfence.runtime import ArgumentError, CommitUnknown, Conflict, Database, InterfaceError, PoolOptions
from servers.base import Database as FreshDatabase
from support.runtime_shop import opened
from support.tcp_proxy import Proxy
from support.waiting import eventually

networked = pytest.mark.requires("networked")


@pytest.mark.runtime_only
def test_run_gives_back_what_its_function_returns(shop: Database, shop_db: FreshDatabase) -> None:
    assert shop.run(lambda dal: int(dal.item.insert(name="tea", amount=1)))
    assert shop_db.execute("SELECT name FROM item") == [("tea",)]


@pytest.mark.runtime_only
def test_run_repeats_a_conflict_so_often_and_no_more(shop: Database) -> None:
    runs: list[float] = []

    def work(dal: object) -> None:
        runs.append(time.monotonic())
        raise Conflict("another transaction won")

    with pytest.raises(Conflict):
        shop.run(work, attempts=4)
    assert len(runs) == 4
    pauses = [after - before for before, after in itertools.pairwise(runs)]
    assert all(pause >= 0.01 for pause in pauses)


@pytest.mark.runtime_only
def test_run_repeats_nothing_else(shop: Database) -> None:
    runs: list[int] = []

    def work(dal: object) -> None:
        runs.append(1)
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        shop.run(work)
    assert len(runs) == 1
    with pytest.raises(ArgumentError, match="1 or more"):
        shop.run(work, attempts=0)
    with pytest.raises(InterfaceError, match="inside another"), shop.session():
        shop.run(work)


@networked
def test_a_deadlock_is_repeated_until_both_have_won(shop: Database, shop_db: FreshDatabase) -> None:
    with shop.session() as dal:
        first, second = (int(dal.item.insert(name=name, amount=0)) for name in ("one", "two"))
    barrier, runs = threading.Barrier(2), []

    def work(order: tuple[int, int]) -> None:
        met = False

        def both(dal: object) -> None:
            nonlocal met
            runs.append(order)
            for number, key in enumerate(order):
                dal(dal.item.id == key).update(amount=dal.item.amount + 1)  # type: ignore[attr-defined,operator]
                if number == 0 and not met:
                    met = True
                    barrier.wait(30)

        shop.run(both, attempts=10)

    threads = [threading.Thread(target=work, args=(order,)) for order in ((first, second), (second, first))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert shop_db.execute("SELECT amount FROM item") == [(2,), (2,)]
    assert len(runs) >= 3  # one of them had to run again


@pytest.mark.engines("postgresql")
def test_a_serialization_failure_is_repeated(shop: Database, shop_db: FreshDatabase) -> None:
    with shop.session() as dal:
        dal.item.insert(name="sum", amount=0)
    barrier, runs = threading.Barrier(2), []

    def work() -> None:
        met = False

        def add(dal: object) -> None:
            nonlocal met
            runs.append(1)
            dal.executesql("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")  # type: ignore[attr-defined]
            amount = dal(dal.item.name == "sum").select().first().amount  # type: ignore[attr-defined,operator]
            if not met:
                met = True
                barrier.wait(30)
            dal(dal.item.name == "sum").update(amount=amount + 1)  # type: ignore[attr-defined,operator]

        shop.run(add, attempts=10)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert shop_db.execute("SELECT amount FROM item") == [(2,)]
    assert len(runs) >= 3


@pytest.mark.engines("mysql", "mariadb")
def test_a_lock_that_is_not_free_in_time_is_a_conflict(shop_db: FreshDatabase) -> None:
    shop_db.execute("INSERT INTO item (name, amount) VALUES ('tea', 0)")
    before = shop_db.execute("SELECT @@GLOBAL.innodb_lock_wait_timeout")[0][0]
    shop_db.execute("SET GLOBAL innodb_lock_wait_timeout = 1")
    holder = shop_db.connect()
    try:
        holder.begin()
        holder.cursor().execute("UPDATE item SET amount = 1")
        with opened(shop_db.env()) as shop, pytest.raises(Conflict), shop.session() as dal:
            dal(dal.item.name == "tea").update(amount=2)
    finally:
        holder.close()
        shop_db.execute(f"SET GLOBAL innodb_lock_wait_timeout = {before}")


@pytest.mark.engines("galera")
def test_a_conflict_between_nodes_shows_at_commit_and_is_repeated(shop_db: FreshDatabase) -> None:
    def through(node: int) -> dict[str, str]:
        host, port = shop_db.server.hosts[node]
        return shop_db.env() | {"DB_HOST": host, "DB_PORT": str(port)}

    with opened(through(0)) as one, opened(through(1)) as other:
        one.run(lambda dal: dal.item.insert(name="sum", amount=0))
        deadline = time.monotonic() + 20
        while not other.run(lambda dal: dal(dal.item).count(), read_only=True):
            assert time.monotonic() < deadline
        barrier, runs = threading.Barrier(2), []

        def work(shop: Database) -> None:
            met = False

            def add(dal: object) -> None:
                nonlocal met
                runs.append(1)
                dal(dal.item.name == "sum").update(amount=dal.item.amount + 1)  # type: ignore[attr-defined,operator]
                if not met:
                    met = True
                    barrier.wait(30)

            for _ in range(5):
                shop.run(add, attempts=20)

        threads = [threading.Thread(target=work, args=(shop,)) for shop in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert shop_db.execute("SELECT amount FROM item") == [(10,)]
        assert len(runs) > 10


_HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("COMMIT")
"""


@pytest.fixture
def other_process(shop_db: FreshDatabase) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the write lock of an SQLite file for two seconds."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, shop_db.name, "2"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


@pytest.mark.runtime_only
@pytest.mark.engines("sqlite")
def test_a_file_that_another_process_holds_is_waited_for(
    shop: Database, shop_db: FreshDatabase, other_process: subprocess.Popen[str]
) -> None:
    shop.run(lambda dal: dal.item.insert(name="tea", amount=1))
    assert other_process.wait(10) == 0
    assert shop_db.execute("SELECT name FROM item") == [("tea",)]


@pytest.mark.runtime_only
@pytest.mark.engines("sqlite")
def test_a_file_that_stays_busy_is_a_conflict(
    shop: Database, other_process: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringfence.runtime.engines.sqlite.backend.BUSY_SECONDS", 0.1)
    runs: list[int] = []

    def work(dal: object) -> None:
        runs.append(1)
        dal.item.insert(name="tea", amount=1)  # type: ignore[attr-defined]

    with pytest.raises(Conflict):
        shop.run(work, attempts=2)
    assert len(runs) == 2
    shop.run(work, attempts=30)  # the lock comes free meanwhile


def _is_commit(data: bytes) -> bool:
    return b"COMMIT" in data


@networked
@pytest.mark.every_case
@pytest.mark.parametrize("idempotent", [False, True])
def test_a_lost_answer_to_commit_is_unknown_and_repeated_only_on_request(
    shop_db: FreshDatabase, idempotent: bool
) -> None:
    cuts = [1]

    def cut(data: bytes) -> bool:
        return _is_commit(data) and bool(cuts) and bool(cuts.pop())

    host, port = shop_db.server.hosts[0]
    with Proxy(host, port, cut) as proxy:
        env = shop_db.env() | {"DB_HOST": host, "DB_PORT": str(proxy.port), "DB_SSLMODE": "disable"}
        with opened(env, PoolOptions(size=2)) as shop:
            runs: list[int] = []

            def work(dal: object) -> None:
                runs.append(1)
                if len(runs) == 2:  # the server may still be busy with the COMMIT whose answer was lost
                    eventually(lambda: shop_db.execute("SELECT name FROM item"))
                if not dal(dal.item.name == "tea").count():  # type: ignore[attr-defined,operator]
                    dal.item.insert(name="tea", amount=1)  # type: ignore[attr-defined]

            if idempotent:
                shop.run(work, idempotent=True)
                assert len(runs) == 2
            else:
                with pytest.raises(CommitUnknown, match="may or may not") as raised:
                    shop.run(work)
                assert len(runs) == 1
                assert isinstance(raised.value.__cause__, shop.backend.driver_error)
            assert shop.pool.stats().in_use == 0
    eventually(lambda: shop_db.execute("SELECT name FROM item") == [("tea",)])  # it did happen, this time
