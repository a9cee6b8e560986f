"""The pool: capped, fair, and honest about who holds what."""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ringfence.runtime import Database, PoolClosed, PoolExhausted, PoolOptions
from ringfence.runtime.pool.lease import Lease
from servers.base import Database as FreshDatabase
from support.runtime_shop import connections, in_threads, kill_connections, opened, sleeping
from support.waiting import eventually

pytestmark = pytest.mark.runtime_only
networked = pytest.mark.requires("networked")


def test_200_threads_share_9_connections(shop_db: FreshDatabase) -> None:
    with (
        contextlib.closing(shop_db.connect()) as asking,
        opened(shop_db.env(), PoolOptions(size=9, wait=60)) as shop,
    ):
        if shop.settings.hosts:
            eventually(lambda: not connections(shop_db, asking))  # those that made the tables have ended
        most = [0]
        done = threading.Event()

        def watch() -> None:
            while not done.is_set():
                most[0] = max(most[0], connections(shop_db, asking))
                time.sleep(0.02)

        watcher = threading.Thread(target=watch)
        if shop.settings.hosts:
            watcher.start()

        def work(number: int) -> int:
            with shop.session() as dal:
                dal.item.insert(name=f"item {number}", amount=number)
                return int(dal(dal.item.name == f"item {number}").select().first().amount)

        results = in_threads(200, work, 120)
        done.set()
        if shop.settings.hosts:
            watcher.join()
            assert 0 < most[0] <= 9
        assert results == list(range(200))
        figures = shop.pool.stats()
        assert figures.open <= 9
        assert (figures.in_use, figures.waiting) == (0, 0)
        assert figures.waits > 0
    assert shop_db.execute("SELECT count(*) FROM item") == [(200,)]


def test_waiting_callers_are_served_in_order(shop_db: FreshDatabase) -> None:
    with opened(shop_db.env(), PoolOptions(size=1)) as shop:
        served: list[int] = []

        def work(number: int) -> None:
            with shop.session(read_only=True) as dal:
                dal.executesql("SELECT 1")
                served.append(number)

        lent = shop.pool.acquire("test")
        with ThreadPoolExecutor(8) as threads:
            for number in range(8):
                threads.submit(work, number)
                eventually(lambda number=number: shop.pool.stats().waiting == number + 1)
            shop.pool.release(lent)
        assert served == list(range(8))


def test_an_exhausted_pool_names_the_holders_of_its_connections(shop_db: FreshDatabase) -> None:
    with opened(shop_db.env(), PoolOptions(size=1, wait=0.1)) as shop:
        holding, done = threading.Event(), threading.Event()

        def hoard_the_connection() -> None:
            with shop.session(read_only=True) as dal:
                dal.executesql("SELECT 1")
                holding.set()
                done.wait(30)

        thread = threading.Thread(target=hoard_the_connection, name="hoarder")
        thread.start()
        holding.wait(30)
        try:
            with pytest.raises(PoolExhausted) as raised, shop.session(read_only=True) as dal:
                dal.executesql("SELECT 1")
        finally:
            done.set()
            thread.join()
        said = str(raised.value)
        assert "hoarder" in said
        assert "test_pool.py" in said
        assert "hoard_the_connection" in said
        assert "the cap is 1" in said
        with shop.session(read_only=True) as dal:
            assert dal.executesql("SELECT 1")


def test_a_session_that_runs_nothing_takes_no_connection(shop: Database) -> None:
    with shop.session():
        pass
    assert shop.pool.stats().opened == 0


def test_a_connection_goes_back_with_nothing_open(shop: Database, shop_db: FreshDatabase) -> None:
    with pytest.raises(ZeroDivisionError), shop.session() as dal:
        dal.item.insert(name="lost", amount=1)
        _ = 1 / 0
    with shop.session() as dal:
        assert dal(dal.item).count() == 0
        dal.item.insert(name="kept", amount=1)
    figures = shop.pool.stats()
    assert (figures.opened, figures.idle, figures.in_use) == (1, 1, 0)
    assert shop_db.execute("SELECT name FROM item") == [("kept",)]


