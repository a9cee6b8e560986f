"""The error of a Galera node that has lost its cluster (1180, on MariaDB 10.11), before and at COMMIT."""

from typing import Any

import pymysql
import pytest

from ringfence.runtime import CommitUnknown, Conflict, Database
from servers.base import Database as FreshDatabase

pytestmark = pytest.mark.engines("mariadb")

_WORDS = "Error while appending streaming replication fragment(provider status: {})"
CUT_OFF = _WORDS.format("Not connected to Primary Component")
BEATEN = _WORDS.format("Certification failed")


def _fail_once(shop: Database, monkeypatch: pytest.MonkeyPatch, verb: str, words: str) -> list[Any]:
    """Have the backend meet that error in its first COMMIT, or at its first INSERT, without doing either."""
    met: list[Any] = []
    do = getattr(shop.backend, verb)

    def fail(connection: Any, *more: Any) -> None:
        if not met and (verb == "commit" or more[1].startswith("INSERT")):
            met.append(connection)
            raise pymysql.err.OperationalError(1180, words)
        do(connection, *more)

    monkeypatch.setattr(shop.backend, verb, fail)
    return met


@pytest.mark.parametrize(("verb", "words"), [("execute", CUT_OFF), ("commit", BEATEN), ("execute", BEATEN)])
def test_what_is_surely_not_stored_is_run_again(
    shop: Database, shop_db: FreshDatabase, monkeypatch: pytest.MonkeyPatch, verb: str, words: str
) -> None:
    met = _fail_once(shop, monkeypatch, verb, words)
    shop.run(lambda dal: dal.item.insert(name="tea", amount=1))
    assert len(met) == 1
    assert met[0].open == (words == BEATEN)  # a node without its cluster is left
    assert shop_db.execute("SELECT name FROM item") == [("tea",)]


def test_a_commit_is_not_repeated_blindly(
    shop: Database, shop_db: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = _fail_once(shop, monkeypatch, "commit", CUT_OFF)
    with pytest.raises(CommitUnknown, match=r"COMMIT was sent.*lost its cluster.*\(1180\).*may or may not"):
        shop.run(lambda dal: dal.item.insert(name="tea", amount=1))
    assert not met[0].open
    assert shop_db.execute("SELECT name FROM item") == []
    shop.run(lambda dal: dal.item.insert(name="tea", amount=1), idempotent=True)
    assert shop_db.execute("SELECT name FROM item") == [("tea",)]


def test_a_nested_session_takes_the_whole_with_it(shop: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    _fail_once(shop, monkeypatch, "execute", BEATEN)
    runs: list[int] = []

    def work(dal: Any) -> None:
        runs.append(1)
        try:
            with shop.session():
                dal.item.insert(name="tea", amount=1)
        except Conflict:
            pass
        dal.item.insert(name=f"milk {len(runs)}", amount=1)

    shop.run(work)
    assert len(runs) == 2
    names = shop.run(lambda dal: sorted(row.name for row in dal(dal.item).select()))
    assert names == ["milk 2", "tea"]
