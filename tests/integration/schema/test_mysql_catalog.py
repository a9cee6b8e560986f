"""The catalog of the MySQL family: the models as the server has them, and each single thing that is not so."""

import contextlib
import enum
import re
import time

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.dialects import mysql

from ringfence.runtime.settings import Settings
from ringfence.schema import models
from ringfence.schema.backends import reach
from ringfence.schema.comparison.differences import compare
from ringfence.schema.comparison.modelled import Modelled
from ringfence.schema.comparison.operations import Writer
from ringfence.schema.comparison.snapshot import Models, Name
from ringfence.schema.errors import JobFailed

pytestmark = pytest.mark.engines("mysql", "mariadb", "galera")


class Colour(enum.Enum):
    """Labels that need care with quotes."""

    red = "red"
    sea_green = "sea_green"


@pytest.fixture
def backend(db):
    return reach(Settings.from_env(db.env()))


@pytest.fixture
def connection(backend):
    engine = backend.engine()
    with engine.connect() as connection:
        yield connection


@pytest.fixture
def other(db):
    """A second database on the server."""
    name = f"{db.name}_x"
    db.execute(f"CREATE DATABASE `{name}`")
    yield name
    db.execute("SET foreign_key_checks = 0", f"DROP DATABASE IF EXISTS `{name}`")


def wide(metadata, engine):
    """One table with every kind of column, default, key and constraint that the models can say."""
    on_mysql = engine == "mysql"
    utc = "(utc_timestamp())" if on_mysql else "utc_timestamp()"
    sa.Table(
        "artist",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("parent_id", sa.Integer, sa.ForeignKey("artist.id")),
        sa.UniqueConstraint("id", "kind", name="uq_artist"),
        sa.Index("ix_same", "kind"),
        comment='who\'s "playing" `here`,\n(and\\there) 100%',
    )
    extra = (
        [
            sa.Index("ix_wide_expression", sa.text("(lower(name))"), sa.text("created DESC")),
            sa.Index("uq_wide_expression", sa.text("(lower(code))"), unique=True),
            sa.Index("uq_wide_many", sa.text("(cast(doc->'$.tags' as unsigned array))"), unique=True),
            sa.Column("short_lived", sa.Integer, sa.Computed("amount * 2", persisted=False), nullable=False),
        ]
        if on_mysql
        else []
    )
    return sa.Table(
        "wide",
        metadata,
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("artist_id", sa.Integer, nullable=False),
        sa.Column("artist_kind", sa.Integer),
        sa.Column("small", sa.SmallInteger, server_default="0"),
        sa.Column("amount", sa.Integer, server_default=sa.text("(1 + 2)")),
        sa.Column("unsigned", mysql.BIGINT(unsigned=True), server_default=sa.text("18446744073709551615")),
        sa.Column("tiny", mysql.TINYINT(unsigned=True, zerofill=True)),
        sa.Column("price", sa.Numeric(10, 2), server_default="0", nullable=False),
        sa.Column("bare", sa.Numeric),
        sa.Column("double", sa.Double),
        sa.Column("single", sa.Float),
        sa.Column("wide_float", sa.Float(53)),
        sa.Column("yes", sa.Boolean, server_default=sa.true(), nullable=False),
        sa.Column("no", sa.Boolean(create_constraint=True, name="ck_no"), server_default=sa.false()),
        sa.Column(
            "name", sa.String(100), server_default="", nullable=False, comment="it's `the` name, (100%)"
        ),
        sa.Column("quotes", sa.String(100), server_default='it\'s "5%" \\ `x`, (y'),
        sa.Column("code", sa.CHAR(8), server_default="abc"),
        sa.Column("colour", sa.Enum(Colour), server_default="red"),
        sa.Column(
            "words",
            sa.Enum("it's", "a,b", 'c"d', "e\\f", native_enum=False, create_constraint=True, name="ck_w"),
        ),
        sa.Column("labels", sa.Enum("it's", "a,b", 'c"d', "(e")),
        sa.Column("several", mysql.SET("a", "b")),
        sa.Column("body", sa.Text),
        sa.Column("long_body", models.LongText, nullable=False),
        sa.Column("sized", sa.Text(70000)),
        sa.Column("blob", sa.LargeBinary),
        sa.Column("sized_blob", sa.LargeBinary(300)),
        sa.Column("fixed", sa.BINARY(16)),
        sa.Column("varying", sa.VARBINARY(16)),
        sa.Column("doc", sa.JSON),
        sa.Column("own_doc", models.Json, nullable=False),
        sa.Column("key", sa.Uuid, server_default=sa.text("(uuid())")),
        sa.Column("bits", mysql.BIT(3), server_default=sa.text("b'101'")),
        sa.Column("year", mysql.YEAR),
        sa.Column("day", sa.Date, server_default=sa.text("(current_date)")),
        sa.Column("time", models.PreciseTime),
        sa.Column("plain_moment", sa.DateTime, server_default=sa.func.now()),
        sa.Column(
            "created", models.Timestamp, server_default=sa.text("CURRENT_TIMESTAMP(6)"), nullable=False
        ),
        sa.Column(
            "changed",
            mysql.TIMESTAMP(fsp=6),
            server_default=sa.text("CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)"),
        ),
        sa.Column("computed_moment", sa.DateTime, server_default=sa.text(utc)),
        sa.Column("span", models.Duration),
        sa.Column("stored", sa.Integer, sa.Computed("amount + 1", persisted=True)),
        sa.Column("virtual", sa.String(50), sa.Computed("concat(name, 'it''s, ')", persisted=False)),
        sa.Column("old", sa.String(20, collation="utf8mb3_general_ci")),
        sa.Column("binary_text", mysql.VARCHAR(20, charset="latin1", collation="latin1_bin")),
        sa.Column("expression", sa.String(40), server_default=sa.text("(concat('a,', \"b'c\"))")),
        sa.ForeignKeyConstraint(
            ["artist_id", "artist_kind"],
            ["artist.id", "artist.kind"],
            name="fk_wide_artist",
            ondelete="CASCADE",
            onupdate="RESTRICT",
        ),
        sa.CheckConstraint("amount > 0 AND name <> 'it''s'", name="ck_amount"),
        sa.CheckConstraint("small < 10"),
        sa.UniqueConstraint("name", "code", name="uq_wide_name"),
        sa.UniqueConstraint("quotes"),
        sa.Index("uq_wide_code", "code", unique=True),
        sa.Index("ix_wide_prefix", "body", "name", mysql_length={"body": 10}, mariadb_length={"body": 10}),
        sa.Index("ix_same", sa.text("created DESC"), "amount"),
        sa.Index("ft_wide", "body", "name", mysql_prefix="FULLTEXT", mariadb_prefix="FULLTEXT"),
        *extra,
        comment="",
    )


