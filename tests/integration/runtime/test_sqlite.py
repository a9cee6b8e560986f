"""What SQLite alone has: one writer at a time, and an authorizer in place of accounts."""

import contextlib
import copy
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ringfence.runtime import AccessDenied, CommitUnknown, Database, PoolOptions, RingfenceError, Unavailable
from ringfence.runtime.engines.sqlite.connection import Connection
from ringfence.runtime.engines.sqlite.errors import connect_error
from servers.base import Database as FreshDatabase
from support import runtime_shop
from support.runtime_shop import MIRROR, in_threads, mirror_file, opened

pytestmark = [pytest.mark.runtime_only, pytest.mark.engines("sqlite")]


def test_the_file_is_in_wal_mode_and_foreign_keys_are_on(shop: Database, shop_db: FreshDatabase) -> None:
    with shop.session() as dal:
        connection = shop.current().connection
        connection.authorizer.trusted = True
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
        connection.authorizer.trusted = False
        item = dal.item.insert(name="tea", amount=1)
        dal.part.insert(item_id=item, label="bag")
        dal(dal.item.id == item).delete()
        assert dal(dal.part).count() == 0


def test_20_threads_writing_lose_nothing(shop_db: FreshDatabase) -> None:
    shop_db.execute("INSERT INTO item (name, amount) VALUES ('sum', 0)")
    with opened(shop_db.env(), PoolOptions(size=20)) as shop:

        def work(number: int) -> int:
            for _ in range(25):
                with shop.session() as dal:
                    amount = dal(dal.item.name == "sum").select().first().amount
                    dal(dal.item.name == "sum").update(amount=amount + 1)
            return number

        assert in_threads(20, work) == list(range(20))
    assert shop_db.execute("SELECT amount FROM item") == [(500,)]


_WRITER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from ringfence.runtime import Database

db = Database.from_env(sys.argv[1], {"DB_TYPE": "sqlite", "DB_NAME": sys.argv[2]})

def work(number):
    for _ in range(20):
        with db.session() as dal:
            amount = dal(dal.item.name == "sum").select().first().amount
            dal(dal.item.name == "sum").update(amount=amount + 1)

with ThreadPoolExecutor(5) as threads:
    list(threads.map(work, range(5)))
