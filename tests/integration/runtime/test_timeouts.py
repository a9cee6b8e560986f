"""A statement's time limit, on every engine, for what reads, what writes and what waits."""

import datetime as dt
import threading
import time

import pytest

from ringfence.runtime import ArgumentError, Database, InterfaceError, Timeout
from servers.base import Database as FreshDatabase
from support.runtime_shop import sleeping

pytestmark = pytest.mark.newer

GENEROUS = 20  # seconds: far more than the limit, far less than the statement


def _expect_timeout(shop: Database, read_only: bool, *statements: str) -> None:
    started = time.monotonic()
    with pytest.raises(Timeout), shop.session(read_only=read_only, timeout=0.3) as dal:
        for statement in statements:
            dal.executesql(statement)
    assert time.monotonic() - started < GENEROUS


@pytest.mark.every_case
@pytest.mark.runtime_only
@pytest.mark.parametrize("read_only", [True, False])
def test_a_select_is_stopped(shop: Database, shop_db: FreshDatabase, read_only: bool) -> None:
    if shop_db.server.db_type == "mysql":
        # SLEEP ends early without an error; a long join does not.
        join = "SELECT COUNT(*) FROM information_schema.columns a, information_schema.columns b, information_schema.columns c"
        _expect_timeout(
            shop,
            read_only,
            "SELECT 1",
            f"{join} WHERE a.column_name <> b.column_name OR c.column_name <> 'x'",
        )
    else:
        _expect_timeout(shop, read_only, sleeping(shop_db.server.db_type, 60))
        _expect_timeout(shop, read_only, "SELECT 1", sleeping(shop_db.server.db_type, 60))
    with shop.session(read_only=read_only) as dal:  # the limit has gone with its session
        assert dal.executesql("SELECT 1")[0][0] == 1


@pytest.mark.every_case
@pytest.mark.runtime_only
@pytest.mark.requires("networked")
@pytest.mark.parametrize("first", [True, False])
def test_an_update_that_waits_for_a_lock_is_stopped(
    shop: Database, shop_db: FreshDatabase, first: bool
) -> None:
    shop.run(lambda dal: dal.item.insert(name="tea", amount=1))
    holder = shop_db.connect()
    try:
        holder.cursor().execute("BEGIN")
        holder.cursor().execute("UPDATE item SET amount = 2")
        warm_up = [] if first else ["SELECT 1"]
        _expect_timeout(shop, False, *warm_up, "UPDATE item SET amount = 3")
    finally:
        holder.close()
    shop.run(lambda dal: dal(dal.item.name == "tea").update(amount=4))
    assert shop_db.execute("SELECT amount FROM item") == [(4,)]


@pytest.mark.runtime_only
@pytest.mark.engines("sqlite")
def test_a_writer_that_waits_for_its_turn_is_stopped(shop: Database) -> None:
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with shop.session() as dal:
            dal.item.insert(name="tea", amount=1)
            holding.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(30)
    try:
        _expect_timeout(shop, False, "UPDATE item SET amount = 3")
        with shop.session(read_only=True) as dal:  # a reader does not wait
            assert dal(dal.item).count() == 0
    finally:
        done.set()
        thread.join()


@pytest.mark.runtime_only
def test_a_long_update_is_stopped_and_nothing_of_it_stays(shop: Database, shop_db: FreshDatabase) -> None:
    shop.run(lambda dal: dal.item.insert(name="tea", amount=1))
    kind = shop_db.server.db_type
    if kind == "postgresql":
        slow = "UPDATE item SET amount = 2 WHERE pg_sleep(60) IS NOT NULL"
    elif kind == "sqlite":
        slow = f"UPDATE item SET amount = ({sleeping(kind, 60)})"
    else:
        slow = "UPDATE item SET amount = 2 + SLEEP(60)"
    started = time.monotonic()
    # MySQL's SLEEP gives 1 when it is cut short, and the statement may go on to its end.
    with pytest.raises((Timeout, ZeroDivisionError)), shop.session(timeout=0.3) as dal:
        dal.executesql(slow)
        _ = 1 / 0
    assert time.monotonic() - started < GENEROUS
    assert shop_db.execute("SELECT amount FROM item") == [(1,)]


@pytest.mark.runtime_only
def test_a_timeout_inside_a_nested_session_spares_the_outer_one_or_says_that_it_does_not(
    shop: Database, shop_db: FreshDatabase
) -> None:
    with shop.session(timeout=0.3) as dal:
        dal.item.insert(name="tea", amount=1)
        with pytest.raises(Timeout), shop.session():
            if shop_db.server.db_type == "mysql":
                dal.executesql(
                    "SELECT COUNT(*) FROM information_schema.columns a, information_schema.columns b,"
                    " information_schema.columns c WHERE a.column_name <> b.column_name OR c.column_name <> 'x'"
                )
            else:
                dal.executesql(sleeping(shop_db.server.db_type, 60))
        dal.item.insert(name="milk", amount=1)
    assert shop_db.execute("SELECT count(*) FROM item") == [(2,)]


@pytest.mark.runtime_only
@pytest.mark.engines("sqlite")
def test_an_update_cut_short_inside_a_nested_session_dooms_the_whole_on_sqlite(
    shop: Database, shop_db: FreshDatabase
) -> None:
    """SQLite itself rolls the whole transaction back then: nothing may be stored on its own after that."""
    with pytest.raises(InterfaceError, match="failed before"), shop.session(timeout=0.3) as dal:
        dal.item.insert(name="tea", amount=1)
        with pytest.raises(Timeout), shop.session():
            dal.executesql(f"UPDATE item SET amount = ({sleeping('sqlite', 60)})")
        dal.item.insert(name="milk", amount=1)
    assert shop_db.execute("SELECT count(*) FROM item") == [(0,)]


@pytest.mark.runtime_only
def test_a_limit_that_is_none_is_refused(shop: Database) -> None:
    for wrong in (0, -1, float("nan"), float("inf"), 1e10, "5", dt.timedelta(1)):
        with pytest.raises(ArgumentError, match="above 0"), shop.session(timeout=wrong):  # type: ignore[arg-type]  # that is it
            pass
    for wrong in (float("nan"), "5"):
        with pytest.raises(ArgumentError, match="wait="):
            shop.session(wait=wrong)  # type: ignore[arg-type]  # that is it
    with shop.session(timeout=2_147_483) as dal:
        assert dal.executesql("SELECT 1")[0][0] == 1
