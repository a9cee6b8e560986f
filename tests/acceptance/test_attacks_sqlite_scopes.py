"""Attacks on SQLite's row scopes: no row outside is read, changed, deleted or told apart, however it is written."""

from pathlib import Path

import pytest

from ringfence.runtime import (
    AccessDenied,
    CheckViolation,
    ForeignKeyViolation,
    NotSupportedError,
    RingfenceError,
)
from support.attack_targets import attacked, stored

pytestmark = pytest.mark.engines("sqlite")

MODELS = """
import sqlalchemy as sa
from ringfence.schema.models import NAMING

metadata = sa.MetaData(naming_convention=NAMING)

sa.Table(
    "tokens", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("platform", sa.String(20), nullable=False, server_default="twitch", index=True),
    sa.Column("name", sa.String(20), nullable=False, unique=True),
    sa.Column("token", sa.String(20)),
    sa.Column("hidden", sa.String(20), info={"sensitive": True}),
)
sa.Table(
    "uses", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("token_id", sa.ForeignKey("tokens.id", ondelete="CASCADE"), nullable=False),
    sa.Column("note", sa.String(20)),
)
sa.Table(
    "tree", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("owner", sa.String(20), nullable=False),
    sa.Column("parent_id", sa.ForeignKey("tree.id", ondelete="CASCADE")),
)
"""

ACCESS = """
version: 1
scopes: {who: {type: string}}
accounts:
  twitch:
    tables:
      tokens: {verbs: rw, rows: {platform: twitch}}
      uses: rw
      tree: {verbs: rw, rows: {owner: ":who"}}
  blind:
    tables:
      tokens: {insert: {rows: {platform: twitch}}, delete: {rows: {platform: twitch}}}
"""

ROWS = (
    "INSERT INTO tokens VALUES (1, 'twitch', 'mine', 't1', 'h1'), (2, 'discord', 'theirs', 'd1', 'h2'),"
    " (3, 'twitch', 'also', 't2', 'h3')",
    "INSERT INTO uses VALUES (1, 1, 'of mine'), (2, 2, 'of theirs')",
    "INSERT INTO tree VALUES (1, 'me', NULL), (2, 'me', 1), (3, 'you', 1), (4, 'me', NULL)",
    "CREATE VIEW everything AS SELECT * FROM tokens",
    "CREATE VIEW bare AS SELECT 1 AS one FROM tokens",
)
TABLES = ("tokens", "uses", "tree")


deployment, db, enter = attacked("attacked scopes", MODELS, ACCESS, ROWS)