def circle(metadata):
    """Two tables that refer to each other."""
    for one, two in (("egg", "hen"), ("hen", "egg")):
        sa.Table(
            one,
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column(
                f"{two}_id", sa.Integer, sa.ForeignKey(f"{two}.id", name=f"fk_{one}", use_alter=one == "egg")
            ),
        )


def given(*metadata):
    return Models(metadata, {key: table for each in metadata for key, table in each.tables.items()})


def differing(backend, connection, wanted):
    """What is not the same: name -> what the database has, and what the models are. Read from the server both times.

    Constraints to which the models give no name go by what they are, and a missing or extra table stands for what is
    in it.
    """
    found = backend.catalog.read(connection, wanted.schemas)
    reference = backend.catalog.reference(connection, wanted)
    named = Modelled(wanted, connection.dialect).named
    return {str(each.name): (each.found, each.wanted) for each in compare(reference, found, named)}


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


def facets(pair):
    """How the two sides of a difference differ, in words."""
    found, wanted = pair
    if found is None or wanted is None:
        return "+" if wanted is None else "-"
    return {word for word in found.keys() | wanted.keys() if found.get(word) != wanted.get(word)}


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


ODD = (
    "id BIGINT AUTO_INCREMENT",
    "code VARCHAR(21) NOT NULL DEFAULT (concat('a,', 'b)')) COMMENT 'it''s, (x'",
    "code VARCHAR(20) DEFAULT (concat('a,', 'b)')) COMMENT 'it''s, (x'",
    "code VARCHAR(20) NOT NULL DEFAULT (concat('a,', 'b)'))",
    "code VARCHAR(20) NOT NULL DEFAULT 'x' COMMENT 'it''s, (x'",
    "moment TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP",
    "moment TIMESTAMP(6) NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)",
    "moment TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)",
    "number CHAR(33) DEFAULT (uuid())",
    r"quoted VARCHAR(31) DEFAULT 'it''s \\ `x` 5%'",
    "plain VARCHAR(20) NOT NULL DEFAULT 'x'",
    "plain VARCHAR(20) COLLATE utf8mb4_bin DEFAULT 'x'",
    "counted INT DEFAULT 3",
    "counted INT UNSIGNED NOT NULL DEFAULT 3",
)


