"""Rows that are read while they are used: in constant memory, and closed when nobody wants the rest."""

import asyncio
import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringfence.runtime import Database, InterfaceError, RingfenceError, Timeout, UniqueViolation, UsageError
from ringfence.runtime.aio import AsyncDatabase

MANY = 5_000


@pytest.fixture
def many(shop: Database) -> Database:
    with shop.session() as dal:
        dal.specimen.bulk_insert({"whole": number, "name": f"n{number}"} for number in range(MANY))
    return shop


def open_cursors(dal: Any) -> int:
    """Those that PostgreSQL knows in this transaction."""
    return int(dal.executesql("SELECT count(*) FROM pg_cursors")[0][0])


def busy(dal: Any) -> bool:
    """Whether the driver still has rows to come for the session."""
    result = getattr(dal._adapter.connection, "_result", None)
    return bool(getattr(result, "unbuffered_active", False))


def test_all_rows_come_in_order_whatever_else_the_session_runs(many: Database) -> None:
    with many.session() as dal:
        t = dal.specimen
        rows = dal(t.whole >= 0).iterselect(t.id, t.whole, t.name, orderby=t.whole)
        seen = []
        for row in rows:
            seen.append(row.whole)
            if row.whole % 1000 == 0:
                assert dal(t.whole == row.whole).select(t.name).first().name == row.name
                dal(t.id == row.id).update(name="changed", whole=row.whole + MANY)
                t.insert(whole=row.whole + 2 * MANY)
        assert seen == list(range(MANY))
        assert dal(t.name == "changed").count() == 5
        assert list(rows) == []


def test_two_at_once_and_nested_sessions(many: Database) -> None:
    with many.session() as dal:
        t = dal.specimen
        ones = dal(t).iterselect(t.whole, orderby=t.whole)
        others = dal(t).iterselect(t.whole, orderby=~t.whole)
        for one, other in zip(ones, others, strict=True):
            assert one.whole + other.whole == MANY - 1
        outer = dal(t).iterselect(t.whole, orderby=t.whole)
        assert next(outer).whole == 0
        dal.owner.insert(name="x")
        with pytest.raises(UniqueViolation), many.session():
            inner = dal(t).iterselect(t.whole)
            assert next(inner).whole is not None
            dal.owner.insert(name="x")
        assert sum(1 for _ in outer) == MANY - 1
        with many.session():
            kept = dal(t).iterselect(t.whole, orderby=t.whole)
        assert [next(kept).whole for _ in range(200)] == list(range(200))


def test_it_behaves_as_pydals_own(many: Database) -> None:
    with many.session() as dal:
        t = dal.specimen
        rows = dal(t).iterselect(t.whole, orderby=t.whole)
        assert rows.first().whole == 0
        assert rows.first().whole == 0
        assert [row.whole for row in rows] == list(range(MANY))
        rows = dal(t).iterselect(t.whole, orderby=t.whole)
        assert [rows[number].whole for number in (0, 3, 3, 150)] == [0, 3, 3, 150]
        with pytest.raises(IndexError, match="passed over"):
            rows[4]
        with pytest.raises(IndexError):
            rows[MANY]
        assert dal(t.id < 0).iterselect().first() is None
        assert list(dal(t.id < 0).iterselect()) == []
        both = dal(t.whole == 7).iterselect(t.name, t.whole + 1)
        assert [(row.specimen.name, row[t.whole + 1]) for row in both] == [("n7", 8)]
        row = next(iter(dal(t.whole == 7).iterselect()))
        row.update_record(name="seven")
        assert dal(t.name == "seven").count() == 1
        assert next(dal(t.whole == 7).iterselect(for_update=True)).name == "seven"


def test_a_statement_that_fails_is_reported_as_any_other(many: Database) -> None:
    with many.session() as dal:
        rows = dal(dal.specimen).iterselect()
        next(rows)
        with pytest.raises(RingfenceError):
            dal.executesql("SELECT nonsense FROM nowhere")
        with pytest.raises(InterfaceError, match="failed before"):
            list(rows)
        dal.rollback()
        assert dal(dal.specimen).count() == MANY


