"""What stock PyDAL does with connections and transactions, and Ringfence does not."""

import asyncio
import contextlib
import gc
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydal import DAL, Field

from servers.mysql_family import processlist
from servers.process import free_ports
from support.pydal_sides import Ours, Side, case
from support.stalling_proxy import Stalling
from support.waiting import eventually

POOL = "Pool and connections"
TRANSACTIONS = "Transactions"
IDENTITY = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}
networked = pytest.mark.requires("networked")


def sessions_of(side: Side, admin: Any) -> list[int]:
    """The server's own numbers of the connections to this database, but for the one that asks."""
    if side.engine == "postgresql":
        sql = (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
    else:
        sql = (
            f"SELECT id FROM {processlist(side.database.server)}"
            " WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        )
    cursor = admin.cursor()
    cursor.execute(sql)
    return [int(number) for (number,) in cursor.fetchall()]


def end_all(side: Side) -> None:
    """Have the server end every connection to this database."""
    kill = "SELECT pg_terminate_backend(%d)" if side.engine == "postgresql" else "KILL %d"
    with contextlib.closing(side.database.connect()) as admin:
        ended = set(sessions_of(side, admin))
        for number in ended:
            admin.cursor().execute(kill % number)
        eventually(lambda: not ended & set(sessions_of(side, admin)))


def identity(dal: Any, side: Side) -> int:
    """The server's number of this connection."""
    return int(dal.executesql(IDENTITY[side.database.server.db_type])[0][0])


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """The results of a function run in so many threads at once."""
    with ThreadPoolExecutor(count) as threads:
        return [future.result() for future in [threads.submit(work, number) for number in range(count)]]


@networked
@case(POOL, "a pool of 2 opens 2 connections, however many threads there are")
def test_cap(side: Side) -> None:
    admin = side.database.connect()
    before = set(sessions_of(side, admin))  # what other objects of this test have open, or are just closing
    two = side.another(pool=2)
    seen: list[int] = []
    gate, one = threading.Barrier(11), threading.Lock()

    def work(number: int) -> None:
        gate.wait()
        with two.session() as dal:
            dal.executesql("SELECT 1")
            time.sleep(0.1)
            with one:
                seen.append(len(set(sessions_of(two, admin)) - before))

    with contextlib.closing(admin):
        in_threads(11, work)
    assert max(seen) <= 2


@networked
@case(POOL, "a connection that broke is replaced")
def test_broken(side: Side) -> None:
    door = side.another()
    with door.session() as dal:
        dal.executesql("SELECT 1")
    end_all(side)
    worked = 0
    for _ in range(3):
        with contextlib.suppress(Exception), door.session() as dal:
            worked += len(dal.executesql("SELECT 1"))
    assert worked >= 2


@networked
@case(POOL, "a forked child has connections of its own")
def test_fork(side: Side) -> None:
    door = side.another(pool=3)
    with door.session() as dal:
        mine = identity(dal, side)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException), door.session() as dal:
            os.write(writing, str(identity(dal, side)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    theirs = int(os.read(reading, 100) or 0)
    os.close(reading)
    assert theirs not in (0, mine)


@networked
@case(POOL, "a server that does not answer delays only its own users")
def test_slow_server(side: Side) -> None:
    with Stalling(side.database.server.hosts[0]) as proxy:
        env = side.database.env() | {"DB_HOST": "127.0.0.1", "DB_PORT": str(proxy.port)}
        slow, quick = side.another(env, pool=1), side.another(pool=1)
        for door in (slow, quick):
            with door.session() as dal:
                dal.executesql("SELECT 1")
        time.sleep(1.1)
        proxy.stall()
        waiting = threading.Thread(target=use, args=(slow,), daemon=True)
        waiting.start()
        time.sleep(0.3)
        done = threading.Event()
        threading.Thread(target=lambda: (use(quick), done.set()), daemon=True).start()
        answered = done.wait(2)
        proxy.resume()
        waiting.join(10)
        done.wait(10)
    assert answered


def use(side: Side) -> None:
    """One query, whatever comes of it."""
    with contextlib.suppress(Exception), side.session() as dal:
        dal.executesql("SELECT 1")


@networked
@case(POOL, "a wrong password is reported at once, not tried again")
def test_wrong_password(side: Side) -> None:
    env = side.database.env(user=f"{side.database.prefix}nobody", password="wrong")
    with Stalling(side.database.server.hosts[0]) as proxy:
        env |= {"DB_HOST": "127.0.0.1", "DB_PORT": str(proxy.port)}
        with pytest.raises(Exception, match=""):  # each side has an error of its own
            enter(side.another(env, **({"attempts": 3} if side.name == "stock" else {})))
    assert proxy.accepted < 3  # PostgreSQL's library may ask once with TLS and once without


@networked
@case(POOL, "a missing server is reported at start", copes=("postgresql",))
def test_closed_port(side: Side) -> None:
    env = side.database.env() | {"DB_HOST": "127.0.0.1", "DB_PORT": str(free_ports(1)[0])}
    with pytest.raises(Exception, match=""):
        enter(side.another(env), timeout=0.5)


def enter(side: Side, timeout: float = 20) -> None:
    """Start up: stock PyDAL has done so in its constructor."""
    if isinstance(side, Ours):
        side.db.wait_until_ready(timeout)


@pytest.mark.engines("sqlite")
@case(POOL, "a thread reads the database that it asks, though another of the same address was there before")
def test_slots(side: Side) -> None:
    side.database.execute("INSERT INTO tally (name, hits) VALUES ('here', 1)")
    with side.database.server.database() as other, ThreadPoolExecutor(1) as thread:
        other.execute("CREATE TABLE tally (id INTEGER PRIMARY KEY, name VARCHAR(40), hits INTEGER)")
        other.execute("INSERT INTO tally (name, hits) VALUES ('elsewhere', 2)")
        if isinstance(side, Ours):
            first = side.another(other.env())
            assert thread.submit(names, first).result() == ["elsewhere"]
            assert thread.submit(names, side).result() == ["here"]
            return
        folder = str(Path(other.name).parent)
        slots: set[str] = set()
        for _ in range(40):
            past = [DAL(f"sqlite://{other.name}", folder=folder, migrate=False) for _ in range(10)]
            for dal in past:
                assert thread.submit(asked, dal).result() == ["elsewhere"]
                slots.add(dal._adapter._connection_uname_)
                dal.close()
            past.clear()
            del dal
            gc.collect()
            fresh = [DAL(f"sqlite://{side.database.name}", folder=folder, migrate=False) for _ in range(10)]
            for dal in fresh:
                if dal._adapter._connection_uname_ in slots:
                    assert thread.submit(asked, dal).result() == ["here"]
                dal.close()


def asked(dal: Any) -> list[str]:
    """The names in the tally, asked in SQL."""
    return [name for (name,) in dal.executesql("SELECT name FROM tally")]


def names(side: Side) -> list[str]:
    """The names in the tally."""
    with side.session() as dal:
        return asked(dal)


@pytest.mark.engines("sqlite")
@case(POOL, "tables are there for every thread from the start")
def test_lazy_tables(side: Side) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(60):
            if isinstance(side, Ours):
                dal, names = side.another().dal, ["tally", "seat", "pet"] * 30
            else:
                dal = DAL(None, lazy_tables=True)
                names = [f"table_{number}" for number in range(90)]
                for name in names:
                    dal.define_table(name, *(Field(f"field_{number}") for number in range(10)))
            gate = threading.Barrier(8)
            in_threads(
                8,
                lambda _, dal=dal, names=names, gate=gate: (
                    gate.wait(),
                    [dal[name].fields for name in names],
                ),
            )
    finally:
        sys.setswitchinterval(before)


@pytest.mark.engines("postgresql")
@case(TRANSACTIONS, "a transaction that failed cannot be committed")
def test_aborted(side: Side) -> None:
    with pytest.raises(Exception, match=""), side.session() as dal:
        dal.tally.insert(name="lost")
        with contextlib.suppress(Exception):
            dal.executesql("SELECT 1 / 0")
        dal.commit()


@pytest.mark.engines("postgresql")
@case(TRANSACTIONS, "a limit on statements holds after a rollback")
def test_after_connection(side: Side) -> None:
    if isinstance(side, Ours):
        opened = lambda: side.db.session(timeout=0.3)  # noqa: E731
    else:
        limited = side.another(
            after_connection=lambda adapter: adapter.execute("SET statement_timeout = '300ms'")
        )
        opened = limited.session
    with contextlib.suppress(ZeroDivisionError), opened() as dal:
        dal.executesql("SELECT 1")
        raise ZeroDivisionError
    with pytest.raises(Exception, match=""), opened() as dal:
        dal.executesql("SELECT pg_sleep(1)")


@networked
@case(TRANSACTIONS, "tasks of one event loop have transactions of their own")
def test_tasks(side: Side) -> None:
    inserted, committed = asyncio.Event(), asyncio.Event()
    # Names that were never there: InnoDB locks a gap where it finds what is left of a deleted one.
    given_up, meant = (f"{word} {uuid.uuid4().hex[:8]}" for word in ("given up", "meant"))

    async def gives_up() -> None:
        with contextlib.suppress(ZeroDivisionError), side.session() as dal:
            dal.tally.insert(name=given_up)
            inserted.set()
            await committed.wait()
            raise ZeroDivisionError

    async def commits() -> None:
        await inserted.wait()
        with side.session() as dal:
            dal.tally.insert(name=meant)
        committed.set()

    async def both() -> None:
        await asyncio.gather(gives_up(), commits())

    asyncio.run(both())
    assert side.database.execute("SELECT name FROM tally") in ([(meant,)], ((meant,),))


@case(TRANSACTIONS, "closing commits nothing")
def test_close(side: Side) -> None:
    with contextlib.suppress(Exception), side.another().session() as dal:
        dal.tally.insert(name="not meant to stay")
        dal.close()
        raise ZeroDivisionError
    assert side.database.execute("SELECT COUNT(*) FROM tally")[0][0] == 0


@case(TRANSACTIONS, "an error in a single transaction is reported")
def test_single_transaction(side: Side) -> None:
    with pytest.raises(Exception, match=""), side.another().dal.single_transaction():  # type: ignore[attr-defined]
        raise ZeroDivisionError


@case(TRANSACTIONS, "several who update or insert the same record at once all succeed")
def test_update_or_insert(side: Side) -> None:
    gate = threading.Barrier(6)

    def slowly(row: Any) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            gate.wait(0.3)  # everybody has looked by now, and found nothing

    side.dal.tally._before_insert.append(slowly)  # type: ignore[attr-defined]

    def count_up(number: int) -> None:
        side.run(lambda dal: dal.tally.update_or_insert(dal.tally.name == "one", name="one", hits=number))

    in_threads(6, count_up)
    assert side.database.execute("SELECT COUNT(*) FROM tally")[0][0] == 1


@case(TRANSACTIONS, "many rows take few statements")
def test_bulk(side: Side) -> None:
    sent: list[str] = []
    with side.session() as dal:
        adapter = dal._adapter
        execute = adapter.execute
        adapter.execute = lambda sql, *rest, **more: (sent.append(sql), execute(sql, *rest, **more))[1]
        try:
            dal.tally.bulk_insert([{"name": f"n{number}", "hits": number} for number in range(200)])
        finally:
            del adapter.execute
        assert dal(dal.tally).count() == 200
    assert len(sent) < 20
