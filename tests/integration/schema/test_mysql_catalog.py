"""The catalog of the MySQL family: the models as the server has them, and each single thing that is not so."""

import re

import pytest
import sqlalchemy as sa

from support.mysql_models import circle, differing, facets, given, wide

pytestmark = pytest.mark.engines("mysql", "mariadb", "galera")


def test_a_database_that_the_models_made_is_the_same_to_the_letter(backend, connection, db):
    metadata = sa.MetaData()
    wide(metadata, db.server.engine)
    circle(metadata)
    metadata.create_all(connection)
    assert differing(backend, connection, given(metadata)) == {}


def small(metadata):
    """Two tables, with something of every kind that a statement by hand can change."""
    sa.Table(
        "artist",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.UniqueConstraint("id", "kind", name="uq_artist"),
    )
    sa.Table(
        "song",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("artist_id", sa.Integer, sa.ForeignKey("artist.id", name="fk_artist", ondelete="CASCADE")),
        sa.Column("title", sa.String(40), server_default="", nullable=False, comment="of it"),
        sa.Column("length", sa.Integer, server_default="0"),
        sa.Column("twice", sa.Integer, sa.Computed("length * 2", persisted=True)),
        sa.Column("style", sa.Enum("rock", "pop")),
        sa.Column("doc", sa.JSON),
        sa.Column("seen", sa.DateTime, server_default=sa.func.now()),
        sa.CheckConstraint("length < 9000", name="ck_length"),
        sa.CheckConstraint("length <> 7"),
        sa.UniqueConstraint("title", name="uq_title"),
        sa.Index("ix_length", "length", sa.text("seen DESC")),
        sa.Index("ix_title", "title", mysql_length=10, mariadb_length=10),
        comment="what is sung",
    )
    sa.Table(
        "words",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("text", sa.Text),
        sa.Index("ft_text", "text", mysql_prefix="FULLTEXT", mariadb_prefix="FULLTEXT"),
    )


