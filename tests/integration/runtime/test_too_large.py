"""A transaction that is larger than the server takes at once: named, undone whole, and nothing after it kept alone."""

import contextlib

import pytest

from ringfence.runtime import (
    Conflict,
    Database,
    InterfaceError,
    RingfenceError,
    TransactionTooLarge,
    UsageError,
)
from servers.base import Database as FreshDatabase
from support.server_variables import globally

pytestmark = pytest.mark.runtime_only
ROWS = 40


def _names(database: FreshDatabase) -> list[str]:
    return [name for (name,) in database.execute("SELECT name FROM item ORDER BY name")]


def _rows(width: int = 1) -> list[dict[str, object]]:
    return [{"name": f"{number}".rjust(width, "."), "amount": 1} for number in range(ROWS)]


@pytest.mark.engines("galera")
def test_more_rows_than_a_write_set_may_have(shop: Database, shop_db: FreshDatabase) -> None:
    with globally(shop_db, wsrep_max_ws_rows=ROWS // 2):
        with (
            pytest.raises(
                TransactionTooLarge, match=r"on item \(1180\).*fewer rows.*wsrep_max_ws_rows"
            ) as raised,
            shop.session() as dal,
        ):
            dal.item.insert(name="before", amount=1)
            dal.item.bulk_insert(_rows())
        assert raised.value.__cause__.args == (1180, "wsrep_max_ws_rows exceeded")
        assert _names(shop_db) == []
        with shop.session() as dal:  # the same connection, of the pool
            dal.item.insert(name="later", amount=1)
    assert _names(shop_db) == ["later"]


@pytest.mark.engines("galera")
def test_nothing_that_follows_is_kept_alone(shop: Database, shop_db: FreshDatabase) -> None:
    with globally(shop_db, wsrep_max_ws_rows=ROWS // 2):
        with (
            pytest.raises(InterfaceError, match="nothing of it will be stored") as raised,
            shop.session() as dal,
        ):
            dal.item.insert(name="before", amount=1)
            with contextlib.suppress(TransactionTooLarge), shop.session():
                dal.item.bulk_insert(_rows())
            dal.item.insert(name="after", amount=1)
        assert isinstance(raised.value.__cause__, TransactionTooLarge)
        assert _names(shop_db) == []

        with pytest.raises(UsageError), shop.session() as dal:
            with contextlib.suppress(TransactionTooLarge), shop.session(), shop.session():
                dal.item.bulk_insert(_rows())
            dal.commit()
        assert _names(shop_db) == []

        with shop.session() as dal:  # rolled back, it may go on
            with contextlib.suppress(TransactionTooLarge):
                dal.item.bulk_insert(_rows())
            dal.rollback()
            dal.item.insert(name="anew", amount=1)
    assert _names(shop_db) == ["anew"]


@pytest.mark.engines("galera")
def test_more_bytes_than_a_write_set_may_have_show_at_commit(shop: Database, shop_db: FreshDatabase) -> None:
    with globally(shop_db, wsrep_max_ws_size=1024):
        with pytest.raises(TransactionTooLarge, match=r"\(1105\).*wsrep_max_ws_size"), shop.session() as dal:
            dal.item.bulk_insert(_rows(50))
        assert _names(shop_db) == []
        with shop.session() as dal:
            dal.item.insert(name="small", amount=1)
    assert _names(shop_db) == ["small"]


@pytest.mark.engines("galera")
def test_it_is_not_run_again(shop: Database, shop_db: FreshDatabase) -> None:
    runs: list[int] = []

    def work(dal: object) -> None:
        runs.append(1)
        dal.item.bulk_insert(_rows())  # type: ignore[attr-defined]

    with globally(shop_db, wsrep_max_ws_rows=ROWS // 2), pytest.raises(TransactionTooLarge):
        shop.run(work)
    assert len(runs) == 1


@pytest.mark.engines("mysql")
def test_more_than_the_binary_log_takes(shop: Database, shop_db: FreshDatabase) -> None:
    with globally(shop_db, max_binlog_cache_size=4096, binlog_cache_size=4096):
        with (
            pytest.raises(TransactionTooLarge, match=r"\(1197\).*max_binlog_cache_size"),
            shop.session() as dal,
        ):
            dal.item.insert(name="before", amount=1)
            for begin in range(20):
                dal.item.bulk_insert(
                    {"name": f"{begin} {n}".rjust(50, "."), "amount": 1} for n in range(ROWS)
                )
        assert _names(shop_db) == []


def test_it_is_an_error_of_its_own() -> None:
    assert issubclass(TransactionTooLarge, RingfenceError)
    assert not issubclass(TransactionTooLarge, Conflict)  # which `run` repeats
