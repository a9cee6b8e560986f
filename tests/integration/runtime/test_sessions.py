"""Sessions: one transaction each, owned by one thread or task, and savepoints within."""

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ringfence.runtime import (
    ConnectionLost,
    Database,
    DataError,
    InterfaceError,
    ProgrammingError,
    RingfenceError,
    UniqueViolation,
    UnknownName,
)
from servers.base import Database as FreshDatabase
from support.runtime_shop import kill_connections, opened

pytestmark = pytest.mark.runtime_only
networked = pytest.mark.requires("networked")


def _names(database: FreshDatabase) -> list[str]:
    return [name for (name,) in database.execute("SELECT name FROM item ORDER BY name")]


def test_a_session_commits_at_its_end(shop: Database, shop_db: FreshDatabase) -> None:
    with shop.session() as dal:
        dal.item.insert(name="tea", amount=1)
        assert _names(shop_db) == []
    assert _names(shop_db) == ["tea"]


def test_a_session_rolls_back_on_an_error(shop: Database, shop_db: FreshDatabase) -> None:
    with pytest.raises(ZeroDivisionError), shop.session() as dal:
        dal.item.insert(name="tea", amount=1)
        _ = 1 / 0
    assert _names(shop_db) == []


def test_commit_and_rollback_on_the_way(shop: Database, shop_db: FreshDatabase) -> None:
    with shop.session() as dal:
        dal.item.insert(name="tea", amount=1)
        dal.commit()
        dal.item.insert(name="milk", amount=1)
        dal.rollback()
        dal.item.insert(name="honey", amount=1)
    assert _names(shop_db) == ["honey", "tea"]


def test_a_nested_session_is_a_savepoint(shop: Database, shop_db: FreshDatabase) -> None:
    with shop.session() as dal:
        dal.item.insert(name="tea", amount=1)
        with pytest.raises(UniqueViolation), shop.session() as inner:
            assert inner is dal
            inner.item.insert(name="milk", amount=1)
            with shop.session():
                dal.item.insert(name="sugar", amount=1)
            inner.item.insert(name="tea", amount=1)
        with shop.session():
            dal.item.insert(name="honey", amount=1)
    assert _names(shop_db) == ["honey", "tea"]


def test_a_nested_session_that_comes_first_begins_the_transaction(
    shop: Database, shop_db: FreshDatabase
) -> None:
    with shop.session() as dal:
        with pytest.raises(ZeroDivisionError), shop.session():
            dal.item.insert(name="tea", amount=1)
            _ = 1 / 0
        dal.item.insert(name="honey", amount=1)
    assert _names(shop_db) == ["honey"]


def test_a_failure_swallowed_inside_a_nested_session_still_undoes_it(
    shop: Database, shop_db: FreshDatabase
) -> None:
    with shop.session() as dal:
        dal.item.insert(name="tea", amount=1)
        with pytest.raises(InterfaceError, match="failed before"), shop.session():
            dal.item.insert(name="milk", amount=1)
            with pytest.raises(UniqueViolation):
                dal.item.insert(name="tea", amount=1)
        dal.item.insert(name="honey", amount=1)
    assert _names(shop_db) == ["honey", "tea"]


def test_an_aborted_transaction_cannot_be_committed(shop: Database, shop_db: FreshDatabase) -> None:
    with pytest.raises(InterfaceError, match="nothing of it will be stored"), shop.session() as dal:
        dal.item.insert(name="tea", amount=1)
        with pytest.raises(UniqueViolation):
            dal.item.insert(name="tea", amount=1)
    with pytest.raises(InterfaceError, match="failed before"), shop.session() as dal:
        with pytest.raises(ProgrammingError):
            dal.executesql("SELECT nonsense FROM item")
        dal.commit()
    with shop.session() as dal:
        with pytest.raises(ProgrammingError):
            dal.executesql("SELECT nonsense FROM item")
        dal.rollback()  # the way back
        dal.item.insert(name="milk", amount=1)
    assert _names(shop_db) == ["milk"]