READS = (
    "SELECT * FROM main.tokens",
    'SELECT id FROM "main"."tokens"',
    "SELECT id FROM [main].tokens",
    "SELECT id FROM `MAIN`.'TOKENS'",
    "SELECT count(*) FROM main.tokens",
    "SELECT 1 FROM main.tokens",
    "SELECT EXISTS (SELECT 1 FROM main.tokens WHERE name = 'theirs')",
    "SELECT main.tokens.id FROM main.tokens, tokens",
    "SELECT uses.id FROM uses JOIN main.tokens ON 1",
    "WITH tokens AS (SELECT * FROM main.tokens) SELECT * FROM tokens",
    "WITH tokens AS (SELECT hidden FROM main.tokens) SELECT hidden FROM tokens",
    "WITH ringfence_update_tokens AS (SELECT platform FROM main.tokens) SELECT * FROM ringfence_update_tokens",
    "SELECT * FROM (SELECT * FROM main.tokens) AS tokens",
    "WITH a AS (SELECT * FROM everything), tokens AS (SELECT * FROM a) SELECT * FROM tokens",
    "WITH tokens AS (SELECT * FROM everything) SELECT * FROM tokens",
    "SELECT * FROM everything",
    "SELECT id FROM everything",
    "SELECT count(*) FROM everything",
    "SELECT count(*) FROM bare",
    "SELECT * FROM tokens",
    "SELECT hidden FROM tokens",
    'SELECT "hidden" FROM tokens',
    "SELECT sql FROM sqlite_temp_master",
    "SELECT * FROM temp.sqlite_master",
    "SELECT * FROM pragma_table_info('tokens')",
    "UPDATE main.tokens SET token = (SELECT group_concat(name) FROM main.tokens)",
    "UPDATE main.tokens SET token = other.token FROM main.tokens AS other WHERE other.id = 2",
    "UPDATE main.tokens SET token = (SELECT token FROM everything WHERE id = 2)",
    "UPDATE main.tokens SET token = hidden",
    "UPDATE main.tokens SET token = 'x' RETURNING hidden",
    "UPDATE uses SET note = (SELECT token FROM main.tokens WHERE id = 2)",
    "UPDATE uses SET note = token FROM main.tokens WHERE main.tokens.id = 2",
    "UPDATE uses SET token_id = (SELECT max(id) FROM main.tokens)",
    "INSERT INTO uses (token_id, note) SELECT id, name FROM main.tokens",
    "INSERT INTO uses (token_id, note) SELECT id, 'x' FROM everything",
    "INSERT INTO main.tokens (platform, name) SELECT 'twitch', token FROM main.tokens",
    "INSERT INTO main.tokens (name) VALUES ('x') RETURNING hidden",
    "INSERT INTO main.tokens (name) VALUES ('x') RETURNING (SELECT token FROM main.tokens WHERE id = 2)",
    "WITH x AS (SELECT 1) UPDATE main.tokens SET token = (SELECT token FROM main . tokens WHERE id = 2)",
    "DELETE FROM uses WHERE token_id IN (SELECT id FROM main.tokens)",
    "DELETE FROM main.tokens WHERE id IN (SELECT id FROM main.tokens WHERE name = 'theirs')",
)
WRITES = (
    "INSERT INTO main.tokens (platform, name) VALUES ('discord', 'x')",
    "INSERT INTO main.tokens (platform, name) VALUES ('twitch', 'x'), ('discord', 'y')",
    "INSERT INTO main.tokens (platform, name) SELECT 'disc' || 'ord', 'x'",
    "INSERT OR IGNORE INTO main.tokens (platform, name) VALUES ('discord', 'x')",
    "INSERT OR FAIL INTO main.tokens (platform, name) VALUES ('twitch', 'x'), ('discord', 'y')",
    "INSERT OR ROLLBACK INTO main.tokens (platform, name) VALUES ('discord', 'y')",
    "INSERT INTO main.tokens (platform, name) VALUES ('discord', 'theirs') ON CONFLICT DO NOTHING",
    "INSERT INTO main.tokens (name) VALUES ('theirs') ON CONFLICT (name) DO UPDATE SET token = 'mine'",
    "INSERT INTO main.tokens (id, name) VALUES (2, 'x') ON CONFLICT (id) DO UPDATE SET token = 'mine'",
    "INSERT INTO main.tokens (id, name) VALUES (2, 'x') ON CONFLICT DO UPDATE SET name = 'mine' RETURNING token",
    "INSERT INTO main.tokens (name) VALUES ('mine') ON CONFLICT (name) DO UPDATE SET platform = 'discord'",
    "REPLACE INTO main.tokens (name) VALUES ('theirs')",
    "REPLACE INTO main.tokens (id, name) VALUES (2, 'x')",
    "INSERT OR REPLACE INTO main.tokens (id, name, token) VALUES (2, 'x', 'x')",
    "UPDATE OR REPLACE main.tokens SET name = 'theirs' WHERE id = 1",
    "UPDATE OR REPLACE main.tokens SET id = 2 WHERE id = 1",
    "UPDATE main.tokens SET platform = 'discord'",
    "UPDATE OR IGNORE main.tokens SET platform = 'discord'",
    "UPDATE main.tokens SET hidden = 'x'",
    "INSERT INTO tokens (name) VALUES ('x')",
    "UPDATE tokens SET token = 'x'",
    "DELETE FROM tokens",
)
ENGINE = (
    "DROP VIEW tokens",
    "DROP VIEW temp.tokens",
    "DROP TRIGGER ringfence_update_tokens",
    "DROP TRIGGER temp.ringfence_delete_tokens",
    "CREATE TEMP VIEW v AS SELECT * FROM main.tokens",
    "CREATE TEMP TRIGGER u AFTER INSERT ON uses BEGIN SELECT 1; END",
    "CREATE TEMP TABLE main (tokens)",
    "ALTER TABLE main.tokens RENAME TO other",
    "ATTACH 'copy.db' AS other",
    "PRAGMA recursive_triggers = OFF",
    "PRAGMA temp.table_info(tokens)",
    "PRAGMA temp_store = FILE",
    "UPDATE temp.sqlite_master SET sql = ''",
)


