"""A column `key`, the name of a parameter of PyDAL's tables: `dal.settings(key="theme")` asks for its value."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringfence.runtime import Database, Mirror, Settings


def table(name: str, *fields: str) -> dict[str, Any]:
    rights = dict.fromkeys(("selectable", "insertable", "updatable"), True)
    columns = {field: {"type": "text", "nullable": True, **rights} for field in fields}
    return {
        "schema": None,
        "name": name,
        "columns": {"id": {"type": "integer", "nullable": False, **rights}, **columns},
        "primary_key": ["id"],
        "verbs": {"select": {}},
    }


@pytest.fixture
def dal(tmp_path: Path) -> Iterator[Any]:
    file = tmp_path / "house.db"
    with sqlite3.connect(file) as connection:
        connection.executescript(
            "CREATE TABLE settings (id INTEGER PRIMARY KEY, key TEXT, word TEXT);"
            "INSERT INTO settings VALUES (1, 'theme', 'dark'), (2, 'theme', 'light'), (3, '1', 'x');"
            "CREATE TABLE plain (id INTEGER PRIMARY KEY, word TEXT);"
            "INSERT INTO plain VALUES (1, 'dark');"
        )
    connection.close()
    tables = {"settings": table("settings", "key", "word"), "plain": table("plain", "word")}
    heading = {"format": 1, "deployment": "d", "service": "s", "login": "s", "revision": None}
    mirror = Mirror.parse({**heading, "engines": ["sqlite"], "tables": tables})
    settings = Settings.from_env({"DB_TYPE": "sqlite", "DB_NAME": str(file)})
    with Database(settings, mirror) as database, database.session() as found:
        yield found


def test_the_value_of_a_column_named_key_is_given_by_its_name(dal: Any) -> None:
    assert dal.settings(key="theme", word="light").id == 2
    assert dal.settings(key="theme", _orderby=~dal.settings.id).id == 2
    assert dal.settings(key="1").id == 3
    assert dal.settings(key="none") is None
    assert dal.settings(1, key="theme").word == "dark"
    assert dal.settings(1, key="1") is None


def test_without_such_a_column_it_is_the_key_as_in_pydal(dal: Any) -> None:
    assert dal.plain(key=1).word == "dark"
    assert dal.plain(key="1", word="light") is None
    assert dal.plain(1).word == "dark"
