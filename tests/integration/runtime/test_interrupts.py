"""An exception from outside, as a signal's handler raises it, at every point of the runtime: nothing is lost by it."""

import contextlib
import gc
import importlib
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from ringfence.runtime import (
    Database,
    InterfaceError,
    PoolExhausted,
    PoolOptions,
    Timeout,
    database,
    flask,
    unit,
)
from ringfence.runtime.dal import streaming
from ringfence.runtime.engines.sqlite import backend, connection, writer_queue
from ringfence.runtime.flask import Ringfence
from ringfence.runtime.pool import lease, opening, owner, pool
from ringfence.runtime.pool.lease import Lease
from ringfence.runtime.session import session, stream, transaction
from servers.base import Database as FreshDatabase
from servers.mysql_family import processlist
from support.interrupts import Interrupt, Points
from support.runtime_shop import opened, sleeping
from support.waiting import eventually

pytestmark = pytest.mark.runtime_only
networked = pytest.mark.requires("networked")

RUNTIME = (database, lease, opening, owner, pool, session, stream, streaming, transaction, unit)
BACKENDS = [backend, connection, writer_queue]
for _name in ("mysql", "postgresql"):
    with contextlib.suppress(
        ModuleNotFoundError
    ):  # a driver that is not installed: SQLite is tried without any
        BACKENDS.append(importlib.import_module(f"ringfence.runtime.engines.{_name}"))


def _work(shop: Database) -> None:
    """A session as it is used: writes, nested sessions that are kept and undone, rows that are read bit by bit."""
    with shop.session() as dal:
        here = shop.current()
        here.execute("INSERT INTO item (name, amount) VALUES ('kept', 1)")
        with shop.session():
            here.execute("INSERT INTO item (name, amount) VALUES ('kept too', 1)")
        try:
            with shop.session():
                here.execute("INSERT INTO item (name, amount) VALUES ('undone', 1)")
                raise KeyError
        except KeyError:
            pass
        assert [row.id for row in dal(dal.item).iterselect(dal.item.id)]
        half = dal(dal.item).iterselect(dal.item.id)
        assert next(half)


def _amiss(shop: Database, error: BaseException, out: BaseException | None) -> list[str]:
    """What is not as it should be after an exception; its traceback is still there."""
    amiss = [] if out is error else [f"what came out is {out!r}"]
    if shop.own_session() is not None:
        amiss.append("a session is open")
    if shop.backend.features.interruptible:
        eventually(
            lambda: not shop.pool.stats().in_use
        )  # a thread stops the statement, and closes the connection
    figures, state = shop.pool.stats(), shop.pool._state  # noqa: SLF001 - no figure counts what is being opened
    if (figures.in_use, figures.waiting, len(state.opening)) != (0, 0, 0):
        amiss.append(f"{figures}")
    if not figures.open == figures.idle == figures.opened - figures.dropped <= figures.size:
        amiss.append(f"{figures}")
    try:
        with shop.session() as dal:
            names = sorted(name for (name,) in dal.executesql("SELECT name FROM item"))
            if names not in ([], ["kept", "kept too"]):
                amiss.append(f"stored is {names}")
            dal.executesql("DELETE FROM item")
    except Exception as failed:
        amiss.append(f"the next session: {failed!r}")
    return amiss


def _run(shop: Database, points: Points, work: Callable[[], Any], step: int = 1) -> int:
    faults, count = [], 0
    gc.disable()  # nothing is to be found again by luck
    try:
        for where, error, out in points.each(work, step):
            count += 1
            if amiss := _amiss(shop, error, out):
                faults.append((where, amiss))
            if count % 2:
                shop.pool.before_fork()  # closes what is idle, where that is of use: the next work opens a connection
    finally:
        gc.enable()
    assert not faults
    return count


@pytest.mark.engines("sqlite")
def test_an_interrupt_at_each_bytecode_loses_nothing(shop_db: FreshDatabase) -> None:
    with opened(shop_db.env(), PoolOptions(size=1, wait=0.2)) as shop:
        assert _run(shop, Points(*RUNTIME, *BACKENDS), lambda: _work(shop)) > 300


@networked
def test_an_interrupt_at_a_line_loses_nothing_on_a_server(shop_db: FreshDatabase) -> None:
    with opened(shop_db.env(), PoolOptions(size=1, wait=5)) as shop:
        assert _run(shop, Points(*RUNTIME, *BACKENDS, lines=True), lambda: _work(shop), step=13) > 40


class _Late(Exception):
    """Like the soft time limit of Celery."""


@pytest.mark.engines("postgresql", "mariadb", "mysql")
def test_an_alarm_while_the_server_works_is_what_comes_out(shop_db: FreshDatabase) -> None:
    engine, kinds = shop_db.server.db_type, [_Late, TimeoutError, TypeError, KeyboardInterrupt]
    waiting = sleeping(engine, 30 if engine == "mysql" else 0.2)  # psycopg2 waits in C, for the answer

    def ring(*_: object) -> None:
        raise kinds[0]("from the handler")

    with opened(shop_db.env(), PoolOptions(size=1, wait=5)) as shop, contextlib.ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, ring))
        stack.callback(signal.setitimer, signal.ITIMER_REAL, 0)
        while kinds:
            with pytest.raises(kinds[0], match="from the handler"), shop.session() as dal:
                dal.item.insert(name="lost", amount=1)
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                dal.executesql(waiting)
            del kinds[0]
        kinds.append(_Late)
        with pytest.raises(InterfaceError, match="cut off a statement"), shop.session() as dal:
            dal.item.insert(name="lost", amount=1)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with contextlib.suppress(_Late):
                dal.executesql(waiting)
            dal.executesql("SELECT 1")
        with shop.session() as dal:
            assert dal(dal.item).isempty()
        if engine == "mysql":
            running = f"SELECT count(*) FROM {processlist(shop_db.server)} WHERE info LIKE '%SLEEP(30)%'"
            assert shop_db.execute(running) == [(1,)]  # this one
        assert shop.pool.stats().dropped == 5


