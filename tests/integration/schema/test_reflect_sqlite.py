"""`ringfence reflect` on SQLite: what its file makes is what was there, by SQLite's own pragmas and statements."""

import re

import pytest

from support.deployments import lay_out
from support.reflection import file_of, make, migrate_to, statements

OLD = """
CREATE TABLE Artist (Id INTEGER NOT NULL, name NVARCHAR(120) COLLATE NOCASE, CONSTRAINT "PK_Artist" PRIMARY KEY (Id));
CREATE TABLE album (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  artist INTEGER REFERENCES artist (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  code VARCHAR(9) UNIQUE,
  n INT, tiny TINYINT(1) DEFAULT 0, b BOOL, big UNSIGNED BIG INT,
  at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, day DATE, t TIME, seen DATETIME,
  u CHAR(32), price NUMERIC(10,2) NOT NULL DEFAULT 1.5, d DECIMAL(5, 1), r REAL, f FLOAT, dd DOUBLE, dp DOUBLE PRECISION,
  note TEXT DEFAULT 'it''s: a :b 100%', raw BLOB, doc JSON, odd VARYING CHARACTER(20),
  anything,
  made TEXT DEFAULT (lower('X') || 'y'),
  loud TEXT GENERATED ALWAYS AS (upper(note)) STORED, quiet TEXT AS (lower(note)) VIRTUAL,
  CHECK (n > 0 AND note <> ':x'),
  CONSTRAINT one_pair UNIQUE (n, code),
  UNIQUE (day, t) ON CONFLICT IGNORE
);
CREATE TABLE keyed (a INT NOT NULL, b INT NOT NULL, note TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE twos (a INTEGER NOT NULL, b INTEGER NOT NULL, CONSTRAINT pk_twos PRIMARY KEY (a, b));
CREATE TABLE exact (id INTEGER PRIMARY KEY, note TEXT) STRICT;
CREATE TABLE loose (id TEXT PRIMARY KEY, other BIGINT);
CREATE INDEX ix_desc ON album (n DESC, code COLLATE NOCASE);
CREATE UNIQUE INDEX ix_lower ON album (lower(note)) WHERE n > 5;
CREATE INDEX ix_plain ON album (n, "note");
CREATE VIEW cheap AS SELECT id, note, price FROM album WHERE price < 100;
CREATE TRIGGER stamp AFTER INSERT ON album BEGIN SELECT 1; END;
"""
PRAGMAS = (
    "SELECT m.name, c.name, upper(replace(c.type, ' ', '')), c.\"notnull\" OR (c.pk AND c.type = 'INTEGER'), c.dflt_value, c.pk, c.hidden"
    " FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c WHERE m.type = 'table' ORDER BY 1, 2",
    'SELECT m.name, f."table", f."from", f."to", f.on_update, f.on_delete FROM sqlite_master m'
    " JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table' ORDER BY 1, 2",
    'SELECT m.name, i."unique", i.origin, i.partial, x.name, x."desc", x.coll, x.seqno FROM sqlite_master m'
    " JOIN pragma_index_list(m.name) i JOIN pragma_index_xinfo(i.name) x WHERE m.type = 'table' ORDER BY 1, 3, 8",
    "SELECT name, wr, strict FROM pragma_table_list WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY 1",
    "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
)
OURS = ("ringfence_", "alembic_version", "sqlite_autoindex_ringfence", "sqlite_autoindex_alembic")
LEFT_OUT = {
    "column album.anything: it is declared without a type, and may hold anything",
    "trigger album.stamp: a migration makes it",
}


def pragmas(database):
    found = [
        sorted((row for row in map(_plain, database.execute(query)) if not row[0].startswith(OURS)), key=str)
        for query in PRAGMAS
    ]
    (row,) = database.execute("SELECT sql FROM sqlite_master WHERE name = 'album'")
    return [*found, ("AUTOINCREMENT" in row[0], len(re.findall("CHECK", row[0])), "DEFERRED" in row[0])]


def _plain(row):
    """Without the quotes and blanks that a statement may have or not, and without what is left out."""
    return tuple(re.sub(r'[\s"()]+', "", str(value)).lower() for value in row)


@pytest.mark.engines("sqlite")
def test_everything_comes_back_or_is_named(db, tmp_path):
    shop = lay_out(tmp_path, db)
    db.execute(*statements(OLD))
    found = file_of(shop)
    assert set(found.left_out) == LEFT_OUT, found.text
    assert found.differences == [], found.text
    assert "sa.PrimaryKeyConstraint('Id', name='PK_Artist')" in found.text
    old = pragmas(db)
    with db.server.database() as other:
        make(found.text, other)
        new = pragmas(other)
    with db.server.database() as other:
        migrate_to(found.text, tmp_path / "fresh", other)
        revised = pragmas(other)
    old[0] = [row for row in old[0] if row[1] != "anything"]
    for before, after, then in zip(old, new, revised, strict=True):
        assert after == before, found.text
        assert then == before


@pytest.mark.engines("sqlite")
def test_a_table_without_a_column_that_can_be_written_is_left_out_whole(db, tmp_path):
    db.execute(
        "CREATE VIRTUAL TABLE words USING fts5(body, kind)",
        "CREATE TABLE untyped (a, b, PRIMARY KEY (a, b))",
        "CREATE TABLE kept (id INTEGER PRIMARY KEY, b, n INTEGER, two INTEGER AS (b * 2) STORED, four INTEGER AS (two + n),"
        " CHECK (b > 0), CHECK (n <> 'b'), FOREIGN KEY (id) REFERENCES untyped (a))",
        "CREATE INDEX of_b ON kept (abs(b))",
        "CREATE INDEX where_two ON kept (n) WHERE two > 2",
        "CREATE INDEX of_n ON kept (abs(n)) WHERE n <> 'two'",
    )
    found = file_of(lay_out(tmp_path, db))
    assert found.tables == ["kept"]
    module = "none of its columns can be written: it is a virtual table, or what a module keeps for one"
    shadows = {
        f"table words{end}: {module}; a migration makes it" for end in ("", "_config", "_content", "_data")
    }
    assert shadows < set(found.left_out)
    reason = "it is declared without a type, and may hold anything"
    assert f"table untyped: none of its columns can be written: {reason}" in found.left_out
    assert [text for text in found.left_out if text.startswith("foreign key kept")]
    lost = {text for text in found.left_out if text.endswith("which is left out")}
    assert {text.partition(": ")[2] for text in lost if text.startswith("check kept")} == {
        "it needs the column b, which is left out"
    }
    assert {
        "column kept.two: it is computed from the column b, which is left out",
        "column kept.four: it is computed from the column two, which is left out",
        "index kept.of_b: it needs the column b, which is left out",
        "index kept.where_two: it needs the column two, which is left out",
    } < lost
    assert "'of_n'" in found.text
    assert "<> 'b'" in found.text
    assert found.differences == [], found.text
    with db.server.database() as other:
        make(found.text, other)