@pytest.mark.parametrize("sql", READS + WRITES + ENGINE)
def test_no_row_outside_is_reached(enter, db, sql):
    before = stored(db, TABLES)
    with pytest.raises(RingfenceError) as raised, enter("twitch").session() as dal:
        pytest.fail(f"it ran, and gave {dal.executesql(sql)}")
    if sql in READS:
        assert isinstance(raised.value, AccessDenied), raised.value
    assert stored(db, TABLES) == before
    assert not Path("copy.db").exists()


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("UPDATE main.tokens SET token = 'x' WHERE name = 'theirs' RETURNING id, token", []),
        ("DELETE FROM main.tokens WHERE platform = 'discord' RETURNING token", []),
        ("DELETE FROM main.tokens WHERE id = 2", None),
        ("UPDATE main.tokens SET name = 'mine' WHERE name = 'theirs'", None),
        ("UPDATE OR IGNORE main.tokens SET token = 'x' WHERE id = 2", None),
        ("SELECT rowid FROM tokens ORDER BY 1", [(None,), (None,)]),
        ("SELECT count(*) FROM tokens", [(2,)]),
        ("SELECT 1 FROM tokens", [(1,), (1,)]),
        ("SELECT EXISTS (SELECT 1 FROM tokens WHERE name = 'theirs')", [(0,)]),
        ("SELECT x.id FROM tokens AS x, uses WHERE x.id = token_id", [(1,)]),
        ("SELECT uses.id, t.name FROM uses LEFT JOIN tokens t ON t.id = token_id", [(1, "mine"), (2, None)]),
        ("SELECT 'from main.tokens' FROM uses LIMIT 1", [("from main.tokens",)]),
        ("WITH tokens AS (SELECT 7 AS id) SELECT id FROM tokens", [(7,)]),
        ("WITH t AS (SELECT id FROM tokens) SELECT count(*) FROM t", [(2,)]),
        ("SELECT (SELECT count(*) FROM tokens WHERE id = token_id) FROM uses", [(1,), (0,)]),
        ("SELECT id FROM tokens UNION SELECT 9 EXCEPT SELECT 3 ORDER BY 1", [(1,), (9,)]),
        ("SELECT u.id FROM uses u WHERE token_id NOT IN (SELECT id FROM tokens)", [(2,)]),
        ("SELECT id FROM tree", []),
    ],
)
def test_rows_outside_the_scope_seem_not_to_exist(enter, db, sql, rows):
    before = stored(db, TABLES)
    with enter("twitch").session() as dal:
        assert dal.executesql(sql) == rows
    assert stored(db, TABLES) == before


def test_a_program_s_own_sql_writes_inside(enter, db):
    with enter("twitch").session() as dal:
        cursor = dal._adapter.cursor
        dal.executesql("UPDATE main.tokens SET token = token || '!', name = upper(name)")
        assert cursor.rowcount == 2
        dal.executesql(
            "UPDATE main.tokens AS t SET token = t.token || '?' WHERE t.id > 0 AND t.platform <> 'x'"
        )
        assert cursor.rowcount == 2
        assert dal.executesql("INSERT INTO main.tokens (name) VALUES ('new') RETURNING id, platform") == [
            (4, "twitch")
        ]
        dal.executesql(
            "INSERT INTO main.tokens (name) VALUES ('new') ON CONFLICT (name) DO UPDATE SET token = 'up'"
        )
        dal.executesql("REPLACE INTO main.tokens (id, name) VALUES (3, 'replaced')")
        dal.executesql("INSERT OR IGNORE INTO main.tokens (name) VALUES ('new')")
        dal.executesql("INSERT INTO uses (token_id, note) SELECT id, name FROM tokens WHERE name = 'new'")
        dal.executesql("UPDATE uses SET note = 'x' WHERE token_id IN (SELECT id FROM tokens)")
        dal.executesql("INSERT INTO main.tokens (name) SELECT 'copy of ' || name FROM tokens WHERE id = 1")
        assert dal.executesql("DELETE FROM main.tokens WHERE id = 1 RETURNING id, token") == [(1, "t1!?")]
    assert db.execute("SELECT id, platform, name, token FROM tokens ORDER BY id") == [
        (2, "discord", "theirs", "d1"),
        (3, "twitch", "replaced", None),
        (4, "twitch", "new", "up"),
        (5, "twitch", "copy of MINE", None),
    ]
    assert db.execute("SELECT token_id, note FROM uses ORDER BY 1") == [(2, "of theirs"), (4, "x")]