@pytest.mark.engines("mysql", "mariadb")
def test_what_a_revision_writes_for_a_column_leaves_the_rest_of_it(backend, connection):
    metadata = sa.MetaData()
    sa.Table(
        "odd",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "code",
            sa.String(20),
            server_default=sa.text("(concat('a,', 'b)'))"),
            comment="it's, (x",
            nullable=False,
        ),
        sa.Column(
            "moment",
            mysql.TIMESTAMP(fsp=6),
            server_default=sa.text("CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)"),
            nullable=False,
        ),
        sa.Column("number", sa.Uuid(native_uuid=False), server_default=sa.text("(uuid())")),
        sa.Column("quoted", sa.String(30), server_default=r"it's \ `x` 5%"),
        sa.Column("plain", sa.String(20, collation="utf8mb4_bin"), nullable=False, server_default="x"),
        sa.Column("counted", mysql.INTEGER(unsigned=True), server_default="3"),
    )
    known, wrong = given(metadata), {}
    metadata.create_all(connection)
    for column in ODD:
        statement = f"ALTER TABLE odd MODIFY {column}"
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        named = Modelled(known, connection.dialect).named
        found, reference = (
            backend.catalog.read(connection, known.schemas),
            backend.catalog.reference(connection, known),
        )
        differences = compare(reference, found, named)
        assert differences, column
        operations = Operations(MigrationContext.configure(connection))
        for modify in Writer(Modelled(known, connection.dialect), connection).operations(differences):
            for operation in modify.ops:
                operations.invoke(operation)
        if left := differing(backend, connection, known):
            wrong[column] = left
    assert wrong == {}


@pytest.mark.engines("mysql", "mariadb")
def test_an_index_that_goes_comes_back_as_it_was(backend, connection, db):
    metadata = sa.MetaData()
    song = sa.Table(
        "song",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("title", sa.String(20)),
        sa.Column("seen", sa.DateTime),
        sa.Index("ix_prefix", "title", "seen", mysql_length={"title": 5}, mariadb_length={"title": 5}),
        sa.Index("ix_down", sa.text("seen DESC"), "title", unique=True),
        sa.Index("ft", "title", mysql_prefix="FULLTEXT", mariadb_prefix="FULLTEXT"),
    )
    if db.server.engine == "mysql":
        sa.Index("uq_lower", song.c.seen, sa.text(r"(concat(lower(title), '\:x, 5%'))"), unique=True)
    metadata.create_all(connection)
    bare = sa.MetaData()
    sa.Table("song", bare, *(sa.Column(c.name, c.type, primary_key=c.primary_key) for c in song.columns))
    known, full = given(bare), given(metadata)
    before = backend.catalog.read(connection, {None}).items
    differences = compare(
        backend.catalog.reference(connection, known), backend.catalog.read(connection, {None})
    )
    assert len(differences) == len(song.indexes)
    (modify,) = Writer(Modelled(known, connection.dialect), connection).operations(differences)
    operations = Operations(MigrationContext.configure(connection))
    for operation in modify.ops:
        operations.invoke(operation)
    assert differing(backend, connection, known) == {}
    for operation in reversed(modify.ops):
        operations.invoke(operation.reverse())
    assert backend.catalog.read(connection, {None}).items == before
    assert differing(backend, connection, full) == {}


