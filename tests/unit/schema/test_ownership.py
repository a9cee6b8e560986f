"""What the migrations made, read from them without a database: operations, elements, and SQL of every dialect."""

import pytest
import sqlalchemy as sa
from alembic.operations import ops
from hypothesis import given
from hypothesis import strategies as st

from ringfence.schema.comparison.snapshot import Name
from ringfence.schema.errors import BadDeployment
from ringfence.schema.models.types import ENGINES
from ringfence.schema.revisions.ownership import ddl as sql
from ringfence.schema.revisions.ownership.objects import Objects
from ringfence.schema.revisions.ownership.ownership import left_alone, ownership
from ringfence.schema.revisions.ownership.replay import replay
from ringfence.schema.sql.identifiers import spelling
from support.lint_cases import Bench


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path, ENGINES)


def after(dialect, *texts):
    objects = Objects(spelling(dialect))
    for text in texts:
        sql.replay(objects, text)
    return objects


SQL = (
    # dialect, statements, (kind, schema, table, name) -> whether it was made
    (
        "postgresql",
        [
            'CREATE TABLE IF NOT EXISTS public.Song (id bigserial PRIMARY KEY, "Title" text CONSTRAINT u UNIQUE,'
            ' artist int REFERENCES artist (id), CHECK (length("Title") > 0 AND id > 0),'
            ' CONSTRAINT "Odd, name" FOREIGN KEY (artist) REFERENCES artist, EXCLUDE USING gist (id WITH =))',
            'CREATE UNIQUE INDEX CONCURRENTLY ix ON ONLY song USING btree (lower("Title")); CREATE INDEX ON song (id)',
        ],
        [
            ("table", None, None, "song", True),
            ("table", "public", None, "song", True),
            ("column", None, "song", "Title", True),
            ("column", None, "song", "title", False),
            ("unique", None, "song", "u", True),
            ("primary key", None, "song", "song_pkey", True),
            ("foreign key", None, "song", "song_artist_fkey", True),
            ("foreign key", None, "song", "song_artist_fkey2", False),
            ("foreign key", None, "song", "Odd, name", True),
            ("check", None, "song", "song_check", True),
            ("check", None, "song", "song_Title_check", True),
            ("check", None, "song", "song_other_check", False),
            ("exclude", None, "song", "song_id_excl", True),
            ("index", None, "song", "ix", True),
            ("index", None, "song", "song_id_idx", True),
            ("sequence", None, None, "song_id_seq", True),
            ("table", "other", None, "song", False),
        ],
    ),
    (
        "postgresql",
        [
            "CREATE TABLE reading (id int, taken date NOT NULL) PARTITION BY RANGE (taken)",
            "CREATE TABLE reading_2029 PARTITION OF reading FOR VALUES FROM ('2029-01-01') TO ('2030-01-01')",
            "CREATE TEMP TABLE scratch (id int); CREATE UNLOGGED TABLE loose (LIKE reading INCLUDING ALL, more text)",
            "CREATE TABLE copy AS SELECT * FROM reading",
        ],
        [
            ("table", None, None, "reading_2029", True),
            ("partition", None, "reading", "reading_2029", True),
            ("partition", None, "reading", "reading_2030", False),
            ("column", None, "reading_2029", "taken", True),
            ("table", None, None, "scratch", False),
            ("column", None, "loose", "taken", True),
            ("column", None, "loose", "more", True),
            ("table", None, None, "copy", True),
            ("column", None, "copy", "taken", False),  # only the server knows
        ],
    ),
    (
        "postgresql",
        [
            "CREATE SCHEMA s; CREATE TYPE s.mood AS ENUM ('a; CREATE TABLE fake (id int)'); CREATE DOMAIN d AS int",
            "CREATE SEQUENCE IF NOT EXISTS s.numbers; CREATE OR REPLACE VIEW v AS SELECT 1; CREATE MATERIALIZED VIEW mv AS"
            " SELECT 2; CREATE FUNCTION f(a int) RETURNS trigger LANGUAGE plpgsql AS $x$ BEGIN CREATE TABLE inner_t (i"
            " int); RETURN NULL; END $x$; CREATE TRIGGER tr BEFORE INSERT OR UPDATE OF a ON s.t FOR EACH ROW EXECUTE"
            " FUNCTION f()",
            "-- CREATE TABLE commented (id int)\n/* CREATE TABLE also (id int) */ COMMENT ON VIEW v IS 'CREATE TABLE said'",
            "DO $$ BEGIN EXECUTE 'CREATE TABLE executed (id int)'; END $$",
        ],
        [
            ("schema", None, None, "s", True),
            ("enum", "s", None, "mood", True),
            ("enum", None, None, "d", True),
            ("sequence", "s", None, "numbers", True),
            ("view", None, None, "v", True),
            ("view", None, None, "mv", True),
            ("function", None, None, "f", True),
            ("trigger", "s", "t", "tr", True),
            *(
                ("table", None, None, name, False)
                for name in ("fake", "inner_t", "commented", "also", "executed")
            ),
        ],
    ),
    (
        "postgresql",
        [
            "CREATE TABLE a (x int, CONSTRAINT c UNIQUE (x)); CREATE INDEX i ON a (x); CREATE VIEW v AS SELECT 1",
            "ALTER TABLE IF EXISTS ONLY a RENAME COLUMN x TO y, ADD COLUMN IF NOT EXISTS z numeric(10, 2) DEFAULT 1",
            "ALTER TABLE a RENAME CONSTRAINT c TO d; ALTER INDEX i RENAME TO j; ALTER VIEW v RENAME TO w",
            "ALTER TABLE a RENAME TO b; CREATE SCHEMA s; ALTER TABLE b SET SCHEMA s; ALTER SCHEMA s RENAME TO t",
            "ALTER TABLE t.b DROP CONSTRAINT IF EXISTS d, DROP z CASCADE",
        ],
        [
            ("table", None, None, "a", False),
            ("table", "t", None, "b", True),
            ("column", "t", "b", "y", True),
            ("column", "t", "b", "x", False),
            ("column", "t", "b", "z", False),
            ("unique", "t", "b", "d", False),
            ("index", "t", "b", "j", True),
            ("view", None, None, "w", True),
            ("view", None, None, "v", False),
            ("schema", None, None, "t", True),
        ],
    ),
    (
        "postgresql",
        [
            "CREATE TABLE a (x int); CREATE TABLE b (x int); CREATE INDEX i ON a (x); CREATE SEQUENCE q; CREATE SCHEMA s",
            "CREATE TABLE s.c (x int); DROP TABLE IF EXISTS a, b CASCADE; DROP SEQUENCE q; DROP SCHEMA s CASCADE",
        ],
        [
            ("table", None, None, "a", False),
            ("index", None, "a", "i", False),
            ("table", None, None, "b", False),
            ("sequence", None, None, "q", False),
            ("table", "s", None, "c", False),
            ("schema", None, None, "s", False),
        ],
    ),
    (
        "mysql",
        [
            "CREATE TABLE `song` (`id` bigint NOT NULL AUTO_INCREMENT COMMENT 'it\\'s, (so', title varchar(20) DEFAULT"
            ' "a, b", artist int, PRIMARY KEY (`id`), UNIQUE KEY (title), KEY by_artist (artist), FULLTEXT KEY ft (title),'
            " FOREIGN KEY (artist) REFERENCES artist (id), CHECK (id > 0)) ENGINE=InnoDB PARTITION BY HASH(id)",
            "ALTER TABLE song ADD (a int, b int), CHANGE COLUMN title name varchar(30), ADD UNIQUE INDEX un (a) # no\n",
            "RENAME TABLE song TO tune, other TO another; CREATE TABLE `odd``name` (x int)",
            "CREATE DEFINER=`a`@`%` TRIGGER tr AFTER INSERT ON tune FOR EACH ROW BEGIN INSERT INTO x VALUES (1);"
            " DROP TABLE tune; END",
            "ALTER TABLE tune RENAME INDEX by_artist TO ix2, DROP COLUMN b, DROP INDEX ft",
            "CREATE ALGORITHM=MERGE DEFINER = CURRENT_USER SQL SECURITY DEFINER VIEW v AS SELECT 1",
        ],
        [
            ("table", None, None, "tune", True),
            ("table", None, None, "another", False),
            ("table", None, None, "odd`name", True),
            ("column", None, "tune", "NAME", True),
            ("column", None, "tune", "title", False),
            ("column", None, "tune", "b", False),
            ("primary key", None, "tune", "PRIMARY", True),
            ("index", None, "tune", "title", True),
            ("index", None, "tune", "ix2", True),
            ("index", None, "tune", "un", True),
            ("index", None, "tune", "ft", False),
            ("foreign key", None, "tune", "tune_ibfk_1", True),
            ("foreign key", None, "tune", "tune_ibfk_2", False),
            ("check", None, "tune", "song_chk_1", True),
            ("trigger", None, "tune", "tr", True),
            ("view", None, None, "v", True),
        ],
    ),
    (
        "sqlite",
        [
            "CREATE TABLE \"Song\" (id INTEGER PRIMARY KEY, title TEXT UNIQUE, CONSTRAINT ck CHECK (title <> ''))",
            "CREATE INDEX IF NOT EXISTS ix ON song (title); CREATE VIRTUAL TABLE found USING fts5(title)",
            "ALTER TABLE song RENAME title TO name; ALTER TABLE song ADD year INT; DROP INDEX ix",
        ],
        [
            ("table", None, None, "SONG", True),
            ("table", "main", None, "song", True),
            ("column", None, "song", "Name", True),
            ("column", None, "song", "year", True),
            ("unique", None, "song", "", True),
            ("check", None, "song", "ck", True),
            ("index", None, "song", "ix", False),
            ("table", None, None, "found", True),
        ],
    ),
)