def test_a_connection_is_asked_only_after_a_rest(
    shop_db: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(shop_db.env(), PoolOptions(check_after_idle=0.3)) as shop:
        asked: list[bool] = []
        alive = shop.backend.alive

        def watched(connection: object) -> bool:
            in_threads(1, lambda _: shop.pool.release(shop.pool.acquire("another")), 10)  # the lock is free
            asked.append(True)
            return alive(connection)

        monkeypatch.setattr(shop.backend, "alive", watched)
        for _ in range(3):
            with shop.session(read_only=True) as dal:
                dal.executesql("SELECT 1")
        assert not asked
        time.sleep(0.5)
        with shop.session(read_only=True) as dal:
            dal.executesql("SELECT 1")
        assert asked == [True]  # once, and outside the lock


@networked
def test_a_slow_check_delays_no_other_caller(shop_db: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(shop_db.env(), PoolOptions(size=2, check_after_idle=0)) as shop:
        with shop.session(read_only=True) as dal:
            dal.executesql("SELECT 1")
        checking, go_on = threading.Event(), threading.Event()
        alive = shop.backend.alive

        def slow(connection: object) -> bool:
            checking.set()
            go_on.wait(30)
            return alive(connection)

        monkeypatch.setattr(shop.backend, "alive", slow)
        with ThreadPoolExecutor(1) as threads:
            held_up = threads.submit(lambda: shop.run(lambda dal: dal.executesql("SELECT 1")))
            checking.wait(30)
            shop.run(lambda dal: dal.executesql("SELECT 1"))  # a second, new connection
            assert not held_up.done()
            go_on.set()
            held_up.result(30)


def test_an_old_connection_is_replaced(shop_db: FreshDatabase) -> None:
    with opened(shop_db.env(), PoolOptions(max_lifetime=0.2)) as shop:
        for _ in range(2):
            with shop.session(read_only=True) as dal:
                dal.executesql("SELECT 1")
            time.sleep(0.3)
        assert shop.pool.stats().opened == 2


def test_lifetimes_differ_so_that_they_do_not_end_together(shop_db: FreshDatabase) -> None:
    with opened(shop_db.env(), PoolOptions(size=4, max_lifetime=1000)) as shop:
        lent = [shop.pool.acquire("test") for _ in range(4)]
        lifetimes = [each.pooled.expires - each.pooled.born for each in lent]
        for each in lent:
            shop.pool.release(each)
        assert len(set(lifetimes)) == 4
        assert all(900 <= lifetime <= 1000 for lifetime in lifetimes)


def test_an_idle_connection_is_closed_without_being_asked_for(shop_db: FreshDatabase) -> None:
    with opened(shop_db.env(), PoolOptions(max_idle=0.2)) as shop:
        with shop.session(read_only=True) as dal:
            dal.executesql("SELECT 1")
        eventually(lambda: shop.pool.stats().open == 0)
        assert shop.pool.stats().dropped == 1


@networked
def test_a_broken_connection_is_dropped_as_it_is_noticed(shop: Database, shop_db: FreshDatabase) -> None:
    for _ in range(3):
        shop.run(lambda dal: dal.item.insert(name=f"{time.monotonic()}", amount=1))
        kill_connections(shop_db)
        # run() meets the dead connection, and repeats what was not stored.
        shop.run(lambda dal: dal.item.insert(name=f"{time.monotonic()}", amount=1))
    assert shop_db.execute("SELECT count(*) FROM item") == [(6,)]
    assert shop.pool.stats().open == 1


@networked
def test_one_broken_connection_casts_doubt_on_the_others(shop_db: FreshDatabase) -> None:
    with opened(shop_db.env(), PoolOptions(size=5, check_after_idle=3600)) as shop:
        lent = [shop.pool.acquire("test") for _ in range(5)]
        for each in lent:
            shop.pool.release(each)
        kill_connections(shop_db)
        failed = 0
        for _ in range(10):
            try:
                with shop.session(read_only=True) as dal:
                    dal.executesql("SELECT 1")
            except Exception:
                failed += 1
        assert failed == 1


def test_stats_report_the_state_of_the_pool(shop_db: FreshDatabase) -> None:
    with opened(shop_db.env(), PoolOptions(size=3)) as shop:
        with shop.session(read_only=True) as dal:
            dal.executesql("SELECT 1")
            held = shop.pool.stats()
        rested = shop.pool.stats()
    assert (held.size, held.open, held.idle, held.in_use, held.opened) == (3, 1, 0, 1, 1)
    assert (rested.open, rested.idle, rested.in_use, rested.dropped) == (1, 1, 0, 0)
    assert rested.oldest_age > 0


def test_close_waits_for_running_sessions(shop_db: FreshDatabase) -> None:
    with opened(shop_db.env()) as shop:
        begun, go_on = threading.Event(), threading.Event()

        def work() -> None:
            with shop.session() as dal:
                dal.item.insert(name="stored", amount=1)
                begun.set()
                go_on.wait(30)

        thread = threading.Thread(target=work)
        thread.start()
        begun.wait(30)
        closing = threading.Thread(target=shop.close)
        closing.start()

        def refuses() -> bool:
            try:
                with shop.session() as dal:
                    dal.executesql("SELECT 1")
            except PoolClosed as error:
                return "closed" in str(error)
            return False

        eventually(refuses)
        go_on.set()
        thread.join()
        closing.join()
        assert shop.pool.stats().open == 0
    assert shop_db.execute("SELECT name FROM item") == [("stored",)]


def test_close_cancels_what_outlasts_its_deadline(shop: Database, shop_db: FreshDatabase) -> None:
    outcome: list[Exception] = []
    begun = threading.Event()

    def work() -> None:
        try:
            with shop.session() as dal:
                dal.executesql("SELECT 1")
                begun.set()
                dal.executesql(sleeping(shop_db.server.db_type, 60))
                dal.executesql("SELECT 1")  # MySQL's SLEEP is not an error when it is cut short
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait(30)
    time.sleep(0.2)
    started = time.monotonic()
    shop.close(0.2)
    thread.join(30)
    assert time.monotonic() - started < 20
    assert shop.pool.stats().open == 0


def test_a_closed_pool_refuses_waiting_callers(shop_db: FreshDatabase) -> None:
    with opened(shop_db.env(), PoolOptions(size=1)) as shop:
        lent = shop.pool.acquire("test")
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(shop.pool.acquire, "test")
            eventually(lambda: shop.pool.stats().waiting == 1)
            shop.pool.close(0)
            with pytest.raises(PoolClosed, match="closed"):
                waiting.result(30)
        shop.pool.release(lent)
        assert shop.pool.stats().open == 0


def test_an_interrupt_while_waiting_loses_no_connection(shop_db: FreshDatabase) -> None:
    with opened(shop_db.env(), PoolOptions(size=1)) as shop:
        lent = shop.pool.acquire("test")

        class Interrupt(BaseException):
            """Like KeyboardInterrupt, which a test cannot send to one place."""

        def interrupted(lease: Lease, seconds: float) -> bool:
            shop.pool.release(lent)  # the connection comes at the very moment
            raise Interrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Lease, "wait", interrupted)
            with pytest.raises(Interrupt):
                shop.pool.acquire("test")
        assert shop.pool.stats().in_use == 0
        with shop.session(read_only=True) as dal:
            assert dal.executesql("SELECT 1")
