"""A table of SQLite that is built anew keeps what hangs on it, or the revision is rolled back."""

import pytest
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from ringfence.schema.engines import reach
from ringfence.schema.errors import JobFailed
from support.deployments import lay_out

pytestmark = pytest.mark.engines("sqlite")

HEAD = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op


def upgrade():
    with op.batch_alter_table("{table}") as batch:
        {change}


def downgrade():
    pass
"""
HANGING = (
    "CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT)",
    "CREATE TABLE song (id INTEGER PRIMARY KEY AUTOINCREMENT, name VARCHAR(40) COLLATE NOCASE NOT NULL,"
    " plays INTEGER CHECK (plays >= 0), note TEXT, parent INTEGER REFERENCES song (id) ON DELETE CASCADE,"
    " CHECK (name <> ''))",
    "CREATE TABLE tag (song_id INTEGER NOT NULL REFERENCES song (id) ON DELETE CASCADE, word TEXT)",
    "CREATE INDEX ix_lower ON song (lower(name))",
    "CREATE INDEX ix_down ON song (plays DESC)",
    "CREATE UNIQUE INDEX ix_some ON song (name) WHERE plays > 1",
    "CREATE VIEW loud AS SELECT id, name FROM song WHERE plays > 1",
    "CREATE VIEW louder AS SELECT * FROM loud JOIN tag ON song_id = id",
    "CREATE TRIGGER after_song AFTER UPDATE OF plays ON song BEGIN"
    " INSERT INTO log (what) VALUES (new.name || old.plays); END",
    "CREATE TRIGGER after_tag AFTER INSERT ON tag BEGIN"
    " UPDATE song SET plays = plays + 1 WHERE id = new.song_id; END",
    "CREATE TRIGGER in_loud INSTEAD OF DELETE ON loud BEGIN DELETE FROM song WHERE id = old.id; END",
    "CREATE TABLE odd (id INTEGER PRIMARY KEY, word TEXT UNIQUE ON CONFLICT REPLACE)",
    "INSERT INTO song (id, name, plays, parent) VALUES (1, 'Aria', 2, NULL), (2, 'Blues', 1, 1), (9, 'Coda', 1, 1)",
    "INSERT INTO tag VALUES (1, 'slow'), (2, 'blue')",
    "DELETE FROM song WHERE id = 9",
)
SCHEMA = "SELECT name, sql FROM sqlite_master WHERE type <> 'table' AND sql NOTNULL ORDER BY name"


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    shop.database.execute(*HANGING)
    return shop


def change(shop, text, table="song"):
    shop.write("migrations/versions/c3.py", HEAD.format(table=table, change=text))
    return shop.migrate()


def rows(shop, query):
    return [tuple(row) for row in shop.database.execute(query)]


def test_a_rebuild_with_cascades_triggers_and_views_loses_nothing(shop):
    everything = [f"SELECT * FROM {name} ORDER BY 1, 2" for name in ("log", "tag", "song", "loud", "louder")]
    before = [rows(shop, query) for query in [SCHEMA, *everything]]
    shop.database.execute("CREATE TABLE _alembic_tmp_song (id INTEGER)")  # a run that was killed
    assert change(
        shop, 'batch.alter_column("note", existing_type=sa.Text(), type_=sa.String(80))'
    ).applied == ["c3"]
    assert [rows(shop, query) for query in [SCHEMA, *everything]] == before
    assert rows(shop, "SELECT name FROM sqlite_master WHERE name LIKE '\\_%' ESCAPE '\\'") == []
    execute = shop.database.execute
    execute("INSERT INTO song (name, plays) VALUES ('Drums', 0)")
    assert rows(shop, "SELECT id FROM song WHERE name = 'DRUMS'") == [(10,)], (
        "AUTOINCREMENT and COLLATE NOCASE"
    )
    execute("INSERT INTO tag VALUES (10, 'loud')")
    assert rows(shop, "SELECT what FROM log ORDER BY id DESC LIMIT 1") == [("Drums0",)]
    for wrong in ("INSERT INTO song (name) VALUES ('')", "INSERT INTO song (name, plays) VALUES ('x', -1)"):
        with pytest.raises(Exception, match="CHECK"):
            execute(wrong)
    execute("PRAGMA foreign_keys = ON", "DELETE FROM loud WHERE id = 1")
    assert rows(shop, "SELECT id FROM song") == [(10,)]
    assert rows(shop, "SELECT * FROM tag") == [(10, "loud")]


def test_a_renamed_column_is_followed_by_views_triggers_and_checks(shop):
    table = rows(shop, "SELECT rootpage FROM sqlite_master WHERE name = 'song'")
    change(shop, 'batch.alter_column("plays", new_column_name="played")')
    assert rows(shop, "SELECT rootpage FROM sqlite_master WHERE name = 'song'") == table, "no row was copied"
    (shop.root / "migrations/versions/c3.py").rename(shop.root / "migrations/versions/c2.py")
    text = HEAD.format(
        table="song",
        change='batch.alter_column("played", new_column_name="count", existing_type=sa.Integer(), nullable=False)',
    )
    shop.write("migrations/versions/d4.py", text.replace('"c3"', '"d4"').replace('"b2"', '"c3"'))
    shop.migrate()
    assert rows(shop, "SELECT name FROM loud") == [("Aria",), ("Blues",)]
    shop.database.execute("INSERT INTO tag VALUES (2, 'late')")
    assert rows(shop, "SELECT count FROM song WHERE id = 2") == [(3,)]
    for wrong in ("UPDATE song SET count = -1", "UPDATE song SET count = NULL"):
        with pytest.raises(Exception, match="constraint failed"):
            shop.database.execute(wrong)


@pytest.mark.parametrize(
    ("table", "text", "message"),
    [
        (
            "odd",
            'batch.alter_column("word", existing_type=sa.Text(), nullable=False)',
            "odd says ON CONFLICT",
        ),
        ("song", 'batch.drop_column("plays")', "no such column: plays"),
        (
            "song",
            'batch.alter_column("note", existing_type=sa.Text(), nullable=False)',
            "NOT NULL constraint failed",
        ),
    ],
)
def test_what_cannot_be_kept_rolls_the_revision_back(shop, table, text, message):
    before = rows(shop, "SELECT type, name, sql FROM sqlite_master ORDER BY name")
    with pytest.raises(JobFailed, match=message):
        change(shop, text, table)
    assert rows(shop, "SELECT type, name, sql FROM sqlite_master ORDER BY name") == before
    assert rows(shop, "SELECT COUNT(*) FROM tag") == [(2,)]


def test_a_view_and_a_trigger_on_a_column_that_goes_are_named(shop):
    shop.database.execute("DROP INDEX ix_some", "DROP INDEX ix_down")
    with pytest.raises(
        JobFailed, match=r"(?s)does not work after its rebuild.*trigger after_song.*view loud.*drop it first"
    ):
        change(shop, 'batch.drop_column("plays")')
    for name in ("VIEW louder", "VIEW loud", "TRIGGER after_song", "TRIGGER after_tag"):
        shop.database.execute(f"DROP {name}")
    assert shop.migrate().applied == ["c3"]
    assert "plays" not in rows(shop, "SELECT sql FROM sqlite_master WHERE name = 'song'")[0][0]


def test_a_rebuild_while_foreign_keys_act_is_refused(shop):
    with reach(shop.settings()).engine().connect() as connection:
        operations = Operations(MigrationContext.configure(connection))
        refused = pytest.raises(JobFailed, match="would delete the rows of tag that refer to it")
        with refused, operations.batch_alter_table("song") as batch:
            batch.alter_column("note", existing_type=sa.Text(), nullable=False)


WORDS = (
    "CREATE TABLE word (id INTEGER PRIMARY KEY, a INTEGER DEFAULT (1 + 2) , \"Odd, name\" TEXT DEFAULT 'x :y 100%',"
    " twice INTEGER GENERATED ALWAYS AS ((a + 1) * (2)) STORED, shown TEXT AS (a || ':z') VIRTUAL, note TEXT"
    " DEFAULT (lower('N') || ':n'), product INTEGER DEFAULT ((2) * (3)), \"quoted\" TEXT AS (\"Odd, name\" || 'b'),"
    " CONSTRAINT named CHECK (note <> ':n1'), CHECK (note <> ':n2'))",
    "INSERT INTO word (id, note) VALUES (1, 'kept')",
)


def test_a_rebuild_repeats_defaults_expressions_and_checks_word_for_word(shop):
    shop.database.execute(*WORDS)
    change = 'batch.alter_column("note", existing_type=sa.Text, nullable=False)'
    shop.write("migrations/versions/c3.py", HEAD.format(table="word", change=change))
    shop.migrate()
    shop.database.execute("INSERT INTO word (id) VALUES (2)")
    query = 'SELECT id, a, "Odd, name", twice, shown, note, product, quoted FROM word ORDER BY id'
    assert list(shop.database.execute(query)) == [
        (1, 3, "x :y 100%", 8, "3:z", "kept", 6, "x :y 100%b"),
        (2, 3, "x :y 100%", 8, "3:z", "n:n", 6, "x :y 100%b"),
    ]
    for refused in (":n1", ":n2"):
        with pytest.raises(Exception, match="CHECK constraint failed"):
            shop.database.execute(f"INSERT INTO word (note) VALUES ('{refused}')")


INDEXED = """
import sqlalchemy as sa