"""


def test_two_processes_writing_lose_nothing(shop_db: FreshDatabase, tmp_path: Path) -> None:
    shop_db.execute("INSERT INTO item (name, amount) VALUES ('sum', 0)")
    command = [sys.executable, "-c", _WRITER, str(mirror_file(tmp_path)), shop_db.name]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        said = process.communicate(timeout=90)[1]
        assert process.returncode == 0, said
    assert shop_db.execute("SELECT amount FROM item") == [(200,)]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t (x)",
        "CREATE TEMP TABLE t (x)",
        "DROP TABLE item",
        "ALTER TABLE item ADD COLUMN x",
        "CREATE INDEX i ON item (name)",
        "CREATE TEMP VIEW w AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "ATTACH ':memory:' AS other",
        "DETACH main",
        "PRAGMA foreign_keys = OFF",
        "PRAGMA table_info(item)",
        "PRAGMA writable_schema = ON",
        "REINDEX",
        "ANALYZE",
        "SELECT load_extension('x')",
        "SELECT * FROM sqlite_master",
        "INSERT INTO sqlite_master VALUES (1, 2, 3, 4, 5)",
        "SELECT * FROM hidden",
        "SELECT cost FROM item",
        "SELECT id FROM item WHERE cost > 1",
        "SELECT id FROM item ORDER BY (SELECT word FROM hidden)",
        "UPDATE item SET cost = 1",
        "INSERT INTO item (name, amount, cost) VALUES ('x', 1, 1)",
        "INSERT INTO item VALUES (1, 'x', 1, 1)",
        "INSERT INTO hidden (word) VALUES ('x')",
        "DELETE FROM hidden",
        "DELETE FROM item WHERE id IN (SELECT id FROM hidden)",
        "INSERT INTO ringfence_release VALUES (2, 'x', 'x')",
        "DELETE FROM note",
        "WITH h AS (SELECT word FROM hidden) SELECT * FROM h",
    ],
)
def test_what_the_mirror_does_not_allow_is_refused(
    shop: Database, shop_db: FreshDatabase, statement: str
) -> None:
    before = shop_db.execute("SELECT count(*) FROM sqlite_master")
    with pytest.raises(RingfenceError) as raised, shop.session() as dal:
        dal.executesql(statement)
    assert isinstance(raised.value, AccessDenied), raised.value
    assert "till" in str(raised.value)
    assert shop_db.execute("SELECT count(*) FROM sqlite_master") == before


def test_foreign_keys_are_checked_and_cascade_into_tables_not_given(
    shop: Database, shop_db: FreshDatabase
) -> None:
    with shop.session() as dal:
        item = dal.item.insert(name="tea", amount=1)
    shop_db.execute(f"INSERT INTO note (item_id, word) VALUES ({int(item)}, 'on an unseen table')")
    with shop.session() as dal:
        assert dal(dal.item.id == item).delete() == 1
    assert shop_db.execute("SELECT count(*) FROM note") == [(0,)]
    with pytest.raises(AccessDenied), shop.session() as dal:  # the cascade has opened nothing
        dal.executesql("SELECT word FROM note")


def test_a_reference_to_an_unseen_table_is_checked(shop_db: FreshDatabase) -> None:
    parts_only = {"tables": {"part": MIRROR["tables"]["part"]}}
    shop_db.execute("INSERT INTO item (id, name, amount) VALUES (1, 'tea', 1)")
    with opened(shop_db.env(), changes=parts_only) as shop:
        with shop.session() as dal:
            dal.part.insert(item_id=1, label="bag")
        with pytest.raises(AccessDenied), shop.session() as dal:
            dal.executesql("SELECT name FROM item")


def test_a_statement_refused_once_is_refused_again(shop: Database) -> None:
    with pytest.raises(AccessDenied), shop.session() as dal:
        dal.executesql("SELECT word FROM hidden")
    for _ in range(2):
        with pytest.raises(AccessDenied), shop.session() as dal:
            dal.executesql("SELECT id FROM item")
            dal.executesql("SELECT word FROM hidden")


def test_every_row_is_asked_for_without_a_key_that_may_not_be_read(shop_db: FreshDatabase) -> None:
    tables = copy.deepcopy(MIRROR["tables"])
    tables["item"]["columns"]["id"]["selectable"] = False
    shop_db.execute("INSERT INTO item (name, amount) VALUES ('tea', 1), ('milk', 2)")
    with opened(shop_db.env(), changes={"tables": tables}) as shop, shop.session() as dal:
        assert dal(dal.item).count() == 2
        assert len(dal(dal.item).select()) == 2
        assert [row.name for row in dal(dal.item).select(limitby=(0, 1))] == ["milk"]
        assert dal(dal.item).update(amount=3) == 2
        assert dal(dal.item).delete() == 2


def _rows(number: int) -> list[dict[str, object]]:
    return [{"name": f"{number} {part} {'x' * 30}", "amount": 1} for part in range(400)]


def test_a_full_disk_in_a_statement_is_named_and_passes(shop: Database) -> None:
    with shop.session() as dal:
        dal.item.insert(name="kept", amount=1)
        connection = shop.current().connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone() if _trusted(connection) else (0,)
        connection.execute(f"PRAGMA max_page_count = {pages}")
        connection.authorizer.trusted = False
    before = shop.pool.stats().opened
    for nested in (False, True):
        with pytest.raises(Unavailable, match=r"max_page_count.* free some space.*SQLITE_FULL"):
            shop.run(lambda dal, nested=nested: _fill(shop, dal, nested))
    with shop.session() as dal:  # the same connection goes on
        assert [row.name for row in dal(dal.item).select()] == ["kept"]
        connection = shop.current().connection
        assert _trusted(connection)
        connection.execute("PRAGMA max_page_count = 1000000")
        connection.authorizer.trusted = False
        dal.item.bulk_insert(_rows(1))
    assert shop.pool.stats().opened == before


def _trusted(connection: Any) -> bool:
    connection.authorizer.trusted = True
    return True


def _fill(shop: Database, dal: Any, nested: bool) -> None:
    dal.item.insert(name="outer", amount=1)
    with shop.session() if nested else contextlib.nullcontext():
        dal.item.bulk_insert(_rows(2))


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        ("SQLITE_FULL", Unavailable, r"disk is full \(SQLITE_FULL\): nothing .* is stored; free some space"),
        ("SQLITE_IOERR_WRITE", CommitUnknown, r"during COMMIT \(SQLITE_IOERR_WRITE\).* free some space"),
    ],
)
def test_a_full_disk_at_commit_is_named(
    shop: Database, monkeypatch: pytest.MonkeyPatch, code: str, kind: type[RingfenceError], says: str
) -> None:
    own = Connection.run_internal

    def failing(self: Connection, sql: str) -> None:
        if sql != "COMMIT":
            return own(self, sql)
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode, error.sqlite_errorname = getattr(sqlite3, code), code
        raise error

    calls = []
    with monkeypatch.context() as patched:
        patched.setattr(Connection, "run_internal", failing)
        with pytest.raises(RingfenceError, match=says) as raised:
            shop.run(lambda dal: calls.append(dal.item.insert(name="lost", amount=1)))
        assert type(raised.value) is kind
        assert str(shop.settings.name) in str(raised.value)
    assert len(calls) == 1
    with shop.session() as dal:  # and the next writer has its turn
        dal.item.insert(name="after", amount=1)
        assert [row.name for row in dal(dal.item).select()] == ["after"]


def test_a_file_that_cannot_be_opened_says_why() -> None:
    for code, says in (
        ("SQLITE_FULL", "free some space"),
        ("SQLITE_IOERR_SHMSIZE", "free some space"),
        ("SQLITE_READONLY_DIRECTORY", "let this user write"),
        ("SQLITE_CANTOPEN", "ringfence migrate"),
    ):
        error = sqlite3.OperationalError("why")
        error.sqlite_errorname = code
        assert says in str(connect_error(error, Path("shop.sqlite")))


def test_a_file_that_was_replaced_or_deleted_is_left(tmp_path: Path) -> None:
    path, other = tmp_path / "shop.sqlite", tmp_path / "other.sqlite"
    for each, name in ((path, "old"), (other, "new")):
        with contextlib.closing(sqlite3.connect(each)) as made:
            made.executescript(";".join(runtime_shop.ddl("sqlite")))
            made.execute("INSERT INTO item (name, amount) VALUES (?, 1)", (name,))
            made.commit()
    with runtime_shop.opened({"DB_TYPE": "sqlite", "DB_NAME": str(path)}) as shop:
        with shop.session(True) as dal:
            assert [row.name for row in dal(dal.item).select()] == ["old"]
        other.replace(path)
        with shop.session() as dal:
            assert [row.name for row in dal(dal.item).select()] == ["new"]
            dal.item.insert(name="more", amount=1)
        with contextlib.closing(sqlite3.connect(path)) as made:
            assert made.execute("SELECT name FROM item ORDER BY id").fetchall() == [("new",), ("more",)]
        path.unlink()
        with pytest.raises(Unavailable, match="unable to open database file"), shop.session() as dal:
            dal.item.insert(name="lost", amount=1)
