"""A fork after use: parent and child each have connections of their own."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ringfence.runtime import Database, UsageError
from servers.base import Database as FreshDatabase
from support.runtime_shop import opened

pytestmark = pytest.mark.runtime_only
TESTS = Path(__file__).parents[2]


def _in_child(work: Callable[[], object]) -> str:
    """Run something in a forked child, which then ends without cleaning up; gives back what it said."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = f"{work()}"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


def test_a_child_opens_connections_of_its_own(shop: Database, shop_db: FreshDatabase) -> None:
    def write(name: str) -> None:
        with shop.session() as dal:
            dal.item.insert(name=name, amount=1)

    write("parent")
    assert _in_child(lambda: (write("child"), shop.pool.stats().opened)[1]) == "1"
    for number in range(3):
        write(f"parent again {number}")  # the parent's connection still works
    assert shop_db.execute("SELECT count(*) FROM item") == [(5,)]


@pytest.mark.requires("networked")
def test_a_session_open_at_the_fork_stays_the_parents(shop: Database, shop_db: FreshDatabase) -> None:
    def child() -> str:
        with pytest.raises(UsageError):
            shop.dal.item.insert(name="through the parent's", amount=1)
        with shop.session() as dal:
            return f"{dal(dal.item).count()} rows"

    with shop.session() as dal:
        dal.item.insert(name="parent", amount=1)
        assert _in_child(child) == "0 rows"
        dal.item.insert(name="parent again", amount=1)
    assert shop_db.execute("SELECT count(*) FROM item") == [(2,)]


@pytest.mark.requires("networked")
def test_a_child_that_leaves_the_parents_session_ends_nothing(shop: Database, shop_db: FreshDatabase) -> None:
    read, write = os.pipe()
    child = 1
    try:
        with shop.session() as dal:
            dal.item.insert(name="parent", amount=1)
            child = os.fork()
            if child:
                os.waitpid(child, 0)
    except UsageError as error:
        assert child == 0
        os.write(write, str(error).encode())
    finally:
        if child == 0:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        assert "forked from" in answer.read()
    assert shop_db.execute("SELECT name FROM item") == [("parent",)]


@pytest.mark.engines("sqlite")
def test_sqlite_after_a_fork_in_mid_session_is_refused_in_the_child(
    shop: Database, shop_db: FreshDatabase
) -> None:
    def child() -> None:
        with shop.session() as dal:
            dal.item.insert(name="child", amount=1)

    with shop.session() as dal:
        dal.item.insert(name="parent", amount=1)
        assert "forked while a session was open" in _in_child(child)
    assert shop_db.execute("SELECT name FROM item") == [("parent",)]


def test_a_fork_while_another_thread_makes_tables(shop_db: FreshDatabase) -> None:
    with opened(shop_db.env()) as shop, opened(shop_db.env()) as fresh:
        locks = shop.dal._maker._lock, fresh._dal_lock  # noqa: SLF001 - held by another thread during the fork
        held, over = threading.Event(), threading.Event()

        def at_work() -> None:
            with locks[0], locks[1]:
                held.set()
                over.wait(30)

        thread = threading.Thread(target=at_work)
        thread.start()
        assert held.wait(10)

        def child() -> str:
            ended = threading.Timer(10, os._exit, (1,))  # in place of waiting for ever
            ended.daemon = True
            ended.start()
            return f"{shop.dal.item.name} {fresh.dal.part.label}"

        try:
            assert _in_child(child) == "item.name part.label"
        finally:
            over.set()
            thread.join()