def test_rows_end_with_their_transaction(many: Database) -> None:
    for end in ("commit", "rollback"):
        with many.session() as dal:
            rows = dal(dal.specimen).iterselect()
            next(rows)
            dal.specimen.insert(name="beside")
            getattr(dal, end)()
            with pytest.raises(InterfaceError, match="select"):
                list(rows)
            assert dal(dal.specimen).count() == MANY + 1
    with many.session() as dal:
        rows = dal(dal.specimen).iterselect()
        next(rows)
    with pytest.raises(InterfaceError, match="ended"):
        list(rows)
    with many.session() as dal:
        assert dal(dal.specimen).count() == MANY + 1
        with pytest.raises(InterfaceError, match=r"ended|over"):
            list(rows)


def test_what_is_dropped_is_closed_before_the_next_statement(many: Database) -> None:
    with many.session() as dal:
        t = dal.specimen
        for row in dal(t).iterselect():
            assert row.id
            break
        assert dal(t).count() == MANY
        assert not busy(dal)
        if many.backend.flavour() == "postgresql":
            assert open_cursors(dal) == 0
        rows = dal(t).iterselect()
        rows.close()
        assert dal(t).count() == MANY
        assert sum(1 for _ in dal(t).iterselect(t.id)) == MANY
        if many.backend.flavour() == "postgresql":
            assert open_cursors(dal) == 0


def test_a_session_that_fails_leaves_nothing_behind(many: Database) -> None:
    with pytest.raises(ZeroDivisionError), many.session() as dal:
        for row in dal(dal.specimen).iterselect():
            dal.specimen.insert(name=str(1 / (row.id - row.id)))
    with many.session() as dal:
        assert dal(dal.specimen).count() == MANY
    assert many.pool.stats().dropped == 0


@pytest.mark.engines("postgresql", "mariadb", "mysql", "sqlite")
def test_memory_stays_as_it_was(many: Database) -> None:
    status = Path("/proc/self/statm")
    if not status.exists():
        pytest.skip("this system does not tell how much memory is resident")
    with many.session() as dal:
        t, other = dal.specimen, dal.specimen.with_alias("other")
        every = dal((t.id > 0) & (other.whole < 60))
        before, most, count = resident(status), 0, 0
        for _row in every.iterselect(t.id, t.whole, t.name):
            count += 1
            if count % 10_000 == 0 or count == 1:
                most = max(most, resident(status))
        assert count == 60 * MANY
        assert most - before < 30 * 1024 * 1024
        # What is much is stopped, not read to its end.
        for _row in every.iterselect(t.id, t.whole, t.name):
            break
        assert dal(t).count() == MANY
        assert dal(t).count() == MANY


def resident(status: Path) -> int:
    """The octets of this process that are in memory."""
    return int(status.read_text().split()[1]) * resource.getpagesize()


def test_they_belong_to_their_thread(many: Database) -> None:
    raised: list[BaseException] = []

    def read(rows: Iterator[Any]) -> None:
        try:
            list(rows)
        except UsageError as error:
            raised.append(error)

    with many.session() as dal:
        rows = dal(dal.specimen).iterselect()
        thread = threading.Thread(target=read, args=(rows,))
        thread.start()
        thread.join()
        assert "another thread" in str(raised[0])


def test_a_cancelled_session_ends_them(many: Database) -> None:
    with pytest.raises(Timeout), many.session() as dal:
        rows = dal(dal.specimen).iterselect()
        next(rows)
        many.current().cancel()
        list(rows)
    with many.session() as dal:
        assert dal(dal.specimen).count() == MANY


def test_asyncio_reads_them_in_the_sessions_thread(many: Database) -> None:
    async def main() -> list[int]:
        async with AsyncDatabase(many.settings, many.mirror) as adb, adb.session() as session:
            rows = await session.run(lambda dal: dal(dal.specimen).iterselect(orderby=dal.specimen.whole))
            first = await session.run(lambda dal: [next(rows).whole for _ in range(150)])
            rest = await session.run(lambda dal: [row.whole for row in rows])
            return first + rest

    assert asyncio.run(main()) == list(range(MANY))
