"""A network that swallows what is sent: how long each driver waits, and what it says then."""

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from ringfence.runtime import CommitUnknown, ConnectionLost, Database, PoolOptions, Settings, Unavailable
from ringfence.runtime.aio import AsyncDatabase
from servers.base import Database as FreshDatabase
from support.runtime_shop import mirror, opened, sleeping
from support.stalling_proxy import Stalling
from support.waiting import eventually

pytestmark = [pytest.mark.requires("networked"), pytest.mark.runtime_only]

LIMIT = 1.0  # seconds, of a session: its first insert is to end within it on a loaded machine
GENEROUS = 30  # seconds: what a loaded machine may need, and far less than the system's own patience


@contextlib.contextmanager
def within(seconds: float = GENEROUS) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


@pytest.fixture
def wire(shop_db: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stalling]:
    monkeypatch.setattr("ringfence.runtime.engines.network_timeouts.GRACE_SECONDS", 0.5)
    monkeypatch.setattr("ringfence.runtime.aio.CANCEL_SECONDS", 0.5)
    with Stalling(shop_db.server.hosts[0]) as proxy:
        yield proxy


def through(shop_db: FreshDatabase, wire: Stalling, **more: str) -> dict[str, str]:
    host = {"DB_HOST": "127.0.0.1", "DB_PORT": str(wire.port)}
    return shop_db.env() | host | {"DB_TCP_TIMEOUT": "2"} | more


def test_a_session_with_a_timeout_waits_no_longer(shop_db: FreshDatabase, wire: Stalling) -> None:
    with opened(through(shop_db, wire)) as shop:
        with (
            within(),
            pytest.raises(ConnectionLost, match=r"no answer.*session's timeout and 0.5 s more"),
            shop.session(timeout=LIMIT) as dal,
        ):
            dal.item.insert(name="tea", amount=1)
            wire.stall()
            dal(dal.item.id > 0).select()
        with within(), pytest.raises(CommitUnknown), shop.session(timeout=LIMIT) as dal:
            wire.resume()
            dal.item.insert(name="milk", amount=1)
            wire.stall()
        with within(), pytest.raises(ConnectionLost), shop.session(timeout=LIMIT) as dal:
            wire.resume()
            dal.item.insert(name="salt", amount=1)
            wire.stall()
            with shop.session():
                dal.item.insert(name="bread", amount=1)
        assert shop.pool.stats().in_use == 0
        wire.resume()
        shop.run(lambda dal: dal.item.insert(name="rice", amount=1))
    assert shop_db.execute("SELECT name FROM item WHERE name IN ('tea', 'salt', 'rice')") == [("rice",)]


def test_a_broken_idle_connection_is_found_soon(shop_db: FreshDatabase, wire: Stalling) -> None:
    with opened(through(shop_db, wire), PoolOptions(check_after_idle=0.0)) as shop:
        shop.run(lambda dal: dal(dal.item).count())
        wire.stall()
        with (
            within(),
            pytest.raises(Unavailable, match=r"no answer within \d s \(half of DB_TCP_TIMEOUT=2\)"),
        ):
            shop.run(lambda dal: dal(dal.item).count(), attempts=1)
        wire.resume()
        assert shop.run(lambda dal: dal(dal.item).count()) == 0


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no TCP_USER_TIMEOUT")
def test_the_system_gives_up_a_peer_that_acknowledges_nothing(shop_db: FreshDatabase, wire: Stalling) -> None:
    """A proxy acknowledges, so that it cannot show this; tried by hand between two network namespaces."""
    with opened(through(shop_db, wire, DB_TCP_TIMEOUT="6")) as shop, shop.session():
        connection = shop.current().connection
        sock = getattr(connection, "_sock", connection)  # PyMySQL has no public name for its socket
        number = sock.fileno()
        with socket.socket(fileno=os.dup(number)) as same:
            assert same.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            options = ("TCP_USER_TIMEOUT", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
            found = [same.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in options]
    assert found == [6000, 3, 1, 3]  # ms, then seconds, and how often


def test_an_honest_statement_takes_its_time(shop_db: FreshDatabase, wire: Stalling) -> None:
    with opened(through(shop_db, wire, DB_TCP_TIMEOUT="1")) as shop, shop.session() as dal:
        dal.executesql(sleeping(shop_db.server.db_type, 2.5))
        assert dal(dal.item).count() == 0  # on the same connection
        assert shop.pool.stats().opened == 1


def test_a_cancelled_task_is_free_at_once_and_its_connection_closed(
    shop_db: FreshDatabase, wire: Stalling
) -> None:
    async def main() -> None:
        settings = Settings.from_env(through(shop_db, wire))
        before = threading.active_count()
        async with AsyncDatabase(settings, mirror(), PoolOptions(size=2)) as shop:

            async def ask() -> None:
                async with shop.session() as session:
                    await session.run(lambda dal: dal.item.insert(name="tea", amount=1))
                    wire.stall()
                    await session.run(lambda dal: dal(dal.item).count())

            for _ in range(2):
                wire.resume()
                with within(), pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await ask()
            with within(), pytest.raises(TimeoutError):  # while it connects
                async with asyncio.timeout(0.2):
                    await shop.run(lambda dal: dal(dal.item).count())
            await asyncio.to_thread(eventually, lambda: shop.database.pool.stats().in_use == 0)
            assert shop.database.pool.stats().open == 0
            wire.resume()
            assert await shop.run(lambda dal: dal(dal.item).count()) == 0
        await asyncio.to_thread(eventually, lambda: threading.active_count() <= before + 12)

    asyncio.run(main())


@pytest.mark.engines("mysql", "mariadb", "galera")
def test_a_silent_host_is_left_for_another(shop_db: FreshDatabase, wire: Stalling) -> None:
    host, port = shop_db.server.hosts[0]
    env = through(shop_db, wire) | {"DB_HOST": f"127.0.0.1:{wire.port},{host}:{port}"}
    with opened(env, PoolOptions(size=3, check_after_idle=0.0)) as shop:
        _hold(shop, 3)
        assert wire.accepted == 3
        wire.stall()
        with within():
            shop.run(lambda dal: dal(dal.item).count())
        accepted = wire.accepted
        with within():
            _hold(shop, 3)
        assert wire.accepted == accepted  # that host is not asked again for each of the other connections
        assert shop.pool.stats().open == 3


@pytest.mark.engines("postgresql")
def test_a_silent_host_is_tried_after_the_one_that_answered(shop_db: FreshDatabase, wire: Stalling) -> None:
    host, port = shop_db.server.hosts[0]
    env = through(shop_db, wire) | {"DB_HOST": f"127.0.0.1:{wire.port},{host}:{port}", "DB_PORT": ""}
    wire.stall()
    with opened(env, PoolOptions(size=3)) as shop:
        with within():
            shop.run(lambda dal: dal(dal.item).count())
        accepted = wire.accepted
        _hold(shop, 3)
        assert wire.accepted == accepted
        assert shop.pool.stats().open == 3


def _hold(shop: Database, count: int) -> None:
    """Open that many connections."""
    with contextlib.ExitStack() as held:
        for _ in range(count):
            pooled = shop.pool.acquire("a test")
            held.callback(shop.pool.release, pooled)
