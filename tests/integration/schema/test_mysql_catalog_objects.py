"""The catalog of the MySQL family: several databases, partitions, triggers, views, functions, sequences."""

import contextlib

import pytest
import sqlalchemy as sa

from ringfence.schema.comparison.snapshot import Models, Name
from ringfence.schema.errors import JobFailed
from support.mysql_models import differing, facets, given, wide

pytestmark = pytest.mark.engines("mysql", "mariadb", "galera")


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


def test_a_foreign_key_may_be_given_the_name_that_a_server_gives(backend, connection):
    metadata = sa.MetaData()
    sa.Table(
        "song",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("self", sa.Integer),
        sa.ForeignKeyConstraint(["self"], ["song.id"], name="song_ibfk_1"),
    )
    metadata.create_all(connection)
    assert differing(backend, connection, given(metadata)) == {}


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
    notes = "(PARTITION p0 VALUES IN ('a(b)', 'C c'), PARTITION p1 VALUES IN ('x') COMMENT = 'it''s')"
    words["by_texts"] = {"partition_by": f"LIST COLUMNS(name) {notes}"}
    for name, options in words.items():
        sa.Table(
            name,
            metadata,
            sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("day", sa.Date, primary_key=True),
            sa.Column("name", sa.String(9), primary_key=True),
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
    found = backend.introspection.catalog.read(connection, {None}).items
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
        backend.introspection.catalog.reference(connection, given(metadata))
    metadata = sa.MetaData()
    sa.Table("song", metadata, sa.Column("id", sa.String, primary_key=True))
    with pytest.raises(
        JobFailed, match=r"table song of the models cannot be created on this engine: .*VARCHAR"
    ):
        backend.introspection.catalog.reference(connection, given(metadata))


def test_nothing_is_left_and_no_other_node_hears_of_it(backend, connection, db):
    metadata = sa.MetaData()
    wide(metadata, db.server.engine)
    before = db.execute("SHOW TABLES")
    nodes = range(len(db.server.hosts))
    made = [counted(db, node) for node in nodes]
    backend.introspection.catalog.reference(connection, given(metadata))
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
