"""`ringfence plan` tells which values a column's new type, a new key, prefix index or MATCH FULL would fail over."""

import json

import pytest

from support.deployments import lay_out

NARROWED = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op
# ringfence: allow RF105, RF201, RF202, RF303, RF501 because a test


def upgrade():
    op.alter_column("wide", "label", existing_type=sa.String(50), type_=sa.String(5))
    op.alter_column("wide", "big", existing_type=sa.BigInteger, type_=sa.SmallInteger)
    op.alter_column("wide", "price", existing_type=sa.Numeric(10, 4), type_=sa.Numeric(5, 2))
    op.alter_column("wide", "growing", existing_type=sa.String(10), type_=sa.String(20))
    op.create_primary_key("pk_wide", "wide", ["id", "code"])


def downgrade():
    pass
"""
TABLE = (
    "CREATE TABLE wide (id INTEGER, code INTEGER, label VARCHAR(50), big BIGINT, price NUMERIC(10, 4), growing VARCHAR(10))",
    # the values of the second row stand at the limits of the new types, and are taken
    "INSERT INTO wide VALUES (1, 1, 'abcdef', 32768, 1000, 'x'), (2, 1, 'abcde', 32767, 999.994, '0123456789'),"
    " (3, NULL, 'a much longer one', -32769, -999.996, NULL), (NULL, 1, 'é', -32768, 1, NULL), (5, 1, NULL, NULL, NULL, NULL)",
)
PREFIX = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op


def upgrade():
    op.create_index("ix_begin", "wide", ["label", "code"], unique=True, mysql_length={"label": 3}, mariadb_length={"label": 3})


def downgrade():
    pass
"""
FULL = """
revision = "c3"
down_revision = "b2"
from alembic import op


def upgrade():
    op.create_foreign_key("fk_full", "wide", "pairs", ["id", "code"], ["a", "b"], match="FULL")


def downgrade():
    pass
"""


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    db.execute(*TABLE)
    return shop


def rows(shop, revision):
    """What the plan of a revision says of rows; each query shows as many as it counts."""
    shop.write("migrations/versions/c3.py", revision)
    ran = shop.run("ringfence", "plan", "--json")
    document = json.loads(ran.stdout)
    found = document.get("error", {}).get("plan", document)["rows"]
    shown = {one["does"]: len(shop.database.execute(one["query"])) for one in found}
    assert shown == {one["does"]: one["rows"] for one in found}
    return {one["does"]: (one["rows"], one["holds"]) for one in found}


@pytest.mark.engines("postgresql", "mysql", "mariadb")
def test_values_that_a_new_type_does_not_take(shop):
    if shop.database.server.engine == "postgresql":
        shop.database.execute("UPDATE wide SET label = 'abcde   ' WHERE id = 2")  # the spaces are taken off
    found = rows(shop, NARROWED)
    spelled = {
        does.partition(" wide.")[2].lower(): value for does, value in found.items() if " wide." in does
    }
    assert spelled == {
        "label varchar(5)": (2, "are longer than 5 characters"),
        "big smallint": (2, "are not from -32768 to 32767"),
        "price numeric(5, 2)": (2, "have more than 3 digits before the point"),
    }
    assert found["makes id, code the primary key of wide"] == (2, "hold NULL there")
    shop.database.execute("DELETE FROM wide WHERE id IS NULL OR code IS NULL OR id = 1")
    assert rows(shop, NARROWED) == {}
    ran = shop.run("alembic", "upgrade", "head")
    assert ran.returncode == 0, ran.stderr


@pytest.mark.engines("mysql", "mariadb")
def test_beginnings_that_a_prefix_index_makes_unique(shop):
    shop.database.execute("INSERT INTO wide (id, code, label) VALUES (6, 1, 'abcXYZ')")
    assert rows(shop, PREFIX) == {
        "makes the index ix_begin on wide unique": (1, "occur in several rows"),
    }


@pytest.mark.engines("postgresql")
def test_a_key_of_match_full_is_whole_or_null(shop):
    shop.database.execute(
        "CREATE TABLE pairs (a integer, b integer, PRIMARY KEY (a, b))",
        "INSERT INTO pairs VALUES (1, 1), (5, 1)",
        "INSERT INTO wide (id, code) VALUES (NULL, NULL)",
    )
    assert rows(shop, FULL) == {
        "makes the foreign key fk_full of wide": (3, "refer to no row of pairs"),
    }
