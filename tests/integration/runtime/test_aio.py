"""asyncio: sessions pinned to threads, cancellation that leaves nothing behind, a thousand requests at once."""

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ringfence.runtime import Conflict, InterfaceError, PoolOptions, Settings, UniqueViolation
from ringfence.runtime.aio import AsyncDatabase
from servers.base import Database as FreshDatabase
from support.runtime_shop import mirror, sleeping

pytestmark = pytest.mark.runtime_only


@contextlib.asynccontextmanager
async def opened(shop_db: FreshDatabase, size: int = 10) -> AsyncIterator[AsyncDatabase]:
    async with AsyncDatabase(Settings.from_env(shop_db.env()), mirror(), PoolOptions(size=size)) as shop:
        yield shop
        figures = shop.database.pool.stats()
        assert (figures.in_use, figures.waiting) == (0, 0)


def _names(database: FreshDatabase) -> list[str]:
    return [name for (name,) in database.execute("SELECT name FROM item ORDER BY name")]


def test_a_session_commits_and_rolls_back(shop_db: FreshDatabase) -> None:
    async def main() -> None:
        async with opened(shop_db) as shop:
            async with shop.session() as session:
                await session.run(lambda dal: dal.item.insert(name="tea", amount=1))
                rows = await session.run(lambda dal: dal(dal.item.id > 0).select().as_list())
                assert [row["name"] for row in rows] == ["tea"]
                assert _names(shop_db) == []
            assert _names(shop_db) == ["tea"]
            with pytest.raises(ZeroDivisionError):
                async with shop.session() as session:
                    await session.run(lambda dal: dal.item.insert(name="milk", amount=1))
                    _ = 1 / 0
            with pytest.raises(UniqueViolation):
                await shop.run(lambda dal: dal.item.insert(name="tea", amount=1))
            with pytest.raises(InterfaceError, match="has ended"):
                await session.run(lambda dal: dal(dal.item).count())
            report = await shop.readiness()
            assert report.stages

    asyncio.run(main())
    assert _names(shop_db) == ["tea"]


def test_a_thousand_requests_share_ten_connections(shop_db: FreshDatabase) -> None:
    async def main() -> list[int]:
        async with opened(shop_db) as shop:

            async def request(number: int) -> int:
                async with shop.session() as session:
                    await session.run(lambda dal: dal.item.insert(name=f"item {number}", amount=number))
                    await asyncio.sleep(0)
                    found = await session.run(
                        lambda dal: dal(dal.item.name == f"item {number}").select().first()
                    )
                    return int(found.amount)

            before = threading.active_count()
            amounts = await asyncio.gather(*(request(number) for number in range(1000)))
            assert shop.database.pool.stats().opened <= 10
            assert threading.active_count() <= before + 20  # not one for each request
            return amounts

    assert asyncio.run(main()) == list(range(1000))
    assert shop_db.execute("SELECT count(*) FROM item") == [(1000,)]


def test_a_child_task_does_not_join_the_session(shop_db: FreshDatabase) -> None:
    async def main() -> None:
        async with opened(shop_db) as shop, shop.session() as session:
            with pytest.raises(InterfaceError, match="another task"):
                await asyncio.create_task(session.run(lambda dal: dal(dal.item).count()))
            with pytest.raises(InterfaceError, match="no session"):
                await asyncio.to_thread(lambda: shop.database.dal(shop.database.dal.item).count())

            async def child() -> int:
                async with shop.session() as own:
                    return await own.run(lambda dal: int(dal(dal.item).count()))

            assert await asyncio.create_task(child()) == 0

    asyncio.run(main())


def test_cancelling_stops_the_statement_and_gives_the_connection_back(shop_db: FreshDatabase) -> None:
    async def main() -> None:
        async with opened(shop_db, 2) as shop:

            async def slow() -> None:
                async with shop.session() as session:
                    await session.run(lambda dal: dal.item.insert(name="tea", amount=1))
                    await session.run(lambda dal: dal.executesql(sleeping(shop_db.server.db_type, 120)))
                    await session.run(lambda dal: dal.item.insert(name="milk", amount=1))

            task = asyncio.create_task(slow())
            await asyncio.sleep(0.5)
            started = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - started < 20
            assert shop.database.pool.stats().in_use == 0
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await shop.run(lambda dal: dal.executesql(sleeping(shop_db.server.db_type, 120)))
            assert await shop.run(lambda dal: dal.executesql("SELECT 1"))

    asyncio.run(main())
    assert _names(shop_db) == []


