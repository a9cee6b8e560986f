"""The order of a job: what is looked at before anything is changed, and what is verified after."""

import json

import pytest

from ringfence.schema.engines import reach
from ringfence.schema.errors import Drift, JobFailed
from ringfence.schema.job.job import migrate
from ringfence.schema.lint import UnsafeRevisions
from support.deployments import lay_out

DROP = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op


def upgrade():
    with op.batch_alter_table("customer") as batch:
        batch.drop_column("active")


def downgrade():
    with op.batch_alter_table("customer") as batch:
        batch.add_column(sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()))
"""


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    return shop


@pytest.mark.engines("sqlite", "postgresql", "mariadb")
def test_a_revision_that_would_hurt_stops_the_job_before_anything_changes(shop):
    must = 'add_column(sa.Column("must", sa.Integer, nullable=False))'
    shop.write("migrations/versions/c3.py", DROP.replace('drop_column("active")', must))
    with pytest.raises(
        UnsafeRevisions, match=r"(?s)nothing was changed.*c3.py:\d+: error RF.*must.*--no-lint"
    ):
        migrate(shop.load(), shop.env())
    done = shop.run("ringfence", "migrate", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["findings"]
    assert shop.database.execute("SELECT revision FROM ringfence_release ORDER BY seq")[-1] == ("b2",)
    shop.write("migrations/versions/c3.py", DROP)
    access = (shop.root / "access.yaml").read_text().replace("[id, active]", "[id]")
    shop.write("access.yaml", access)
    # Without accounts it is the models that say more; else no right can be given on a column that is gone.
    with pytest.raises((Drift, JobFailed), match=r"add column customer.active|customer has no column active"):
        shop.migrate(no_lint="the services are stopped", force="they are")
    assert (None, "customer", "active") not in _columns(shop)


def _columns(shop):
    backend = reach(shop.settings())
    with backend.engine().connect() as connection:
        return backend.introspection.columns(connection)


@pytest.mark.engines("sqlite")
def test_objects_beyond_the_models_are_reported_and_no_failure(shop):
    shop.write(
        "migrations/versions/c3.py",
        DROP.replace('drop_column("active")', 'add_column(sa.Column("extra", sa.Integer))'),
    )
    report = shop.migrate()
    assert any("has more than the models: remove column customer.extra" in text for text in report.warnings)
    assert shop.migrate(no_lint="none").not_linted == "none"


@pytest.mark.engines("galera")
def test_a_node_with_another_schema_is_found(shop):
    connection = shop.database.connect(node=1)
    connection.cursor().execute("SET SESSION wsrep_OSU_method = 'RSU'")
    connection.cursor().execute("ALTER TABLE customer ADD COLUMN stray INTEGER")
    connection.close()
    shop.write(
        "migrations/versions/c3.py",
        DROP.replace('drop_column("active")', 'add_column(sa.Column("extra", sa.Integer))'),
    )
    with pytest.raises(JobFailed, match=r"(?s)nodes do not agree.*has, alone, the column customer.stray"):
        shop.migrate()


def test_a_transaction_that_has_been_open_for_long_is_named(shop, monkeypatch):
    for module in ("postgresql.sessions", "mysql.sessions"):
        monkeypatch.setattr(f"ringfence.schema.engines.{module}._LONG", -1)
    holder = shop.database.connect()
    try:
        cursor = holder.cursor()
        cursor.execute("BEGIN")
        cursor.execute("SELECT * FROM purchase")
        cursor.execute("SELECT * FROM purchase")
        backend = reach(shop.settings())
        with backend.engine().connect() as connection:
            told = backend.checks.environment(connection)
        assert told.errors == []
        assert shop.database.server.engine == "sqlite" or any("open for" in text for text in told.warnings)
    finally:
        holder.close()


def test_a_job_behind_a_pooler_is_refused(postgres_server, pgbouncer, tmp_path):
    with postgres_server.database() as database:
        shop = lay_out(tmp_path, database)
        with pytest.raises(JobFailed, match=r"through a pooler.*must name the server itself"):
            migrate(shop.load(), shop.env(**database.through(pgbouncer).env()))
