"""The servers' row scopes, tried by plain statements on rows outside, through an account's own connection."""

from collections.abc import Iterator
from typing import Any

import pytest

from servers.base import Server
from support.contacts import Contacts, lay_out_contacts

pytestmark = [pytest.mark.requires("accounts"), pytest.mark.newer]

SECRET = "SECRET"  # in the token of every row outside, and of none inside
# What the account sends, and what comes of it: its rows, how many rows it changed, or the error's code.
# `{select}` and its like are the relations through which the account does that.
READS = [
    ("SELECT id, token FROM {select} ORDER BY id", [(1, "tok-a"), (2, "tok-b")]),
    ("SELECT token FROM {select} WHERE id = 3", []),
    ("SELECT id FROM {select} WHERE platform = 'discord'", []),
    ("SELECT id FROM {select} WHERE platform <> 'twitch' OR platform IS NULL", []),
    ("SELECT id FROM {select} WHERE name IN ('b', 'c', 'd', 'e')", [(2,)]),
    ("SELECT COUNT(*), MAX(token), MAX(id) FROM {select}", [(2, "tok-b", 2)]),
    ("SELECT platform, COUNT(*) FROM {select} GROUP BY platform", [("twitch", 2)]),
    ("SELECT a.id FROM {select} a JOIN {select} b ON b.id = a.id + 1 ORDER BY 1", [(1,)]),
    ("SELECT 1 WHERE EXISTS (SELECT 1 FROM {select} WHERE id = 3)", []),
    ("SELECT id FROM {select} WHERE id >= 2 FOR UPDATE", [(2,)]),
    ("WITH seen AS (SELECT * FROM {select}) SELECT COUNT(*) FROM seen", [(2,)]),
]
WRITES = [
    ("UPDATE {update} SET hits = 1 WHERE id = 3", 0),
    ("UPDATE {update} SET token = 'mine' WHERE name = 'c'", 0),
    ("UPDATE {update} SET token = 'mine' WHERE platform = 'discord'", 0),
    ("DELETE FROM {delete} WHERE id = 3", 0),
    ("DELETE FROM {delete} WHERE platform <> 'twitch'", 0),
]
POSTGRESQL = [
    *READS,
    *WRITES,
    ("SELECT token FROM ONLY contact WHERE id > 2", []),
    ("INSERT INTO contact (platform, name) VALUES ('discord', 'x')", "42501"),
    ("INSERT INTO contact (platform, name) SELECT 'other', 'x'", "42501"),
    ("INSERT INTO contact (id, platform, name) VALUES (90, 'twitch', 'x'), (91, 'discord', 'y')", "42501"),
    ("INSERT INTO contact (platform, name) VALUES ('twitch', 'c')", "23505"),
    ("INSERT INTO contact (id, platform, name) VALUES (3, 'twitch', 'x')", "23505"),
    ("INSERT INTO contact (platform, name) VALUES ('twitch', 'c') ON CONFLICT DO NOTHING", 0),
    (
        "INSERT INTO contact (platform, name) VALUES ('twitch', 'c') ON CONFLICT (name) DO UPDATE SET hits = 1",
        "42501",
    ),
    (
        "INSERT INTO contact (id, platform, name) VALUES (3, 'twitch', 'x') ON CONFLICT (id) DO UPDATE SET hits = 1",
        "42501",
    ),
    ("UPDATE contact SET platform = 'discord'", "42501"),
    ("UPDATE contact SET id = 3 WHERE id = 2", "23505"),
    ("UPDATE contact SET hits = 1 FROM (VALUES (3)) v(id) WHERE contact.id = v.id RETURNING token", []),
    ("DELETE FROM contact WHERE id > 2 RETURNING token", []),
    ("DELETE FROM contact USING (VALUES (3)) v(id) WHERE contact.id = v.id", 0),
    ("TRUNCATE contact", "42501"),
    ("TABLE note", "42501"),
    ("ALTER TABLE contact DISABLE ROW LEVEL SECURITY", "42501"),
    ("CREATE POLICY mine ON contact USING (true)", "42501"),
    ("CREATE TEMP TABLE contact (id int)", "42501"),
    ("SET row_security = off; SELECT id FROM contact", "42501"),
]
MERGES = [  # PostgreSQL 15 and later
    (
        "MERGE INTO contact c USING (VALUES (3)) v(id) ON c.id = v.id WHEN MATCHED THEN UPDATE SET hits = 1",
        0,
    ),
    ("MERGE INTO contact c USING (VALUES (3)) v(id) ON c.id = v.id WHEN MATCHED THEN DELETE", 0),
    (
        "MERGE INTO contact c USING (VALUES (3)) v(id) ON c.id = v.id"
        " WHEN NOT MATCHED THEN INSERT (id, platform, name) VALUES (v.id, 'twitch', 'x')",
        "23505",
    ),
]
MYSQL = [
    *READS,
    *WRITES,
    ("INSERT INTO {insert} (platform, name) VALUES ('discord', 'x')", 1369),
    ("INSERT INTO {insert} SET platform = 'discord', name = 'x'", 1369),
    ("INSERT INTO {insert} (platform, name) SELECT 'discord', 'x'", 1369),
    ("INSERT INTO {insert} (platform, name) VALUES ('twitch', 'x'), ('discord', 'y')", 1369),
    ("INSERT INTO {insert} (platform, name) VALUES ('twitch', 'c')", 1062),
    ("INSERT INTO {insert} (id, platform, name) VALUES (3, 'twitch', 'x')", 1062),
    ("INSERT IGNORE INTO {insert} (platform, name) VALUES ('discord', 'x')", None),
    ("INSERT IGNORE INTO {insert} (platform, name) VALUES ('twitch', 'c')", 0),
    ("INSERT INTO {insert} (platform, name) VALUES ('twitch', 'c') ON DUPLICATE KEY UPDATE hits = 7", None),
    ("INSERT INTO {insert} (id, platform, name) VALUES (3, 'twitch', 'x') ON DUPLICATE KEY UPDATE hits = 7", None),
    ("REPLACE INTO {insert} (platform, name) VALUES ('twitch', 'c')", None),
    ("REPLACE INTO {insert} (id, platform, name) VALUES (3, 'twitch', 'x')", None),
    ("REPLACE INTO {insert} (platform, name, code) SELECT 'twitch', 'x', 'C'", None),
    ("REPLACE INTO {insert} (platform, name) VALUES ('discord', 'x')", 1369),
    ("UPDATE {update} SET platform = 'discord'", None),
    ("UPDATE {update} SET id = 3 WHERE id = 2", 1062),
    ("UPDATE {update} a JOIN (SELECT 3 AS id) b ON a.id = b.id SET a.hits = 5", 0),
    ("DELETE a FROM {delete} a JOIN (SELECT 3 AS id) b ON a.id = b.id", 0),
    ("SELECT id FROM contact", 1142),
    ("UPDATE contact SET hits = 1", 1142),
    ("DELETE FROM contact", 1142),
    ("INSERT INTO contact (platform, name) VALUES ('twitch', 'x')", 1142),
    ("SELECT id FROM note", 1142),
    ("SELECT id FROM {other}", 1142),
    ("SELECT * FROM ringfence_row_security", 1142),
    ("SHOW CREATE VIEW {select}", 1142),
    ("CREATE OR REPLACE VIEW {select} AS SELECT 1", 1142),
    ("DROP VIEW {select}", 1142),
    ("TRUNCATE contact", 1142),
    ("CREATE TEMPORARY TABLE contact (id INT)", 1044),
]  # fmt: skip
_MERGE_SINCE = 150000
_REFUSED = {0, 1143, 1644, 3059, 1369}
"""For a statement whose end differs by server: no row, denied on a column, by the guard, or by the check of the view."""


