"""A foreign key of a partitioned table: NOT VALID first from PostgreSQL 18 on, and checked at once before."""

import pytest

from ringfence.schema.errors import JobFailed
from support.deployments import lay_out

pytestmark = [pytest.mark.newer, pytest.mark.engines("postgresql")]
ADDED = """
revision = "c3"
down_revision = "b2"
from ringfence.schema.revisions import online


def upgrade():
    online.create_foreign_key("fk_reading", "reading", "customer", ["customer_id"], ["id"])


def downgrade():
    pass
"""
VALIDATED = """
revision = "d4"
down_revision = "c3"
from ringfence.schema.revisions import online


def upgrade():
    online.validate("fk_reading", "reading")


def downgrade():
    pass
"""


def validated(shop):
    return shop.database.execute("SELECT convalidated FROM pg_constraint WHERE conname = 'fk_reading'")


def test_it_binds_new_rows_first_where_the_server_can_add_it_not_valid(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    db.execute(
        "CREATE TABLE reading (id integer, customer_id integer) PARTITION BY RANGE (id)",
        "CREATE TABLE reading_1 PARTITION OF reading FOR VALUES FROM (0) TO (10)",
        "INSERT INTO reading VALUES (1, 77)",
    )
    [(version,)] = db.execute("SELECT current_setting('server_version_num')::int / 10000")
    shop.write("migrations/versions/c3.py", ADDED)
    later = version >= 18
    if later:
        shop.migrate()
        assert set(validated(shop)) == {(False,)}
        shop.write("migrations/versions/d4.py", VALIDATED)
    with pytest.raises(JobFailed, match="violates foreign key constraint"):
        shop.migrate()
    db.execute("DELETE FROM reading")
    shop.write("migrations/versions/d4.py", VALIDATED)
    assert shop.migrate().applied == (["d4"] if later else ["c3", "d4"])
    assert set(validated(shop)) == {(True,)}
