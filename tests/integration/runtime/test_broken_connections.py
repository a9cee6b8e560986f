"""A connection that another thread ended is not used by the next session."""

import contextlib
import dataclasses
import threading
from typing import Any

import pytest

from ringfence.runtime import Database, Timeout
from ringfence.runtime.engines import network_timeouts
from support.runtime_shop import in_threads
from support.waiting import eventually

pytestmark = pytest.mark.runtime_only


def test_a_broken_connection_is_not_reused(shop: Database) -> None:
    with contextlib.suppress(Timeout), shop.session() as dal:
        dal.executesql("SELECT 1")
        dal.commit()  # nothing is left to do that would notice
        shop.current().break_connection()
    assert shop.pool.stats().dropped == 1
    with shop.session() as dal:
        assert list(dal.executesql("SELECT 1")[0]) == [1]


def test_a_request_that_may_yet_arrive_meets_no_other_session(
    shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    could_end: list[object] = []

    def may_end(_: int) -> bool:
        lock = session._cancelling  # noqa: SLF001 - the moment between two threads is seen by the lock alone
        held = bool(lock.acquire(blocking=False))
        if held:
            lock.release()
        return held

    def sever(lease: Any) -> None:
        could_end.extend(in_threads(1, may_end, 5))

    monkeypatch.setattr(shop.backend, "cancel", lambda connection: False)
    monkeypatch.setattr(shop.pool, "break_connection", sever)
    with contextlib.suppress(Timeout), shop.session() as dal:
        dal.executesql("SELECT 1")
        session = shop.current()
        session.cancel()
    assert could_end == [False]


def test_what_was_given_up_cannot_be_given_back(shop: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    reached = threading.Event()
    interruptible = dataclasses.replace(shop.backend.features, interruptible=True)
    monkeypatch.setattr(shop.backend, "features", interruptible, raising=False)
    monkeypatch.setattr(shop.backend, "cancel", lambda connection: reached.wait(10))
    lease = shop.pool.acquire("test")
    lease.busy = True
    shop.pool.give_up(lease)  # a thread stops the statement first
    shop.pool.release(lease)
    assert shop.pool.stats().idle == 0
    reached.set()
    eventually(lambda: shop.pool.stats().open == 0)


@pytest.mark.engines("postgresql")
def test_an_answer_that_met_the_end_of_the_wait_is_none(
    shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = shop.pool.acquire("test")
    assert shop.backend.alive(lease.connection)
    watcher = network_timeouts._watcher  # noqa: SLF001 - its thread must be late by a moment that no load brings about
    monkeypatch.setattr(watcher, "end", lambda block: (block.expire(), setattr(block, "descriptor", -1)))
    assert not shop.backend.alive(lease.connection)
    shop.pool.release(lease, broken=True)