def test_tables_of_two_databases_refer_to_each_other(backend, connection, db, other):
    metadata = sa.MetaData()
    sa.Table("artist", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Index("ix", "id"))
    sa.Table(
        "artist",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("near", sa.Integer, sa.ForeignKey(f"{other}.song.id", name="fk_near")),
        sa.Column("far", sa.Integer, sa.ForeignKey(f"{db.name}.label.id", name="fk_far")),
        schema=other,
    )
    sa.Table(
        "song",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Index("ix", "id"),
        schema=other,
    )
    # The default database by its own name, as some models have it.
    sa.Table(
        "label",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("song", sa.Integer, sa.ForeignKey(f"{other}.song.id", name="fk_label")),
        schema=db.name,
    )
    everything = given(metadata)
    lacking = differing(backend, connection, everything)
    assert {name: facets(pair) for name, pair in lacking.items() if name.startswith("table")} == {
        "table artist": "-",
        "table label": "-",
        f"table {other}.artist": "-",
        f"table {other}.song": "-",
    }
    metadata.create_all(connection)
    assert differing(backend, connection, everything) == {}
    connection.exec_driver_sql(f"ALTER TABLE `{other}`.artist DROP FOREIGN KEY fk_far, DROP KEY fk_far")
    assert differing(backend, connection, everything) == {
        f"foreign key {other}.artist.fk_far": (
            None,
            {"columns": "(far)", "references": f"{db.name}.label (id)"},
        )
    }


def test_a_database_that_does_not_exist_is_missing_with_its_tables(backend, connection, db):
    metadata = sa.MetaData()
    for schema in (None, f"{db.name}_none"):
        sa.Table("song", metadata, sa.Column("id", sa.Integer, primary_key=True), schema=schema)
    seen = differing(backend, connection, given(metadata))
    assert {name: facets(pair) for name, pair in seen.items()} == {
        f"schema {db.name}_none.{db.name}_none": "-",
        f"table {db.name}_none.song": "-",
        "table song": "-",
    }


def test_partitions_are_compared_however_they_are_spelled(backend, connection):
    metadata = sa.MetaData()
    ranges = (
        "(PARTITION p0 VALUES LESS THAN (TO_DAYS('2020-01-01')), PARTITION `p 1` VALUES LESS THAN MAXVALUE)"
    )
    words = {
        "by_hash": {"partition_by": "HASH(`id`)", "partitions": "3"},
        "by_key": {"partition_by": "key (id)", "partitions": "2"},
        "by_range": {"partition_by": f"range (to_days(day)) {ranges}"},
        "by_columns": {
            "partition_by": "RANGE COLUMNS(id, day) (partition p0 values less than (3, '2020-01-01'))"
        },
        "by_list": {"partition_by": "LIST (id) (PARTITION a VALUES IN (1, 2), PARTITION b VALUES IN (3))"},
    }
    for name, options in words.items():
        sa.Table(
            name,
            metadata,
            sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("day", sa.Date, primary_key=True),
            **{
                f"{dialect}_{word}": value
                for word, value in options.items()
                for dialect in ("mysql", "mariadb")
            },
        )
    metadata.create_all(connection)
    assert differing(backend, connection, given(metadata)) == {}
    connection.exec_driver_sql("ALTER TABLE by_list DROP PARTITION b")
    connection.exec_driver_sql("ALTER TABLE by_hash REMOVE PARTITIONING")
    seen = differing(backend, connection, given(metadata))
    assert {name: facets(pair) for name, pair in seen.items()} == {
        "table by_hash": {"partitions"},
        "table by_list": {"partitions"},
    }