@pytest.mark.parametrize(
    ("dialect", "texts", "wanted"), SQL, ids=lambda value: value if isinstance(value, str) else ""
)
def test_sql_is_read(dialect, texts, wanted, bench):
    objects = after(dialect, *texts)
    owned = ownership(bench.deployment, dialect)
    object.__setattr__(owned, "objects", objects)
    found = [
        (kind, schema, table, name, owned.may_drop(kind, schema, table, name))
        for kind, schema, table, name, _ in wanted
    ]
    assert found == wanted


@given(st.text(max_size=60), st.sampled_from(["postgresql", "mysql", "mariadb", "sqlite", "other"]))
def test_no_text_ends_the_reading(text, dialect):
    for verb in (
        "",
        "CREATE ",
        "CREATE TABLE ",
        "ALTER TABLE t ",
        "DROP ",
        "CREATE TABLE t (",
        "RENAME TABLE ",
    ):
        after(dialect, verb + text)


NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="%"),
    min_size=1,
    max_size=20,
)


@given(NAMES, NAMES, NAMES, st.sampled_from(["postgresql", "mysql", "mariadb", "sqlite"]))
def test_any_name_is_read_as_sqlalchemy_quotes_it(table, column, other, dialect):
    """The statement that SQLAlchemy writes for a table is read as the operation is."""
    made = sa.Table(
        table, sa.MetaData(), sa.Column(column, sa.Integer), sa.UniqueConstraint(column, name=other)
    )
    speaks = sa.make_url(f"{dialect}://").get_dialect()()
    text = str(sa.schema.CreateTable(made).compile(dialect=speaks))
    by_text, by_operation = after(dialect, text), Objects(spelling(dialect))
    replay(by_operation, ops.CreateTableOp.from_table(made))
    for objects in (by_text, by_operation):
        assert objects.has("table", None, table)
        assert objects.has_column(None, table, column)
        assert objects.has_on("unique", None, table, other)
    replay(by_text, ops.DropTableOp(table))
    assert not by_text.has("table", None, table)


