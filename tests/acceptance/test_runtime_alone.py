"""A service on SQLite with the runtime and nothing else: no SQLAlchemy, no admin side, only a mirror."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from ringfence.runtime import AccessDenied, Database, NotReady, UniqueViolation, UsageError
from ringfence.runtime.flask import Ringfence
from servers.base import Database as FreshDatabase

pytestmark = [pytest.mark.runtime_only, pytest.mark.engines("sqlite")]


def _column(kind: str, *, writable: bool = True, **more: object) -> dict[str, object]:
    rights = {"selectable": True, "insertable": writable, "updatable": writable}
    return {"type": kind, "nullable": False} | rights | more


MIRROR = {
    "format": 1,
    "deployment": "shop",
    "service": "till",
    "login": "till",
    "revision": "aaaa",
    "engines": ["sqlite"],
    "tables": {
        "item": {
            "kind": "table",
            "schema": None,
            "name": "item",
            "columns": {
                "id": _column("integer", writable=False, autoincrement=True, default={"kind": "server"}),
                "name": _column("string", params={"length": 50}),
                "sold": _column("boolean", default={"kind": "literal", "value": False}),
            },
            "primary_key": ["id"],
            "constraints": {
                "pk_item": {"kind": "primary_key", "columns": ["id"]},
                "uq_item_name": {"kind": "unique", "columns": ["name"]},
            },
            "foreign_keys": [],
            "verbs": {"select": {}, "insert": {}, "update": {}},
        }
    },
}
SCHEMA = (
    "CREATE TABLE item (id INTEGER PRIMARY KEY, name VARCHAR(50) NOT NULL, sold BOOLEAN NOT NULL,"
    " cost INTEGER, CONSTRAINT uq_item_name UNIQUE (name))",
    "CREATE TABLE secret (id INTEGER PRIMARY KEY, word TEXT)",
    "CREATE TABLE ringfence_release (seq INTEGER PRIMARY KEY, revision TEXT, applied_at TEXT)",
    'CREATE TABLE ringfence_retired (seq INTEGER, "schema" TEXT, "table" TEXT, "column" TEXT)',
)


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    path = tmp_path / "till.json"
    path.write_text(json.dumps(MIRROR))
    return path


@pytest.fixture
def till(db: FreshDatabase, mirror: Path) -> Iterator[Database]:
    """The service, on a database at its revision."""
    db.execute(*SCHEMA, "INSERT INTO ringfence_release VALUES (1, 'aaaa', '2026-01-01')")
    with Database.from_env(mirror, db.env() | {"DB_READY_TIMEOUT": "1"}) as database:
        yield database


def test_a_session_commits_what_it_wrote(till: Database, db: FreshDatabase) -> None:
    with till.session() as dal:
        dal.item.insert(name="tea")
        dal(dal.item.name == "tea").update(sold=True)
    assert db.execute("SELECT name, sold FROM item") == [("tea", 1)]


def test_a_session_rolls_back_on_an_error(till: Database, db: FreshDatabase) -> None:
    with pytest.raises(ZeroDivisionError), till.session() as dal:
        dal.item.insert(name="tea")
        _ = 1 / 0
    assert not db.execute("SELECT * FROM item")


def test_rows_come_back_with_their_types(till: Database) -> None:
    with till.session() as dal:
        dal.item.insert(name="tea")
        row = dal(dal.item.sold == False).select().first()  # noqa: E712 - PyDAL's way to ask
    assert (row.name, row.sold) == ("tea", False)


def test_what_the_mirror_does_not_name_is_refused(till: Database) -> None:
    for statement in (
        "SELECT word FROM secret",
        "SELECT cost FROM item",
        "DELETE FROM item",
        "DROP TABLE item",
    ):
        with pytest.raises(AccessDenied), till.session() as dal:
            dal.executesql(statement)


def test_a_second_row_of_a_unique_name_is_a_unique_violation(till: Database) -> None:
    with pytest.raises(UniqueViolation), till.session() as dal:
        dal.item.insert(name="tea")
        dal.item.insert(name="tea")


def test_a_query_outside_a_session_is_a_misuse(till: Database) -> None:
    with pytest.raises(UsageError):
        till.dal(till.dal.item.id > 0).select()


def test_a_database_at_the_mirrors_revision_is_ready(till: Database) -> None:
    assert till.wait_until_ready().ready


def test_a_database_behind_the_mirror_is_not_ready(till: Database, db: FreshDatabase) -> None:
    db.execute("DELETE FROM ringfence_release")
    with pytest.raises(NotReady) as raised:
        till.wait_until_ready()
    assert raised.value.state == "behind"


def test_flask_gives_each_request_a_session(till: Database, db: FreshDatabase) -> None:
    app = Flask(__name__)
    ringfence = Ringfence(app, database=till)

    @app.post("/items/<name>")
    def add(name: str) -> tuple[str, int]:
        ringfence.dal.item.insert(name=name)
        return ("refused", 409) if name == "bad" else ("added", 201)

    client = app.test_client()
    assert client.post("/items/tea").status_code == 201
    assert client.post("/items/bad").status_code == 409
    assert db.execute("SELECT name FROM item") == [("tea",)]
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").get_json()["ready"] is True