def test_a_trigger_of_the_models_is_expected_and_not_run(backend, connection, db):
    metadata = sa.MetaData()
    song = sa.Table(
        "song", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("length", sa.Integer)
    )
    body = "BEGIN\n  SET NEW.length = 5; -- 5%%\nEND"
    sa.event.listen(
        song,
        "after_create",
        sa.DDL(f"CREATE TRIGGER `tr%%` BEFORE INSERT ON %(table)s FOR EACH ROW {body}").execute_if(
            dialect=("mysql", "mariadb")
        ),
    )
    sa.event.listen(song, "after_create", sa.DDL("CREATE TRIGGER no").execute_if(dialect="postgresql"))
    run = []
    sa.event.listen(song, "before_create", lambda *arguments, **more: run.append(arguments))
    connection.exec_driver_sql("CREATE TABLE song (id INT AUTO_INCREMENT PRIMARY KEY, length INT)")
    missing = differing(backend, connection, given(metadata))
    assert {name: facets(pair) for name, pair in missing.items()} == {"trigger song.tr%": "-"}
    assert run == []
    connection.exec_driver_sql("DROP TABLE song")
    metadata.create_all(connection)
    assert differing(backend, connection, given(metadata)) == {}
    db.execute(
        "DROP TRIGGER `tr%`", "CREATE TRIGGER `tr%` BEFORE INSERT ON song FOR EACH ROW SET NEW.length = 6"
    )
    connection.commit()  # MySQL shows a transaction the catalog as it was when that began
    changed = differing(backend, connection, given(metadata))
    assert {name: facets(pair) for name, pair in changed.items()} == {"trigger song.tr%": {"definition"}}


def test_views_of_the_models_are_compared_as_the_server_understands_them(backend, connection, db):
    metadata = sa.MetaData()
    song = sa.Table(
        "song",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("length", sa.Integer),
        sa.Column("title", sa.String(20)),
    )
    more = song.alias("more")
    sa.schema.CreateView(
        sa.select(song.c.id, (song.c.length * 2).label("twice")).where(
            song.c.title != "it's", sa.exists().where(more.c.length > song.c.length)
        ),
        "long_songs",
        metadata=metadata,
    )
    sa.event.listen(
        metadata,
        "after_create",
        sa.DDL(
            "CREATE OR REPLACE VIEW by_length AS SELECT length, COUNT(*) AS n, (SELECT MAX(id) FROM song) AS m"
            " FROM song WHERE title LIKE 'a%%' GROUP BY length UNION ALL SELECT 1, 2, 3"
        ),
    )
    models_ = Models((metadata,), {"song": song})
    missing = differing(backend, connection, models_)
    assert {name for name in missing if name.startswith("view")} == {"view by_length", "view long_songs"}
    metadata.create_all(connection)
    assert differing(backend, connection, models_) == {}
    same = "SELECT song.id AS id, song.length * 2 AS twice FROM song WHERE song.title <> 'it''s' AND EXISTS"
    for definition, differs in (
        (f"{same} (SELECT * FROM song AS more WHERE more.length > song.length)", False),
        (f"{same} (SELECT * FROM song AS more WHERE more.length >= song.length)", True),
        ("SELECT 1 AS id, 2 AS twice", True),
        (
            f"{same} (SELECT * FROM song AS more WHERE more.length > song.length)".replace("it''s", "its"),
            True,
        ),
    ):
        connection.exec_driver_sql(f"CREATE OR REPLACE VIEW long_songs AS {definition}")
        seen = {name: facets(pair) for name, pair in differing(backend, connection, models_).items()}
        assert seen == ({"view long_songs": {"definition"}} if differs else {}), definition


def test_functions_of_the_models_are_expected_by_their_words(backend, connection):
    metadata = sa.MetaData()
    sa.Table("song", metadata, sa.Column("id", sa.Integer, primary_key=True))
    for statement in (
        "CREATE FUNCTION twice(n INT)\n RETURNS INT DETERMINISTIC NO SQL\n RETURN n * 2; ",
        "CREATE PROCEDURE `noop`() BEGIN\n  SELECT 1 INTO @a; -- 100%%\nEND",
    ):
        sa.event.listen(metadata, "before_create", sa.DDL(statement))
    connection.exec_driver_sql("CREATE TABLE song (id INT AUTO_INCREMENT PRIMARY KEY)")
    missing = differing(backend, connection, given(metadata))
    assert {name: facets(pair) for name, pair in missing.items()} == {
        "function twice": "-",
        "function noop": "-",
    }
    connection.exec_driver_sql("DROP TABLE song")
    metadata.create_all(connection)
    assert differing(backend, connection, given(metadata)) == {}
    connection.exec_driver_sql("DROP FUNCTION twice")
    connection.exec_driver_sql("CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC NO SQL RETURN n * 3")
    changed = differing(backend, connection, given(metadata))
    assert {name: facets(pair) for name, pair in changed.items()} == {"function twice": {"body"}}