@pytest.mark.parametrize(
    "word", ["COMMIT", "rollback", " /* now */ Commit", "BEGIN", "SAVEPOINT x", "-- so\nEND"]
)
def test_the_ends_of_a_transaction_are_the_sessions_own_work(
    shop: Database, shop_db: FreshDatabase, word: str
) -> None:
    with pytest.raises(InterfaceError), shop.session() as dal:
        dal.item.insert(name="tea", amount=1)
        dal.executesql(word)
    assert _names(shop_db) == []


@networked
def test_what_outlives_a_session_is_refused(shop: Database) -> None:
    with pytest.raises(InterfaceError, match="outlives"), shop.session() as dal:
        dal.executesql("SET SESSION sql_mode = ''")


@pytest.mark.engines("postgresql")
def test_a_transaction_ended_on_the_sly_is_refused(shop: Database, shop_db: FreshDatabase) -> None:
    for several in ("SELECT 1; COMMIT", "SELECT 1; COMMIT; BEGIN; ROLLBACK"):
        with pytest.raises(InterfaceError, match="session's"), shop.session() as dal:
            dal.item.insert(name="tea", amount=1)
            dal.executesql(several)
    assert _names(shop_db) == []


@pytest.mark.engines("mysql", "mariadb", "galera")
def test_an_implicit_commit_is_noticed(shop: Database) -> None:
    with pytest.raises(InterfaceError, match="ended the session's transaction"), shop.session() as dal:
        dal.item.insert(name="tea", amount=1)
        dal.executesql("CREATE TABLE more (id INTEGER PRIMARY KEY)")


def test_a_nested_session_of_another_mode_is_a_misuse(shop: Database) -> None:
    with shop.session():
        for options in ({"read_only": True}, {"timeout": 5}):
            with pytest.raises(InterfaceError, match="savepoint"), shop.session(**options):
                pass
        with pytest.raises(UnknownName, match="scope"), shop.session(scope={"tenant": 7}):
            pass
    with shop.session(read_only=True, timeout=5), shop.session(read_only=True, timeout=5), shop.session():
        pass


def test_the_whole_is_not_committed_or_rolled_back_from_within(
    shop: Database, shop_db: FreshDatabase
) -> None:
    with shop.session() as dal:
        dal.item.insert(name="tea", amount=1)
        for end in (dal.commit, dal.rollback):
            with pytest.raises(InterfaceError, match="nested"), shop.session():
                end()
    assert _names(shop_db) == ["tea"]


def test_a_read_only_session_cannot_write(shop: Database, shop_db: FreshDatabase) -> None:
    for write in (
        lambda dal: dal.item.insert(name="tea", amount=1),
        lambda dal: dal(dal.item.id > 0).update(amount=1),
        lambda dal: dal(dal.item.id > 0).delete(),
    ):
        with pytest.raises(InterfaceError, match="read-only"), shop.session(read_only=True) as dal:
            write(dal)
    assert _names(shop_db) == []


def test_no_session_is_a_misuse_with_the_resolution(shop: Database) -> None:
    with pytest.raises(InterfaceError, match=r"with db\.session\(\) as dal"):
        shop.dal(shop.dal.item.id > 0).select()
    with shop.session() as dal:
        query = dal.item.id > 0
    with pytest.raises(InterfaceError, match=r"with db\.session\(\) as dal"):
        dal(query).select()


def test_another_threads_session_is_a_misuse(shop: Database, shop_db: FreshDatabase) -> None:
    with shop.session() as dal, ThreadPoolExecutor(1) as threads:
        dal.item.insert(name="tea", amount=1)
        for context in (contextvars.copy_context(), contextvars.Context()):
            work = threads.submit(context.run, lambda: dal.item.insert(name="milk", amount=1))
            with pytest.raises(InterfaceError, match="open"):
                work.result(30)
    assert _names(shop_db) == ["tea"]


def test_a_thread_with_its_parents_context_may_open_a_session_of_its_own(
    shop: Database, shop_db: FreshDatabase
) -> None:
    def work() -> None:
        with shop.session() as dal:
            dal(dal.item).count()

    with shop.session(), ThreadPoolExecutor(1) as threads:
        threads.submit(contextvars.copy_context().run, work).result(30)