EVERYWHERE = {
    # the statement: what differs, and in which facet; + is what only the database has, - what only the models have
    "CREATE TABLE more (id INT PRIMARY KEY)": {"table more": "+"},
    "ALTER TABLE song COMMENT ''": {"table song": "comment"},
    "ALTER TABLE song DEFAULT CHARACTER SET latin1": {"table song": "collation"},
    "ALTER TABLE song ADD extra INT": {"column song.extra": "+"},
    "ALTER TABLE song DROP style": {"column song.style": "-"},
    "ALTER TABLE song RENAME COLUMN style TO styles": {"column song.style": "-", "column song.styles": "+"},
    "ALTER TABLE song MODIFY title VARCHAR(41) NOT NULL DEFAULT '' COMMENT 'of it'": {
        "column song.title": "type"
    },
    "ALTER TABLE song MODIFY title VARCHAR(40) DEFAULT '' COMMENT 'of it'": {"column song.title": "null"},
    "ALTER TABLE song MODIFY title VARCHAR(40) NOT NULL COMMENT 'of it'": {"column song.title": "default"},
    "ALTER TABLE song ALTER title SET DEFAULT ' '": {"column song.title": "default"},
    "ALTER TABLE song MODIFY title VARCHAR(40) NOT NULL DEFAULT ''": {"column song.title": "comment"},
    "ALTER TABLE song MODIFY title VARCHAR(40) COLLATE utf8mb4_bin NOT NULL DEFAULT '' COMMENT 'of it'": {
        "column song.title": "collation"
    },
    "ALTER TABLE song ALTER length SET DEFAULT 1": {"column song.length": "default"},
    "ALTER TABLE song ALTER length DROP DEFAULT": {"column song.length": "default"},
    "ALTER TABLE song MODIFY style ENUM('rock','pop','folk')": {"column song.style": "type"},
    "ALTER TABLE song MODIFY style ENUM('pop','rock')": {"column song.style": "type"},
    "ALTER TABLE song MODIFY doc LONGTEXT": {"column song.doc": "type, collation"},
    "ALTER TABLE song MODIFY seen DATETIME DEFAULT NOW() ON UPDATE NOW()": {"column song.seen": "on update"},
    "ALTER TABLE song MODIFY seen DATETIME(6) DEFAULT NOW(6)": {"column song.seen": "type, default"},
    "ALTER TABLE song MODIFY id INT": {"column song.id": "auto increment"},
    "ALTER TABLE song MODIFY twice INT AS (length * 3) STORED": {"column song.twice": "computed"},
    "ALTER TABLE song DROP twice, ADD twice INT AS (length * 2) VIRTUAL": {"column song.twice": "computed"},
    "ALTER TABLE song DROP twice, ADD twice INT": {"column song.twice": "computed"},
    "ALTER TABLE song DROP CONSTRAINT ck_length": {"check song.ck_length": "-"},
    "ALTER TABLE song DROP CONSTRAINT ck_length, ADD CONSTRAINT ck_length CHECK (length < 90)": {
        "check song.ck_length": "definition"
    },
    "ALTER TABLE song ADD CONSTRAINT ck_more CHECK (length <> 8)": {"check song.ck_more": "+"},
    "ALTER TABLE song DROP INDEX uq_title": {"unique song.uq_title": "-"},
    "ALTER TABLE song DROP INDEX uq_title, ADD UNIQUE uq_title (title, length)": {
        "unique song.uq_title": "columns"
    },
    "ALTER TABLE song DROP INDEX uq_title, ADD UNIQUE uq_title (title(3))": {
        "unique song.uq_title": "-",
        "index song.uq_title": "+",
    },
    "ALTER TABLE song ADD UNIQUE uq_more (length)": {"unique song.uq_more": "+"},
    "ALTER TABLE song DROP INDEX ix_length": {"index song.ix_length": "-"},
    "ALTER TABLE song RENAME INDEX ix_length TO ix_len": {
        "index song.ix_length": "-",
        "index song.ix_len": "+",
    },
    "ALTER TABLE song DROP INDEX ix_length, ADD INDEX ix_length (length, seen)": {
        "index song.ix_length": "columns"
    },
    "ALTER TABLE song DROP INDEX ix_length, ADD INDEX ix_length (seen DESC, length)": {
        "index song.ix_length": "columns"
    },
    "ALTER TABLE song DROP INDEX ix_length, ADD UNIQUE ix_length (length, seen DESC)": {
        "index song.ix_length": "unique"
    },
    "ALTER TABLE song DROP INDEX ix_title, ADD INDEX ix_title (title(11))": {
        "index song.ix_title": "columns"
    },
    "ALTER TABLE song DROP INDEX ix_title, ADD INDEX ix_title (title)": {"index song.ix_title": "columns"},
    "ALTER TABLE words DROP INDEX ft_text": {"index words.ft_text": "-"},
    "ALTER TABLE words DROP INDEX ft_text, ADD INDEX ft_text (text(9))": {
        "index words.ft_text": "kind, columns"
    },
    "ALTER TABLE song DROP FOREIGN KEY fk_artist, DROP INDEX fk_artist": {"foreign key song.fk_artist": "-"},
    "ALTER TABLE song DROP FOREIGN KEY fk_artist": {
        "foreign key song.fk_artist": "-",
        "index song.fk_artist": "+",
    },
    "ALTER TABLE song ADD CONSTRAINT fk_more FOREIGN KEY (artist_id) REFERENCES artist (id)": {
        "foreign key song.fk_more": "+"
    },
    "ALTER TABLE song ADD INDEX ix_artist (artist_id)": {"index song.ix_artist": "+"},
    "ALTER TABLE song ADD INDEX ix_artist (artist_id), DROP INDEX fk_artist": {"index song.ix_artist": "+"},
    "CREATE VIEW songs AS SELECT id FROM song": {"view songs": "+"},
    "CREATE TRIGGER tr BEFORE INSERT ON song FOR EACH ROW SET NEW.length = 1": {"trigger song.tr": "+"},
}
BY_ENGINE = {
    "mysql": {
        "ALTER TABLE song DROP PRIMARY KEY, ADD PRIMARY KEY (id, title)": {
            "primary key song.PRIMARY": "columns"
        },
        "ALTER TABLE song ALTER INDEX ix_length INVISIBLE": {"index song.ix_length": "invisible"},
        "ALTER TABLE song ALTER CHECK ck_length NOT ENFORCED": {"check song.ck_length": "enforced"},
        "ALTER TABLE song DROP INDEX uq_title, ADD UNIQUE uq_title ((lower(title)))": {
            "unique song.uq_title": "-",
            "index song.uq_title": "+",
        },
        "ALTER TABLE song DROP INDEX uq_title, ADD UNIQUE uq_title ((cast(doc->'$' as unsigned array)))": {
            "unique song.uq_title": "-",
            "index song.uq_title": "+",
        },
        "ALTER TABLE song ADD v VECTOR(3)": {"column song.v": "+"},
        "ALTER TABLE song MODIFY title VARCHAR(40) NOT NULL DEFAULT (lower('X')) COMMENT 'of it'": {
            "column song.title": "default"
        },
        "ALTER TABLE artist ALTER COLUMN kind SET INVISIBLE": {"column artist.kind": "invisible"},
    },
    "mariadb": {
        "ALTER TABLE song ALTER INDEX ix_length IGNORED": {"index song.ix_length": "invisible"},
        "ALTER TABLE artist ADD SYSTEM VERSIONING": {"table artist": "system versioning"},
        "ALTER TABLE artist MODIFY kind INT NOT NULL INVISIBLE DEFAULT 0": {
            "column artist.kind": "invisible, default"
        },
        "ALTER TABLE song MODIFY length INT DEFAULT 0 CHECK (length < 5)": {"check song.(`length` < 5)": "+"},
        "ALTER TABLE song MODIFY doc LONGTEXT COLLATE utf8mb4_bin CHECK (json_valid(doc))": {},
        "CREATE SEQUENCE sq": {"sequence sq": "+"},
    },
    "galera": {},
}


def test_each_thing_that_is_changed_by_hand_is_seen_and_nothing_else(backend, connection, db):
    metadata = sa.MetaData()
    small(metadata)
    models_ = given(metadata)
    engine = db.server.engine
    cases = (EVERYWHERE | BY_ENGINE[engine]) if engine != "galera" else dict(list(EVERYWHERE.items())[::8])
    wrong = {}
    connection.exec_driver_sql("SET foreign_key_checks = 0")
    for statement, wanted in cases.items():
        metadata.create_all(connection)
        connection.exec_driver_sql(statement)
        seen = {name: facets(pair) for name, pair in differing(backend, connection, models_).items()}
        if seen != {
            name: set(words.split(", ")) if words[0] not in "+-" else words for name, words in wanted.items()
        }:
            wrong[statement] = seen
        for kind, name in re.findall(r"(TABLE|VIEW|SEQUENCE|TRIGGER) (\w+)", statement):
            connection.exec_driver_sql(f"DROP {kind} IF EXISTS {name}")
    assert wrong == {}
