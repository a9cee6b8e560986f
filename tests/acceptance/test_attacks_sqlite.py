"""Attacks on SQLite's authorizer: what a server would refuse to the account is refused, however it is written."""

from pathlib import Path

import pytest

from ringfence.runtime import AccessDenied, RingfenceError, UsageError
from support.attack_targets import attacked, stored

pytestmark = pytest.mark.engines("sqlite")

MODELS = """
import sqlalchemy as sa
from ringfence.schema.models import NAMING

metadata = sa.MetaData(naming_convention=NAMING)

sa.Table(
    "vault", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("email", sa.String(100), unique=True, nullable=False),
    sa.Column("secret", sa.String(100), info={"sensitive": True}),
)
sa.Table(
    "note", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("vault_id", sa.Integer, sa.ForeignKey("vault.id", ondelete="CASCADE"), nullable=False),
    sa.Column("vault_email", sa.String(100), sa.ForeignKey("vault.email")),
    sa.Column("body", sa.String(100)),
)
sa.Table(
    "node", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("parent_id", sa.Integer, sa.ForeignKey("node.id", ondelete="CASCADE")),
    sa.Column("title", sa.String(100)),
    sa.Column("hidden", sa.String(100), info={"sensitive": True}),
)
sa.Table("aä", metadata, sa.Column("id", sa.Integer, primary_key=True))
"""

ACCESS = """
version: 1
accounts:
  writer:
    tables:
      note: [insert]
      node: {insert: [parent_id, title]}
  editor:
    tables:
      note: [select, insert, update]
      node: {select: [id, title], insert: [title], update: [title]}
      aä: ro
  cleaner:
    tables:
      note: [delete]
      node: [delete]
      vault: [delete]
"""

ROWS = (
    "INSERT INTO vault VALUES (1, 'a@x', 's1'), (2, 'b@x', 's2')",
    "INSERT INTO note VALUES (1, 1, 'a@x', 'first'), (2, 2, NULL, 'second')",
    "INSERT INTO node VALUES (1, NULL, 'root', 'h1'), (2, 1, 'leaf', 'h2')",
    'CREATE TABLE "aÄ" (id INTEGER)',
    'INSERT INTO "aÄ" VALUES (1)',
    "CREATE VIEW everything AS SELECT * FROM vault",
)
TABLES = ("vault", "note", "node", "aÄ")


deployment, db, enter = attacked("attacked", MODELS, ACCESS, ROWS)