def test_child_tasks_and_to_thread_do_not_inherit_the_session(shop: Database, shop_db: FreshDatabase) -> None:
    def write() -> None:
        shop.dal.item.insert(name="milk", amount=1)

    async def child() -> None:
        write()

    async def main() -> None:
        with shop.session() as dal:
            dal.item.insert(name="tea", amount=1)
            with pytest.raises(InterfaceError, match="belongs to another"):
                await asyncio.create_task(child())
            with pytest.raises(InterfaceError, match="belongs to another"):
                await asyncio.to_thread(write)
            await child()  # the same task

    asyncio.run(main())
    assert _names(shop_db) == ["milk", "tea"]


def test_sessions_of_many_threads_do_not_mix(shop: Database, shop_db: FreshDatabase) -> None:
    def work(number: int) -> int:
        for turn in range(10):
            with shop.session() as dal:
                dal.item.insert(name=f"{number}/{turn}", amount=number)
                if turn % 2:
                    dal.rollback()
        with shop.session(read_only=True) as dal:
            return int(dal(dal.item.amount == number).count())

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [5] * 8


def test_a_generator_closed_elsewhere_leaves_others_sessions_alone(shop: Database) -> None:
    def rows():
        with shop.session(read_only=True) as dal:
            dal.executesql("SELECT 1")
            yield 1
            yield 2

    left_open = rows()
    thread = threading.Thread(target=lambda: next(left_open))
    thread.start()
    thread.join()
    with shop.session() as dal:
        left_open.close()
        dal.executesql("SELECT 1")
    assert shop.pool.stats().in_use == 0


def test_a_parameter_that_cannot_be_sent_is_a_ringfence_error(shop: Database) -> None:
    with pytest.raises(RingfenceError), shop.session() as dal:
        mark = "?" if shop.settings.db_type == "sqlite" else "%s"
        dal.executesql(f"SELECT {mark}", ["a", "b"])
    if shop.settings.db_type == "postgresql":
        with pytest.raises(DataError), shop.session() as dal:
            dal.executesql("SELECT %s", ["a\0b"])


@networked
def test_a_session_can_go_on_after_a_lost_connection_was_rolled_back(
    shop: Database, shop_db: FreshDatabase
) -> None:
    with shop.session() as dal:
        dal.item.insert(name="tea", amount=1)
        kill_connections(shop_db)
        with pytest.raises(ConnectionLost):
            dal.item.insert(name="milk", amount=1)
        dal.rollback()
        dal.item.insert(name="honey", amount=1)
    assert _names(shop_db) == ["honey"]


@networked
def test_a_connection_lost_inside_a_nested_session_dooms_the_whole(
    shop: Database, shop_db: FreshDatabase
) -> None:
    with pytest.raises(InterfaceError, match="failed before"), shop.session() as dal:
        dal.item.insert(name="tea", amount=1)
        with pytest.raises(ConnectionLost), shop.session():
            kill_connections(shop_db)
            dal.item.insert(name="milk", amount=1)
        dal.item.insert(name="honey", amount=1)
    assert _names(shop_db) == []
    assert shop.pool.stats().in_use == 0


@networked
def test_connections_name_service_and_mirror_revision(shop_db: FreshDatabase) -> None:
    with opened(shop_db.env()) as shop, shop.session(read_only=True) as dal:
        dal.executesql("SELECT 1")
        if shop.settings.db_type == "postgresql":
            found = shop_db.execute(
                "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
            )
            assert ("ringfence:till@aaaa",) in found
        else:
            schema = "performance_schema.session_account_connect_attrs"
            query = f"SELECT attr_value FROM {schema} WHERE attr_name = 'program_name'"
            found = dal.executesql(query)
            # MariaDB keeps attributes only when its performance_schema is on.
            assert shop.backend.flavour() != "mysql" or ("ringfence:till@aaaa",) in found
