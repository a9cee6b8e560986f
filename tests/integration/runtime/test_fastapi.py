"""The page on FastAPI, as it stands; and what a dependency that opens its session in another thread is told."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI

from ringfence.runtime import Conflict, InterfaceError
from support.repository import ROOT, blocks

MIRROR = ROOT / "services/mirrors/backend-api.json"
DDL = (
    "CREATE TABLE auth_user (id INTEGER PRIMARY KEY, email TEXT UNIQUE, password TEXT, active INTEGER, fs_uniquifier TEXT,"
    " confirmed_at TEXT, created_at TEXT, newsletter INTEGER)"
)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the page's code defines, over an SQLite file with three users of which two are active."""
    mirror = json.loads(MIRROR.read_text())
    table = mirror["tables"]["auth_user"]
    (tmp_path / "mirrors").mkdir()
    made = mirror | {"revision": None, "tables": {"auth_user": table}}
    (tmp_path / "mirrors/backend-api.json").write_text(json.dumps(made))
    with sqlite3.connect(tmp_path / "db") as connection:
        connection.execute(DDL)
        connection.executemany(
            "INSERT INTO auth_user VALUES (?, ?, 'x', ?, ?, NULL, '2026-01-01 00:00:00+00:00', 0)",
            [(number, f"{number}@example.com", number < 3, str(number)) for number in (1, 2, 3)],
        )
    connection.close()
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "DB_HOST", "DB_USER", "DB_PASS", "DB_PASS_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DB_TYPE", "sqlite")
    monkeypatch.setenv("DB_NAME", str(tmp_path / "db"))
    text = (ROOT / "docs/how-to/fastapi.md").read_text()
    # As a file and under a name: FastAPI looks up the annotations of endpoints where they were defined.
    defined: dict[str, Any] = {"__name__": "fastapi_page"}
    code = "\n".join(blocks(text))
    exec(compile(code, "fastapi.md", "exec"), defined)  # noqa: S102 - our own page
    yield defined
    asyncio.run(defined["adb"].close())


async def _ask(app: FastAPI, method: str, path: str) -> tuple[int, Any]:
    """One request, without a server; what is raised comes out."""
    answer: dict[str, Any] = {"body": b""}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        answer["status"] = message.get("status", answer.get("status"))
        answer["body"] += message.get("body", b"")

    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {
        "headers": [],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("localhost", 80),
        "client": ("x", 1),
    }
    await app(scope, receive, send)  # type: ignore[arg-type]  # Starlette's types of the three are its own
    return answer["status"], json.loads(answer["body"])


def test_the_page_does_what_it_says(page: dict[str, Any], tmp_path: Path) -> None:
    app, adb = page["app"], page["adb"]

    async def story() -> None:
        async with app.router.lifespan_context(app):
            status, users = await _ask(app, "GET", "/users")
            assert (status, [user["email"] for user in users]) == (200, ["1@example.com", "2@example.com"])
            assert await _ask(app, "GET", "/users/count") == (200, 3)
            assert await _ask(app, "PUT", "/users/1/newsletter") == (200, 1)
            assert (await _ask(app, "PUT", "/users/9/newsletter"))[0] == 404
            assert adb.database.pool.stats().in_use == 0

    asyncio.run(story())
    with sqlite3.connect(tmp_path / "db") as connection:
        assert connection.execute("SELECT id FROM auth_user WHERE newsletter").fetchall() == [(1,)]
    connection.close()


def test_the_dependency_stores_before_the_response_is_sent_and_nothing_after_an_error(
    page: dict[str, Any],
) -> None:
    app, adb, session = page["app"], page["adb"], page["Session"]

    @app.post("/twice")
    async def twice(s: session) -> None:
        await s.run(lambda dal: dal(dal.auth_user.id == 2).update(newsletter=True))
        await s.run(lambda dal: dal(dal.auth_user.id == 2).update(email="1@example.com"))

    async def undecided() -> Any:
        async with adb.session() as s:
            yield s
            raise Conflict("another transaction won")  # as a COMMIT may

    @app.post("/late")
    async def late(s: Annotated[Any, Depends(undecided, scope="function")]) -> None:
        await s.run(lambda dal: dal(dal.auth_user.id == 3).update(newsletter=True))

    async def story() -> None:
        assert await _ask(app, "POST", "/twice") == (409, {"error": "not acceptable", "fields": ["email"]})
        assert await _ask(app, "POST", "/late") == (503, {"error": "try again"})
        stored = await adb.run(lambda dal: [row.newsletter for row in dal(dal.auth_user).select()])
        assert stored == [False, False, False]

    asyncio.run(story())


def test_a_session_of_another_thread_is_reported_with_what_to_write(page: dict[str, Any]) -> None:
    app, db = page["app"], page["adb"].database

    def opened() -> Iterator[Any]:
        with db.session() as dal:
            yield dal

    async def blocking() -> Any:
        with db.session() as dal:
            yield dal

    @app.get("/threads")
    def threads(dal: Annotated[Any, Depends(opened)]) -> int:
        return int(dal(dal.auth_user).count())

    @app.get("/mixed")
    async def mixed(dal: Annotated[Any, Depends(opened)]) -> int:
        return int(dal(dal.auth_user).count())

    @app.get("/crossed")
    def crossed(dal: Annotated[Any, Depends(blocking)]) -> int:
        return int(dal(dal.auth_user).count())

    for path in ("/threads", "/mixed"):
        with pytest.raises(
            InterfaceError, match=r"no session is open here.*FastAPI.*async def.*async with adb.session"
        ):
            asyncio.run(_ask(app, "GET", path))
    with pytest.raises(InterfaceError, match=r"belongs to another thread or task.*with db.session"):
        asyncio.run(_ask(app, "GET", "/crossed"))
    assert db.pool.stats().in_use == 0
    with db.session() as dal:
        assert dal(dal.auth_user).count() == 3