@pytest.fixture(scope="module")
def contacts(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contacts]:
    with server.database() as database:
        shop = lay_out_contacts(tmp_path_factory.mktemp("attacked"), database)
        shop.migrate()
        yield shop


def answer(contacts: Contacts, sql: str) -> Any:
    """What the account gets for it on a connection of its own: rows, a count, or the error's code."""
    names = {verb: contacts.view("twitch", verb) for verb in ("select", "insert", "update", "delete")}
    with contacts.statements("twitch") as run:
        try:
            for statement in sql.format(**names, other=contacts.view("tenant")).split("; "):
                found = run(statement)
        except Exception as error:  # each driver has its own
            return SECRET if SECRET in str(error) else getattr(error, "pgcode", None) or error.args[0]
    return found


def tried(contacts: Contacts) -> list[tuple[str, Any]]:
    """What this server is sent."""
    if contacts.database.server.db_type != "postgresql":
        return MYSQL
    version = int(contacts.database.execute("SHOW server_version_num")[0][0])
    return POSTGRESQL + (MERGES if version >= _MERGE_SINCE else [])


def outside(contacts: Contacts) -> list[Any]:
    """The rows that are not the account's."""
    return [row for row in contacts.rows().values() if row[1] != "twitch"]


def test_plain_statements_on_rows_outside_are_refused_or_touch_nothing(contacts: Contacts) -> None:
    wrong = {}
    for sql, expected in tried(contacts):
        contacts.reset()
        before = outside(contacts)
        found = answer(contacts, sql)
        if found != expected and not (expected is None and found in _REFUSED):
            wrong[sql] = (found, expected)
        assert outside(contacts) == before, sql
    assert wrong == {}


def test_the_same_statements_work_on_rows_inside(contacts: Contacts) -> None:
    contacts.reset()
    for sql, expected in (
        ("INSERT INTO {insert} (platform, name) VALUES ('twitch', 'new')", 1),
        ("UPDATE {update} SET hits = 4 WHERE name = 'new'", 1),
        ("SELECT hits FROM {select} WHERE name = 'new'", [(4,)]),
        ("DELETE FROM {delete} WHERE name = 'new'", 1),
        ("UPDATE {update} SET hits = 5", 2),
        ("DELETE FROM {delete}", 2),
    ):
        assert answer(contacts, sql) == expected, sql
    assert sorted(contacts.rows()) == [3, 4, 5]