@pytest.mark.engines("mariadb", "galera")
def test_sequences_and_defaults_that_draw_from_them(backend, connection, db):
    metadata = sa.MetaData()
    step = 0 if db.server.engine == "galera" else 3  # there each node has a step of its own
    numbers = sa.Sequence("numbers", start=5, increment=step, minvalue=1, maxvalue=900, cycle=True, cache=20)
    sa.Table(
        "song",
        metadata,
        sa.Column("id", sa.Integer, numbers, server_default=numbers.next_value(), primary_key=True),
        sa.Column("other", sa.Integer, sa.Sequence("others", increment=step)),
    )
    metadata.create_all(connection)
    assert differing(backend, connection, given(metadata)) == {}
    found = backend.catalog.read(connection, {None}).items
    assert found[Name("sequence", "", "", "numbers")] == {
        "start": "5",
        "increment": str(step),
        "minimum": "1",
        "maximum": "900",
        "cache": "20",
        "cycle": "true",
    }
    assert found[Name("column", "", "song", "id")]["default"] == "nextval(`numbers`)"
    db.execute(f"ALTER SEQUENCE numbers INCREMENT BY {step} MAXVALUE 901", "DROP SEQUENCE others")
    seen = differing(backend, connection, given(metadata))
    assert {name: facets(pair) for name, pair in seen.items()} == {
        "sequence numbers": {"maximum"},
        "sequence others": "-",
    }


def test_a_table_that_the_server_refuses_is_named_with_what_it_says(backend, connection):
    metadata = sa.MetaData()
    sa.Table(
        "song", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.CheckConstraint("nothing > 1")
    )
    with pytest.raises(
        JobFailed, match=r"refuses the table song of the models: .*nothing.*CREATE TEMPORARY TABLE"
    ):
        backend.catalog.reference(connection, given(metadata))
    metadata = sa.MetaData()
    sa.Table("song", metadata, sa.Column("id", sa.String, primary_key=True))
    with pytest.raises(JobFailed, match=r"table song of the models cannot be made on this engine: .*VARCHAR"):
        backend.catalog.reference(connection, given(metadata))


def test_nothing_is_left_and_no_other_node_hears_of_it(backend, connection, db):
    metadata = sa.MetaData()
    wide(metadata, db.server.engine)
    before = db.execute("SHOW TABLES")
    nodes = range(len(db.server.hosts))
    made = [counted(db, node) for node in nodes]
    backend.catalog.reference(connection, given(metadata))
    assert db.execute("SHOW TABLES") == before == []
    with contextlib.closing(connection.connection.cursor()) as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Com_create_table'")
        assert cursor.fetchone()[1] == "0"
    assert [counted(db, node) for node in nodes] == made


def counted(db, node):
    """How many write sets a node of a cluster has taken in; what the only server has logged."""
    with contextlib.closing(db.connect(node=node)) as session, session.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'wsrep_last_committed'")
        return cursor.fetchone()


@pytest.mark.engines("mysql", "mariadb")
def test_five_hundred_tables_take_seconds(backend, connection, db):
    metadata = sa.MetaData()
    for n in range(500):
        sa.Table(
            f"t{n}",
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            *(sa.Column(f"c{m}", sa.String(20), server_default="x") for m in range(8)),
            sa.Index(f"ix{n}", "c1", "c2"),
            sa.UniqueConstraint("c3", name=f"uq{n}"),
        )
    begun = time.process_time()
    found = backend.catalog.reference(connection, given(metadata))
    # Of our own; it is a third of that on a machine that does nothing else.
    assert time.process_time() - begun < 5
    assert sum(name.kind == "table" for name in found.items) == 500
