"""What migrations made is ours on every engine, as its own catalog names it; what somebody made by hand is not."""

import pytest
import sqlalchemy as sa
from alembic import command

from ringfence.schema.engines import reach
from ringfence.schema.job.environment import AlembicRun
from ringfence.schema.revisions.ownership.ownership import ownership
from support.deployments import lay_out

pytestmark = pytest.mark.newer

REVISION = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op


def upgrade():
    op.create_table(
        "song",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("title", sa.String(30), unique=True),
        sa.Column("length", sa.Integer, sa.CheckConstraint("length > 0"), index=True),
        sa.Column("by", sa.Integer, sa.ForeignKey("customer.id")),
        sa.Column("mood", sa.Enum("good", "bad", name="mood")),
        sa.CheckConstraint("length < 9000 OR title IS NULL"),
        sa.UniqueConstraint("title", "length"),
    )
    op.execute("CREATE TABLE raw_song (Id INTEGER NOT NULL, label VARCHAR(20) UNIQUE, song_id INTEGER, PRIMARY KEY (Id),"
               " CHECK (song_id > 3), CONSTRAINT fk_raw FOREIGN KEY (song_id) REFERENCES song (id))")
    op.execute("CREATE UNIQUE INDEX ux_raw ON raw_song (song_id, label)")
    op.execute("ALTER TABLE raw_song ADD COLUMN extra INTEGER")
    op.execute("CREATE VIEW seen AS SELECT id FROM song")
    op.rename_table("raw_song", "raw_tune")
"""

BY_HAND = (
    "CREATE TABLE strange (id INTEGER PRIMARY KEY, note VARCHAR(10))",
    "CREATE VIEW strange_view AS SELECT id FROM strange",
    "CREATE INDEX ix_strange ON song (length, title)",
    "ALTER TABLE song ADD COLUMN strange INTEGER",
)


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.write("migrations/versions/c3.py", REVISION)
    return shop


def catalog(connection):
    """(kind, schema, table, name) of all that the database holds, the job's own and Alembic's aside."""
    found = set()
    inspector = sa.inspect(connection)
    found |= {("view", None, None, name) for name in inspector.get_view_names()}
    for table in inspector.get_table_names():
        if table.startswith("ringfence_") or table == "alembic_version":
            continue
        found.add(("table", None, None, table))
        keys = {
            "column": inspector.get_columns(table),
            "index": inspector.get_indexes(table),
            "unique": inspector.get_unique_constraints(table),
            "foreign key": inspector.get_foreign_keys(table),
            "check": inspector.get_check_constraints(table),
            "primary key": [inspector.get_pk_constraint(table)],
        }
        for kind, items in keys.items():
            found |= {(kind, None, table, item["name"] or "") for item in items if item}
    if connection.dialect.name == "postgresql":
        found |= {("enum", None, None, item["name"]) for item in inspector.get_enums()}
        found |= {("sequence", None, None, name) for name in inspector.get_sequence_names()}
    return found


def test_the_migrations_made_all_but_what_was_made_by_hand(shop):
    backend = reach(shop.settings())
    deployment = shop.load()
    with (
        backend.locks.hold(patience=30, on_message=print) as held,
        AlembicRun(deployment, backend, held).current() as config,
    ):
        command.upgrade(config, "head")
    with backend.engine().connect() as connection:
        owned = ownership(deployment, connection.dialect.name)
        made = catalog(connection)
        assert len(made) > 25
        assert {one for one in made if not owned.may_drop(*one) and not owned.is_ignored(*one)} == set()
        for text in BY_HAND:
            connection.exec_driver_sql(text)
        connection.commit()
        strange = catalog(connection) - made
    assert {"strange", "strange_view", "ix_strange"} <= {one[3] for one in strange}
    assert {one for one in strange if owned.may_drop(*one)} == set()