metadata = sa.MetaData()
song = sa.Table(
    "song", metadata,
    sa.Column("id", sa.Integer, primary_key=True), sa.Column("a", sa.String(20)), sa.Column("order", sa.String(20)),
{indexes}
)
"""
BEFORE = """
    sa.Index("ix_down", sa.text("a DESC")), sa.Index("ix_lower", sa.text("lower(a)"), sa.text('"order" COLLATE NOCASE')),
    sa.Index("ix_some", "order", unique=True, sqlite_where=sa.text("a <> 'x:y'")),
"""
AFTER = '    sa.Index("ix_down", "a"), sa.Index("ix_lower", "a", "order"), sa.Index("ix_some", "order", unique=True)'
INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOTNULL ORDER BY name"


def test_an_index_comes_back_with_its_direction_expressions_and_condition(db, tmp_path):
    shop = lay_out(tmp_path, db)
    for number in "a1", "b2":
        (shop.root / f"migrations/versions/{number}.py").unlink()
    shop.write("access.yaml", "version: 1\naccounts: {}\n")
    shop.write("shop_models.py", INDEXED.format(indexes=BEFORE))
    assert shop.run("ringfence", "revision", "-m", "first").returncode == 0
    shop.migrate()
    before = [(name, " ".join(text.lower().split())) for name, text in shop.database.execute(INDEXES)]
    assert [name for name, _ in before] == ["ix_down", "ix_lower", "ix_some"]
    shop.write("shop_models.py", INDEXED.format(indexes=AFTER))
    written = shop.run("ringfence", "revision", "-m", "second", "--retire", "all")
    assert written.returncode == 0, written.stderr
    done = shop.run("ringfence", "test-migrations")
    assert done.returncode == 0, done.stdout + done.stderr