def test_operations_are_read_with_what_they_bring_along(bench):
    bench.upgrade(
        """
        from ringfence.schema.revisions import online
        op.create_table("song", sa.Column("id", sa.Integer, primary_key=True),
                        sa.Column("title", sa.String(20), index=True, unique=False),
                        sa.Column("owner_id", sa.ForeignKey("owner.id", name="fk_song")),
                        sa.Column("mood", sa.Enum("a", "b", name="moods")),
                        sa.Column("number", sa.Integer, sa.Sequence("numbers")),
                        sa.UniqueConstraint("title"), sa.CheckConstraint("id > 0", name="positive"))
        op.add_column("song", sa.Column("extra", sa.Integer, sa.ForeignKey("owner.id", name="fk_extra"), index=True))
        with op.batch_alter_table("song") as batch:
            batch.add_column(sa.Column("more", sa.Integer))
            batch.alter_column("more", new_column_name="most")
            batch.create_unique_constraint("uq_most", ["most"])
            batch.drop_constraint("fk_song", type_="foreignkey")
        op.create_index("ix_lower", "song", [sa.text("lower(title)")])
        op.drop_index("ix_song_title", "song")
        op.rename_table("song", "tune")
        sa.Table("made", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True)).create(op.get_bind())
        sa.Enum("x", name="made_type").create(op.get_bind(), checkfirst=True)
        online.create_enum("ours", ["a"])
        online.create_enum("gone", ["a"])
        online.drop_enum("gone")
        online.create_sequence("counter")
        online.create_unique_constraint("uq_online", "tune", ["extra"])
        op.execute(sa.schema.CreateSchema("area"))
        op.execute(sa.DDL("CREATE VIEW seen AS SELECT 100%% 3"))
        """
    )
    owned = ownership(bench.deployment, "postgresql")
    assert owned.unread == ()
    wanted = {
        ("table", "", "", "tune"): True,
        ("table", "", "", "song"): False,
        ("table", "", "", "made"): True,
        ("column", "", "tune", "most"): True,
        ("column", "", "tune", "more"): False,
        ("foreign key", "", "tune", "fk_extra"): True,
        ("foreign key", "", "tune", "fk_song"): False,
        ("unique", "", "tune", "uq_most"): True,
        ("unique", "", "tune", "song_title_key"): True,
        ("unique", "", "tune", "uq_song_title"): True,  # were it named as the models name theirs
        ("check", "", "tune", "positive"): True,
        ("check", "", "tune", "ck_song_positive"): True,
        ("index", "", "tune", "ix_song_extra"): True,
        ("index", "", "tune", "ix_lower"): True,
        ("index", "", "tune", "ix_song_title"): False,
        ("enum", "", "", "moods"): True,
        ("enum", "", "", "made_type"): True,
        ("sequence", "", "", "numbers"): True,
        ("sequence", "", "", "counter"): True,
        ("enum", "", "", "ours"): True,
        ("enum", "", "", "gone"): False,
        ("unique", "", "tune", "uq_online"): True,
        ("schema", "", "", "area"): True,
        ("view", "", "", "seen"): True,
        ("table", "", "", "thing"): True,
        ("table", "", "", "nobody"): False,
    }
    assert {key: owned.may_drop(*key) for key in wanted} == wanted


