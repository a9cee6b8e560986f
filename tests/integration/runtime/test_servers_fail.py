"""Servers that are killed, restarted, cut off and taken over, while a service works on them."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import pytest

from ringfence.runtime import CommitUnknown, Database, PoolOptions, RingfenceError
from servers import postgres
from servers.base import Database as FreshDatabase
from servers.base import Server
from support import runtime_shop
from support.runtime_shop import opened
from support.tcp_proxy import Proxy
from support.waiting import eventually

pytestmark = [pytest.mark.slow]


@dataclass
class Load:
    """Threads that write rows of known names and read them back, and what became of each."""

    shop: Database
    threads: int = 6
    acknowledged: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._running = [
            threading.Thread(target=self._work, args=(number,)) for number in range(self.threads)
        ]
        for thread in self._running:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._running:
            thread.join(60)
            assert not thread.is_alive(), "a thread hangs"

    def _work(self, thread: int) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            name = f"{thread}/{number}"
            try:
                with self.shop.session() as dal:
                    dal.item.insert(name=name, amount=number)
                    row = dal(dal.item.name == name).select().first()
                    if row is None or row.amount != number:
                        self.wrong.append(name)
            except CommitUnknown:
                self.unknown.append(name)
            except RingfenceError:
                self.refused.append(name)
                time.sleep(0.02)
            except Exception as error:
                self.wrong.append(f"{name}: {error!r}")
            else:
                self.acknowledged.append(name)

    def more(self, count: int = 30) -> None:
        """Wait until so many more rows have been acknowledged."""
        goal = len(self.acknowledged) + count
        eventually(lambda: len(self.acknowledged) >= goal, 90)

    def settle(self, stored: set[str]) -> None:
        """What was acknowledged is there, what was refused is not, and nothing was read wrong."""
        assert not self.wrong
        assert not set(self.acknowledged) - stored
        assert not set(self.refused) & stored
        assert stored <= set(self.acknowledged) | set(self.unknown)


def _stored(database: FreshDatabase, node: int = 0) -> set[str]:
    connection = database.connect(node=node)
    try:
        cursor = connection.cursor()
        cursor.execute("SELECT name FROM item")
        return {name for (name,) in cursor.fetchall()}
    finally:
        connection.close()


@pytest.mark.parametrize("engine", ["postgresql", "mariadb"])
def test_a_server_killed_under_load_loses_nothing(engine: str, own_server: Callable[[str], Server]) -> None:
    server = own_server(engine)
    database = server.database()
    runtime_shop.create(database)
    with opened(database.env(), PoolOptions(size=4)) as shop:
        with Load(shop) as load:
            load.more()
            server.processes[0].kill()
            eventually(lambda: len(load.refused) >= 10)
            server.processes[0].start()
            server.processes[0].wait_until(lambda: database.connect().close())
            load.more()
        figures = shop.pool.stats()
        assert figures.open <= 4
        assert (figures.in_use, figures.waiting) == (0, 0)
    load.settle(_stored(database))


def test_a_galera_node_killed_under_load_leaves_the_rest_at_work(own_server: Callable[[str], Server]) -> None:
    server = own_server("galera")
    database = server.database()
    runtime_shop.create(database)
    login = runtime_shop.make_account(database)
    eventually(lambda: not _lacks(database, 1) and not _lacks(database, 2))
    with opened(database.env(login, runtime_shop.PASSWORD), PoolOptions(size=4)) as shop:
        with Load(shop) as load:
            load.more()
            server.processes[0].kill()
            load.more(60)
        assert shop.readiness().ready
        load.settle(_stored(database, 1))
        # The last node without the others has no quorum: it answers, and is not fit for work.
        server.processes[1].kill()
        eventually(lambda: shop.readiness().state == "joining", 60)


def _lacks(database: FreshDatabase, node: int) -> bool:
    try:
        _stored(database, node)
    except Exception:
        return True
    return False


def test_the_writable_one_of_several_postgresql_servers_is_found(own_server: Callable[[str], Server]) -> None:
    one, other = own_server("postgresql"), own_server("postgresql")
    database = one.database()
    runtime_shop.create(database)
    postgres.create(other, database.name)
    # The same password, as a standby has: the second is known by what is stored there.
    twin = FreshDatabase(other, database.name, database.prefix)
    runtime_shop.create(twin)
    login = runtime_shop.make_account(database)
    twin.execute(f"CREATE ROLE \"{login}\" LOGIN PASSWORD '{runtime_shop.PASSWORD}'")
    twin.execute(f'GRANT ALL ON ALL TABLES IN SCHEMA public TO "{login}"')

    def writable(server: FreshDatabase, *, yes: bool) -> None:
        server.execute(f"ALTER SYSTEM SET default_transaction_read_only = {'off' if yes else 'on'}")
        server.execute("SELECT pg_reload_conf()")
        eventually(
            lambda: server.execute("SHOW default_transaction_read_only") == [("off" if yes else "on",)]
        )

    writable(database, yes=False)
    hosts = ",".join(f"{host}:{port}" for host, port in (*one.hosts, *other.hosts))
    env = database.env(login, runtime_shop.PASSWORD) | {"DB_HOST": hosts}
    with opened(env) as shop:
        shop.run(lambda dal: dal.item.insert(name="first", amount=1))
        assert twin.execute("SELECT name FROM item") == [("first",)]
        writable(twin, yes=False)
        writable(database, yes=True)  # the other one takes over
        shop.run(lambda dal: dal.item.insert(name="second", amount=1))
        assert database.execute("SELECT name FROM item") == [("second",)]
        writable(database, yes=False)
        with pytest.raises(RingfenceError):
            shop.run(lambda dal: dal.item.insert(name="third", amount=1))
        assert shop.readiness().state == "starting"  # none takes writes: wait


@pytest.mark.requires("networked")
def test_a_cut_connection_is_replaced_and_recovery_needs_no_restart(shop_db: FreshDatabase) -> None:
    host, port = shop_db.server.hosts[0]
    with (
        Proxy(host, port) as proxy,
        opened(shop_db.env() | {"DB_HOST": host, "DB_PORT": str(proxy.port)}) as shop,
    ):
        with Load(shop, threads=4) as load:
            for _ in range(3):
                load.more(10)
                proxy.cut_all()
            load.more(10)
        assert shop.pool.stats().in_use == 0
    load.settle(_stored(shop_db))


@pytest.mark.engines("mariadb")
def test_several_hosts_are_tried_in_turn(shop_db: FreshDatabase) -> None:
    host, port = shop_db.server.hosts[0]
    with opened(shop_db.env() | {"DB_HOST": f"{host}:1,{host}:{port}"}) as shop:
        assert shop.readiness().ready or shop.readiness().state == "can-alter"
        shop.run(lambda dal: dal.item.insert(name="first", amount=1))
    assert _stored(shop_db) == {"first"}