def test_cancellation_storms_leave_nothing_behind(shop_db: FreshDatabase) -> None:
    done: set[int] = set()

    async def main() -> None:
        async with opened(shop_db, 4) as shop:

            async def request(number: int) -> None:
                async with shop.session() as session:
                    await session.run(lambda dal: dal.item.insert(name=f"item {number}", amount=number))
                    await session.run(lambda dal: dal.executesql(sleeping(shop_db.server.db_type, 0.01)))
                    await session.run(lambda dal: dal(dal.item.name == f"item {number}").update(amount=-0))
                done.add(number)

            chance = random.Random(7)  # noqa: S311  # the same storm each time
            for storm in range(4):
                tasks = [asyncio.create_task(request(100 * storm + number)) for number in range(30)]
                for task in chance.sample(tasks, 24):
                    await asyncio.sleep(chance.uniform(0, 0.01))
                    task.cancel()
                    if chance.random() < 0.3:
                        task.cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
                # On Galera a statement may lose to what another one rolls back: that is told, and nothing is stored.
                expected = (asyncio.CancelledError, Conflict)
                wrong = [each for each in outcomes if each and not isinstance(each, expected)]
                assert not wrong
                assert shop.database.pool.stats().in_use == 0
            await shop.run(lambda dal: dal(dal.item).count())  # and the connections still work

    asyncio.run(main())
    stored = {int(name.removeprefix("item ")) for name in _names(shop_db)}
    assert done <= stored  # whoever was cancelled during COMMIT may be stored, too
    amounts = shop_db.execute("SELECT DISTINCT amount FROM item")
    assert amounts in ([(0,)], [])  # no transaction was stored by half


def test_cancelling_one_who_waits_for_his_turn(shop_db: FreshDatabase) -> None:
    async def main() -> None:
        async with opened(shop_db, 1) as shop, shop.session() as session:
            await session.run(lambda dal: dal(dal.item).count())
            waiting = asyncio.create_task(shop.run(lambda dal: dal(dal.item).count()))
            await asyncio.sleep(0)  # one step of the loop, after which the task waits for its turn
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await session.run(lambda dal: dal(dal.item).count())

    asyncio.run(main())


@pytest.mark.engines("sqlite")
def test_cancelling_a_writer_that_waits_for_another(shop_db: FreshDatabase) -> None:
    async def main() -> None:
        async with opened(shop_db, 3) as shop, shop.session() as session:
            await session.run(lambda dal: dal.item.insert(name="tea", amount=1))
            waiting = asyncio.create_task(shop.run(lambda dal: dal.item.insert(name="milk", amount=1)))
            await asyncio.sleep(0.3)
            waiting.cancel()
            started = time.monotonic()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert time.monotonic() - started < 15

    asyncio.run(main())
    assert _names(shop_db) == ["tea"]


def test_an_odd_exception_reaches_its_task(shop_db: FreshDatabase) -> None:
    async def main() -> None:
        async with opened(shop_db) as shop:
            with pytest.raises(RuntimeError, match="StopIteration"):
                await shop.run(lambda dal: next(iter(())))

    asyncio.run(main())


def test_one_database_may_serve_one_loop_after_another(shop_db: FreshDatabase) -> None:
    shop = AsyncDatabase(Settings.from_env(shop_db.env()), mirror(), PoolOptions(size=1))

    async def main() -> None:
        await asyncio.gather(*(shop.run(lambda dal: dal(dal.item).count()) for _ in range(5)))

    for _ in range(2):
        asyncio.run(main())
    asyncio.run(shop.close())
    assert shop.database.pool.stats().open == 0


def test_a_cancelled_run_stores_nothing(shop_db: FreshDatabase) -> None:
    inserted, go_on = threading.Event(), threading.Event()

    def work(dal: Any) -> None:
        dal.item.insert(name="tea", amount=1)
        inserted.set()
        assert go_on.wait(20)

    async def main() -> None:
        async with opened(shop_db) as shop:
            task = asyncio.create_task(shop.run(work))
            assert await asyncio.to_thread(inserted.wait, 20)
            task.cancel()
            await asyncio.sleep(0)
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert _names(shop_db) == []