def test_what_a_revision_did_after_asking_the_database_is_in_doubt(bench):
    bench.upgrade(
        """
        op.create_table("before", sa.Column("id", sa.Integer))
        if not sa.inspect(op.get_bind()).has_table("after"):
            op.create_table("after", sa.Column("id", sa.Integer))
        """
    )
    bench.upgrade('op.create_table("next", sa.Column("id", sa.Integer))')
    owned = ownership(bench.deployment, "postgresql")
    assert [owned.may_drop("table", None, None, name) for name in ("before", "after", "next")] == [
        True,
        False,
        True,
    ]
    assert owned.unread == ("r2",)
    told = left_alone([Name("table", "", "after", "after")], owned)
    assert "1 table is not ours: left alone: after (what r2 made is not known" in told


def test_managed_and_external_objects_are_configured(bench):
    (bench.root / "ringfence.toml").write_text(
        f'name = "bench"\nengines = {list(ENGINES)}\nmodels = ["bench_models:metadata"]\n'
        'drop = ["old", "thing.stale", "area.ours", "index:thing.ix_old", "constraint:thing.ck_old"]\n'
        'leave = ["legacy_*", "other.*", "thing.x_*", "sequence:seq_*"]\n'
    )
    owned = ownership(bench.deployment, "postgresql")
    made = [
        ("table", None, None, "old"),
        ("table", "public", None, "old"),
        ("column", None, "thing", "stale"),
        ("table", "area", None, "ours"),
        ("index", None, "thing", "ix_old"),
        ("check", None, "thing", "ck_old"),
        ("column", None, "thing", "note"),
    ]
    assert all(owned.may_drop(*one) for one in made)
    strange = [("table", None, None, "older"), ("column", None, "old", "x"), ("index", None, "old", "ix_old")]
    assert not any(owned.may_drop(*one) for one in strange)
    ignored = [
        ("table", None, None, "legacy_a"),
        ("column", None, "legacy_a", "id"),
        ("index", None, "legacy_a", "ix"),
        ("table", "other", None, "t"),
        ("enum", "other", None, "e"),
        ("schema", None, None, "other"),
        ("column", None, "thing", "x_1"),
        ("sequence", None, None, "seq_1"),
        ("table", None, None, "ringfence_release"),
    ]
    assert all(owned.is_ignored(*one) for one in ignored)
    kept = [("table", None, None, "seq_1"), ("table", None, None, "old"), ("schema", None, None, "area")]
    assert not any(owned.is_ignored(*one) for one in kept)
    assert owned.naming(["extra"]).may_drop("table", None, None, "extra")
    assert not owned.may_drop("table", None, None, "extra")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('drop = ["legacy_*"]', r"ringfence.toml:4: drop: 'legacy_\*': what may be dropped is named in full"),
        (
            'drop = ["thing:a"]',
            "ringfence.toml:4: drop: 'thing:a': 'thing' is not a kind of object; it is one of schema",
        ),
        ('leave = ["a..b"]', "ringfence.toml:4: leave: 'a..b' names no object"),
    ],
)
def test_what_cannot_be_read_is_refused_by_file_and_line(bench, line, says):
    text = f'name = "bench"\nengines = {list(ENGINES)}\nmodels = ["bench_models:metadata"]\n{line}\n'
    (bench.root / "ringfence.toml").write_text(text)
    with pytest.raises(BadDeployment, match=says):
        _ = bench.deployment


def test_ignored_objects_are_reported_in_one_short_line(bench):
    owned = ownership(bench.deployment, "sqlite")
    assert left_alone([], owned) is None
    names = [Name("table", "", f"t{number}", f"t{number}") for number in range(10)]
    inside = [Name("column", "", "t1", "x")]
    told = left_alone([*names, *inside], owned)
    assert told.startswith(
        "10 tables are not ours: left alone: t0, t1, t2, t3, t4, t5, t6, t7 and 2 more; name them in"
    )
    assert left_alone(inside, owned).startswith("1 object is not ours: left alone: column t1.x; name")
