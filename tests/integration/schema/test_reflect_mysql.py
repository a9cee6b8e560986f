"""`ringfence reflect` on the MySQL family: what its file makes is shown by SHOW CREATE TABLE as what was there."""

import re

import pytest

from support.deployments import lay_out
from support.reflection import file_of, make, migrate_to, statements

OLD = """
CREATE TABLE artist (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, u int, KEY u (u));
CREATE TABLE album (
  id int unsigned NOT NULL AUTO_INCREMENT,
  artist_id int,
  hits int unsigned NOT NULL DEFAULT 7, total bigint unsigned, level tinyint unsigned, flag tinyint(1), small smallint,
  middle mediumint, born year, bits bit(4), colours set('r','g''s','b\\\\c'), kind enum('a','b') NOT NULL DEFAULT 'a',
  at timestamp NULL, changed timestamp NOT NULL DEFAULT current_timestamp ON UPDATE current_timestamp,
  seen datetime, seen6 datetime(6) DEFAULT current_timestamp(6), zoned time, t3 time(3), day date,
  price decimal(10,2) unsigned DEFAULT 0, plain_price decimal(10,2), ratio float, ratio2 double, odd float(7,3),
  fixed char(3), raw binary(16), more varbinary(20),
  title varchar(40) NOT NULL DEFAULT 'it''s: a :b 100%',
  latin varchar(300) CHARACTER SET latin1, exact_text varchar(40) COLLATE utf8mb4_bin,
  tiny tinytext, note text, mid mediumtext, big longtext, tb tinyblob, b blob, mb mediumblob, lb longblob,
  doc json,
  loud varchar(50) GENERATED ALWAYS AS (upper(title)) STORED, quiet varchar(50) GENERATED ALWAYS AS (lower(title)) VIRTUAL,
  place point,
  PRIMARY KEY (id),
  UNIQUE KEY one_title (title),
  KEY u (hits),
  KEY ix_prefix (note(20), hits),
  FULLTEXT KEY words (note),
  CONSTRAINT album_artist FOREIGN KEY (artist_id) REFERENCES artist (id) ON DELETE CASCADE ON UPDATE SET NULL,
  CONSTRAINT album_hits CHECK (hits > 0 and title <> ':x')
) COMMENT 'what''s sold' CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
CREATE TABLE pair (a int NOT NULL, b int NOT NULL COMMENT 'of 100%', PRIMARY KEY (a, b)) CHARACTER SET latin1;
CREATE TABLE counted (name varchar(20) NOT NULL PRIMARY KEY, n bigint unsigned NOT NULL AUTO_INCREMENT, UNIQUE KEY n (n));
CREATE TABLE parts (id int NOT NULL, PRIMARY KEY (id)) PARTITION BY HASH (id) PARTITIONS 4;
CREATE TABLE `by range` (`the id` int NOT NULL, n int, PRIMARY KEY (`the id`)) PARTITION BY RANGE (`the id`)
  (PARTITION `p 0` VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE);
CREATE VIEW cheap AS SELECT id, title, kind, hits FROM album WHERE hits < 100;
"""
MYSQL = """
CREATE TABLE newer (
  id int NOT NULL PRIMARY KEY, a int, b varchar(20), tags json, hidden int INVISIBLE, v vector(3),
  made varchar(36) DEFAULT (uuid()),
  KEY ix_desc (a DESC, b),
  UNIQUE KEY ix_lower ((lower(b))),
  KEY ix_tags ((cast(tags->'$.t' as unsigned array))),
  CONSTRAINT soft CHECK (a > 1) NOT ENFORCED
);
"""
MARIADB = """
CREATE SEQUENCE numbers START WITH 1000 INCREMENT BY 5 MAXVALUE 9000 NOCACHE CYCLE;
CREATE TABLE newer (id int NOT NULL PRIMARY KEY, n int DEFAULT (nextval(numbers)), u uuid, made varchar(36) DEFAULT (uuid()), net inet6,
  few int CHECK (few < 9));
"""
NAMED = "SQLAlchemy has no type for"
LEFT_OUT = {
    "mysql": {
        f"column album.place: {NAMED} point",
        f"column newer.v: {NAMED} vector(3)",
        "column newer.hidden: it is INVISIBLE, which SQLAlchemy cannot express",
        "check newer.soft: it is NOT ENFORCED, which SQLAlchemy cannot express",
    },
    "mariadb": {f"column album.place: {NAMED} point", f"column newer.net: {NAMED} inet6"},
}
GONE = ("`place`", "`v`", "`hidden`", "`soft`", "`net`")


def shown(database):
    """SHOW CREATE of each table: its lines, without counters, and without the lines of what is left out."""
    found = {}
    for name, kind in database.execute(
        "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = DATABASE()"
    ):
        if kind != "VIEW" and not name.startswith(("ringfence_", "alembic_version")):
            ((_, text, *_),) = database.execute(f"SHOW CREATE TABLE `{name}`")
            text = re.sub(r" AUTO_INCREMENT=\d+", "", text).replace(f"`{database.name}`.", "")
            lines = [line.strip().rstrip(",") for line in text.splitlines()]
            found[name] = sorted(line for line in lines if not any(gone in line for gone in GONE))
    return found


@pytest.mark.engines("mysql", "mariadb")
def test_everything_comes_back_or_is_named(db, tmp_path):
    shop, engine = lay_out(tmp_path, db), db.server.engine
    db.execute(*statements(OLD + {"mysql": MYSQL, "mariadb": MARIADB}[engine]))
    found = file_of(shop)
    assert set(found.left_out) == LEFT_OUT[engine], found.text
    assert found.differences == [], found.text
    old = shown(db)
    with db.server.database() as other:
        make(found.text, other)
        new = shown(other)
    assert new.keys() == old.keys()
    for name, lines in old.items():
        assert new[name] == lines, found.text


@pytest.mark.engines("mysql", "mariadb")
def test_a_revision_of_the_file_makes_the_same_in_an_empty_database(db, tmp_path):
    db.execute(*statements(OLD + {"mysql": MYSQL, "mariadb": MARIADB}[db.server.engine]))
    found, old = file_of(lay_out(tmp_path, db)), shown(db)
    with db.server.database() as empty:
        migrate_to(found.text, tmp_path / "fresh", empty)
        assert shown(empty) == old