READS_OF_OTHERS = (
    "INSERT INTO note (vault_id, body) SELECT id, 'x' FROM vault",
    "INSERT INTO note (vault_id, vault_email) SELECT id, email FROM vault",
    "INSERT INTO note (vault_id, vault_email) SELECT id, email FROM 'vault'",
    "INSERT INTO note (vault_id, vault_email) SELECT id, email FROM [VAULT]",
    'INSERT INTO note (vault_id, vault_email) SELECT id, email FROM main."vault"',
    "INSERT INTO note (vault_id, body) VALUES ((SELECT max(id) FROM vault), 'x')",
    "INSERT INTO note (vault_id, body) VALUES (1, (SELECT group_concat(email) FROM vault))",
    "WITH v AS (SELECT id FROM vault) INSERT INTO note (vault_id) SELECT id FROM v",
    "INSERT INTO note (vault_id, vault_email) SELECT 1, email FROM everything",
    "INSERT INTO note (vault_id, body) SELECT vault_id, body FROM note",
    "INSERT INTO note (vault_id) VALUES (1) RETURNING vault_id",
    "INSERT INTO note (vault_id) VALUES (1) RETURNING *",
    "INSERT INTO node (title) SELECT parent_id FROM node",
    "INSERT INTO node (title) VALUES ('x') RETURNING id",
    "INSERT INTO node (parent_id) SELECT id FROM node",
)
REPLACEMENTS = (
    "REPLACE INTO note (id, vault_id, body) VALUES (1, 1, 'gone')",
    "INSERT OR REPLACE INTO note (id, vault_id, body) VALUES (1, 1, 'gone')",
    "WITH x AS (SELECT 1) REPLACE INTO note (id, vault_id, body) SELECT 1, 1, 'gone'",
    "INSERT INTO note (id, vault_id) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET body = 'gone'",
    "INSERT INTO node (parent_id) VALUES (1) ON CONFLICT DO UPDATE SET hidden = 'gone'",
    "INSERT INTO node (parent_id) VALUES (1) ON CONFLICT (id) DO UPDATE SET parent_id = NULL",
)
COLUMNS = (
    "INSERT INTO node VALUES (9, NULL, 'x', 'mine')",
    "INSERT INTO node (hidden) VALUES ('mine')",
    "INSERT INTO node (title, hidden) VALUES ('x', 'mine')",
    'INSERT INTO node ("title", "hidden") VALUES (1, 2)',
    "INSERT INTO main.node AS title (hidden) VALUES ('mine')",
    "WITH x (title) AS (SELECT 1) INSERT INTO node (hidden) SELECT 'mine'",
    "INSERT INTO node (HIDDEN) VALUES ('mine')",
    "INSERT INTO node (parent_id, [hidden]) VALUES (1, 'mine')",
    "UPDATE node SET hidden = 'mine'",
    "UPDATE node SET title = hidden",
    "UPDATE node SET title = 'x', hidden = 'mine'",
    "UPDATE node SET title = 'x', parent_id = 2",
    "UPDATE node SET title = 'x' WHERE parent_id = 1",
    "UPDATE node SET title = 'x' RETURNING hidden",
    "UPDATE node SET title = other.hidden FROM node AS other",
    "UPDATE note SET body = secret FROM vault",
    "UPDATE note SET body = id FROM 'vault' AS v",
    "UPDATE note SET body = vault.email FROM vault",
    "UPDATE OR REPLACE note SET id = 2 WHERE id = 1",
    "DELETE FROM note",
    'SELECT id FROM "aÄ"',
    "SELECT hidden FROM node",
    "SELECT * FROM node",
    "SELECT parent_id FROM node",
    "SELECT (SELECT hidden FROM node) FROM note",
    "SELECT count(*) FROM vault",
    "SELECT secret FROM everything",
    "SELECT rowid FROM vault",
    "SELECT id FROM node ORDER BY hidden",
    "SELECT first_value(hidden) OVER () FROM node",
)
ENGINE = (
    "CREATE TABLE mine (id INTEGER)",
    "CREATE TEMP TABLE note (id INTEGER)",
    "CREATE TEMP VIEW note AS SELECT 1",
    "CREATE TEMP TRIGGER t AFTER INSERT ON note BEGIN SELECT 1; END",
    "CREATE VIRTUAL TABLE temp.f USING fts5(x)",
    "CREATE INDEX i ON note (body)",
    "ALTER TABLE note RENAME TO other",
    "DROP TABLE note",
    "ATTACH DATABASE ':memory:' AS other",
    "ATTACH 'copy.db' AS other",
    "DETACH main",
    "PRAGMA table_info(vault)",
    "PRAGMA foreign_keys = OFF",
    "ANALYZE",
    "REINDEX",
    "SELECT sql FROM sqlite_master",
    "SELECT sql FROM sqlite_schema",
    "SELECT * FROM sqlite_temp_schema",
    "UPDATE sqlite_master SET sql = ''",
    "DELETE FROM sqlite_schema",
    "SELECT * FROM pragma_table_info('vault')",
    "SELECT * FROM pragma_table_list",
    "SELECT * FROM dbstat",
    "SELECT * FROM sqlite_dbpage",
    "SELECT load_extension('x')",
    "SELECT readfile('/etc/hostname')",
    "SELECT writefile('x', 'y')",
    "VACUUM",
    "VACUUM INTO 'copy.db'",
    "INSERT INTO ringfence_release VALUES (9, 'x', 'y')",
)
TRANSACTIONS = (
    "COMMIT",
    "ROLLBACK",
    "END",
    "BEGIN",
    "SAVEPOINT x",
    "RELEASE x",
    "/**/COMMIT",
    "-- x\nROLLBACK",
    "; COMMIT",
    "(COMMIT",
    "PRAGMA journal_mode = DELETE",
    "EXPLAIN COMMIT",
)