@pytest.mark.engines("sqlite")
def test_an_interrupt_of_a_waiting_caller_loses_no_connection(
    shop_db: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(shop_db.env(), PoolOptions(size=1, wait=5)) as shop:
        leases: list[Lease] = []

        def given(asking: Lease, seconds: float) -> bool:
            shop.pool.release(leases[0])  # the connection comes at the very moment
            return True

        def work() -> None:
            leases[:] = [Lease("who has it"), Lease("who waits")]
            for each in leases:
                shop.pool.lend(each)
            shop.pool.release(leases[1])

        monkeypatch.setattr(Lease, "wait", given)
        for where, error, out in Points(*RUNTIME).each(work):
            for each in leases:
                shop.pool.give_up(each)  # as their sessions do
            assert _amiss(shop, error, out) == [], where
        assert shop.pool.stats().waits > 20


@pytest.mark.engines("sqlite")
def test_an_interrupt_of_a_release_leaves_no_caller_waiting(
    shop_db: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "LOOK_SECONDS", 0.02)
    with opened(shop_db.env(), PoolOptions(size=1, wait=10)) as shop, ThreadPoolExecutor(1) as threads:

        def waits() -> None:
            shop.pool.release(shop.pool.acquire("who waits"))

        points, at = Points(*RUNTIME), 0
        while not at or points.raised is not None:
            lent, error = shop.pool.acquire("who is cut off"), Interrupt()
            waiting = threads.submit(waits)
            eventually(lambda: shop.pool.stats().waiting)
            out = points.run(lambda lent=lent: shop.pool.release(lent), at, error)
            shop.pool.give_up(lent)
            waiting.result(10)
            assert out is points.raised, points.where
            assert _amiss(shop, error, error) == [], points.where
            at += 1
        assert at > 10


@pytest.mark.engines("sqlite")
def test_an_interrupt_of_a_writer_in_the_queue_keeps_no_turn(shop_db: FreshDatabase) -> None:
    with opened(shop_db.env(), PoolOptions(size=1, wait=0.2)) as shop:
        gate = writer_queue.writer_queue_for(Path(shop.settings.name).absolute())
        other, never = object(), writer_queue.Flag()

        def work() -> None:
            assert gate.enter(other, 0, never)
            with contextlib.suppress(Timeout), shop.session(timeout=0.01) as dal:
                dal.executesql("DELETE FROM item")
            gate.leave(other)

        faults = []
        for where, error, out in Points(*RUNTIME, *BACKENDS).each(work):
            gate.leave(other)
            if amiss := _amiss(shop, error, out):
                faults.append((where, amiss))
        assert not faults
        assert gate._inside is None  # noqa: SLF001 - a turn that nobody ends would show much later


@pytest.mark.engines("sqlite")
def test_an_abandoned_connection_is_found_by_a_waiting_caller(shop_db: FreshDatabase) -> None:
    with opened(shop_db.env(), PoolOptions(size=1, wait=0.2)) as shop:
        by_hand = shop.session()
        by_hand.__enter__().executesql("SELECT 1")
        with pytest.raises(PoolExhausted, match="test_interrupts"):
            shop.pool.acquire("who waits in vain")
        state = shop.pool._state  # noqa: SLF001 - the garbage is collected in the midst of the pool's own work
        with state.lock:
            del by_hand
            gc.collect()
            assert state.everyone
        shop.pool.release(shop.pool.acquire("who finds it"))
        figures = shop.pool.stats()
        assert (figures.opened, figures.dropped, figures.in_use) == (2, 1, 0)


@pytest.mark.engines("sqlite")
def test_an_interrupt_of_a_request_leaves_nothing_to_the_next(shop_db: FreshDatabase) -> None:
    with opened(shop_db.env(), PoolOptions(size=1, wait=0.2)) as shop:
        app = Flask(__name__)
        ringfence = Ringfence(app, database=shop, health=None)

        @app.get("/")
        def add() -> str:
            ringfence.dal.executesql("INSERT INTO item (name, amount) VALUES ('kept', 1)")
            ringfence.dal.executesql("INSERT INTO item (name, amount) VALUES ('kept too', 1)")
            return "added"

        client = app.test_client()
        assert _run(shop, Points(flask, unit), lambda: client.get("/")) > 30


@pytest.mark.engines("sqlite")
def test_an_interrupt_in_close_leaves_it_to_the_next(shop_db: FreshDatabase) -> None:
    at, points = 0, Points(*RUNTIME)
    while not at or points.raised is not None:
        with opened(shop_db.env(), PoolOptions(size=2)) as shop:
            with shop.session() as dal:
                dal.executesql("SELECT 1")
            assert points.run(shop.close, at, error := Interrupt()) in (error, None)
            shop.close(0.5)
            assert shop.pool.stats().open == 0, points.where
        at += 1
    assert at > 10