@pytest.mark.parametrize(
    "sql",
    [
        "WITH ringfence_insert_tokens AS (SELECT platform FROM tokens) INSERT INTO tokens (name)"
        " SELECT platform FROM ringfence_insert_tokens",
        "INSERT INTO tokens (name) SELECT token FROM tokens",
        "INSERT INTO tokens (name) VALUES ('x') RETURNING platform",
        "DELETE FROM tokens WHERE platform = 'twitch'",
        "SELECT platform FROM tokens",
        "INSERT INTO tokens (name, platform) VALUES ('x', 'discord')",
        "REPLACE INTO tokens (id, name) VALUES (2, 'x')",
    ],
)
def test_an_account_that_only_writes_reads_nothing_by_it(enter, db, sql):
    before = stored(db, TABLES)
    with pytest.raises((AccessDenied, CheckViolation)), enter("blind").session() as dal:
        dal.executesql(sql)
    assert stored(db, TABLES) == before


def test_an_account_that_only_writes_stays_within_its_rows(enter, db):
    with enter("blind").session() as dal:
        dal.tokens.insert(name="new", platform="twitch")
        dal.executesql("DELETE FROM tokens")
    assert [row[0] for row in db.execute("SELECT name FROM tokens")] == ["theirs"]


def test_a_bound_scope_in_a_program_s_own_sql(enter, db):
    twitch = enter("twitch")
    with twitch.session(scope={"who": "me"}) as dal:
        assert dal.executesql("SELECT id FROM tree ORDER BY 1") == [(1,), (2,), (4,)]
        dal.executesql("UPDATE main.tree SET parent_id = 4 WHERE id IN (2, 3)")
        dal.executesql("DELETE FROM main.tree WHERE parent_id = 1")
    with pytest.raises(CheckViolation), twitch.session() as dal:
        dal.executesql("INSERT INTO main.tree (owner) VALUES ('me')")
    assert db.execute("SELECT id, parent_id FROM tree ORDER BY 1") == [(1, None), (2, 4), (3, 1), (4, None)]


def test_a_cascade_within_one_table_ends_at_the_scope(enter, db):
    before = stored(db, TABLES)
    with pytest.raises(ForeignKeyViolation), enter("twitch").session(scope={"who": "me"}) as dal:
        dal(dal.tree.id == 1).delete()
    assert stored(db, TABLES) == before
    with enter("twitch").session(scope={"who": "me"}) as dal:
        assert dal(dal.tree.id.belongs([2, 4])).delete() == 2


def test_an_index_is_used_for_the_scope(enter, db):
    with enter("twitch").session() as dal:
        for query in (
            "SELECT id, token FROM tokens",
            "SELECT uses.id FROM uses JOIN tokens ON tokens.id = token_id WHERE tokens.name = 'mine'",
            dal(dal.tokens)._update(token="x"),
            dal(dal.tokens)._delete(),
        ):
            plan = dal.executesql(f"EXPLAIN QUERY PLAN {query}")
            assert any("tokens USING" in row[3] for row in plan), plan


def test_row_security_survives_a_rebuild_by_another_connection(enter, db, deployment):
    db.execute("DROP VIEW everything", "DROP VIEW bare", "ALTER TABLE tokens RENAME TO kept")
    twitch = enter("twitch")
    with pytest.raises(RingfenceError), twitch.session() as dal:
        dal.executesql("SELECT id FROM tokens")
    db.execute("ALTER TABLE kept RENAME TO tokens")
    for _ in range(2):
        with twitch.session() as dal:
            assert dal(dal.tokens).count() == 2
            dal.executesql("UPDATE main.tokens SET token = 'new'")
        with pytest.raises(CheckViolation), twitch.session() as dal:
            dal.executesql("INSERT INTO main.tokens (platform, name) VALUES ('discord', 'x')")
        db.execute(
            "CREATE TABLE made (id INTEGER PRIMARY KEY, platform, name UNIQUE, token, hidden)",
            "INSERT INTO made SELECT * FROM tokens",
            "DROP TABLE tokens",
            "ALTER TABLE made RENAME TO tokens",
        )
    assert db.execute("SELECT token FROM tokens WHERE platform = 'discord'") == [("d1",)]


def test_an_error_says_how_to_write_past_the_view(enter):
    with pytest.raises(NotSupportedError, match=r"write to main\.tokens"), enter("twitch").session() as dal:
        dal.executesql("DELETE FROM tokens")