@pytest.mark.parametrize(
    ("service", "sql"),
    [
        *(("writer", sql) for sql in READS_OF_OTHERS + REPLACEMENTS),
        *(("editor", sql) for sql in COLUMNS + ENGINE + TRANSACTIONS),
    ],
)
def test_what_was_not_given_is_refused(enter, db, service, sql):
    database = enter(service)
    before = stored(db, TABLES)
    with pytest.raises((AccessDenied, UsageError, RingfenceError)) as raised, database.session() as dal:
        rows = dal.executesql(sql)
        if service == "writer" or sql in COLUMNS + ENGINE:
            pytest.fail(f"it ran, and gave {rows}")
    assert "h1" not in str(raised.value)
    assert stored(db, TABLES) == before
    assert not Path("copy.db").exists()


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM note WHERE vault_id = 1",
        "DELETE FROM note WHERE id = 1",
        "DELETE FROM note WHERE rowid = 1",
        "DELETE FROM note WHERE _rowid_ = 1",
        "DELETE FROM note RETURNING vault_id",
        "DELETE FROM node WHERE parent_id = 1",
        "DELETE FROM node WHERE oid = 1",
        "DELETE FROM vault WHERE id = 1",
        "DELETE FROM vault WHERE email = 'a@x'",
        "DELETE FROM vault WHERE EXISTS (SELECT 1 FROM note WHERE vault_id = 1)",
    ],
)
def test_rows_that_may_not_be_read_cannot_be_distinguished_by_deleting_them(enter, db, sql):
    before = stored(db, TABLES)
    with pytest.raises(AccessDenied), enter("cleaner").session() as dal:
        dal.executesql(sql)
    assert stored(db, TABLES) == before


def test_foreign_keys_are_kept_and_cascade_into_tables_that_were_not_given(enter, db):
    with enter("writer").session() as dal:
        dal.executesql("INSERT INTO note (vault_id, body) VALUES (1, 'select from vault'), (2, 'vault')")
        dal.executesql("INSERT INTO node (parent_id, title) VALUES (1, 'node')")
        dal.executesql("WITH x AS (SELECT 1) INSERT INTO node (parent_id) SELECT 1")
        dal.executesql("INSERT INTO node DEFAULT VALUES")
    with enter("editor").session() as dal:
        dal.executesql(
            "UPDATE note SET vault_id = 2, body = replace(body, 'vault', 'x') WHERE id = 1 OR replace(1,1,1)"
        )
        dal.executesql("SELECT count(*), max(rowid) FROM note")
        dal.executesql('SELECT id FROM "aä"')
    with enter("cleaner").session() as dal:
        dal.executesql("DELETE FROM note")
        dal.executesql("DELETE FROM node")
        dal.executesql("DELETE FROM vault")
    assert [len(rows) for rows in stored(db, TABLES)] == [0, 0, 0, 1]


def test_a_column_that_came_while_connected_cannot_be_inserted(enter, db):
    database = enter("writer")
    with database.session() as dal:
        dal.executesql("INSERT INTO note (vault_id) VALUES (1)")
    db.execute("ALTER TABLE note ADD COLUMN fresh TEXT")
    with pytest.raises(AccessDenied), database.session() as dal:
        dal.executesql("INSERT INTO note (vault_id, fresh) VALUES (1, 'mine')")


def test_a_read_only_session_writes_nothing(enter, db):
    before = stored(db, TABLES)
    for sql in (
        "INSERT INTO note (vault_id) VALUES (1)",
        "UPDATE note SET body = 'x'",
        "REPLACE INTO note (vault_id) VALUES (1)",
    ):
        with pytest.raises((UsageError, AccessDenied)), enter("editor").session(read_only=True) as dal:
            dal.executesql(sql)
    assert stored(db, TABLES) == before
