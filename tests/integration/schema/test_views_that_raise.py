"""A view that calls what raises while nothing is bound: it may be read, so its service is ready and the proof content."""

import pytest

from ringfence.runtime import Database, Mirror, Settings
from ringfence.runtime.settings import Secret
from ringfence.schema.verification.verify import verify
from support.deployments import lay_out

pytestmark = pytest.mark.newer

MODELS = """
import sqlalchemy as sa

metadata = sa.MetaData()
sa.Table("customer", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(40)))
sa.Table("mine", metadata, sa.Column("id", sa.Integer), sa.Column("name", sa.String(40)), info={"view": True})
"""
REVISION = """
revision = "a1"
down_revision = None
import sqlalchemy as sa
from alembic import op


def upgrade():
    op.create_table(
        "customer", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(40))
    )
    for statement in STATEMENTS:
        op.execute(statement)
"""
STATEMENTS = {
    "postgresql": [
        "CREATE VIEW mine AS SELECT id, name FROM customer WHERE name = current_setting('app.tenant')"
    ],
    "mysql": [
        "CREATE FUNCTION tenant() RETURNS int DETERMINISTIC READS SQL DATA"
        " BEGIN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no tenant'; RETURN 1; END",
        "CREATE VIEW mine AS SELECT id, name FROM customer WHERE id = tenant()",
    ],
    "sqlite": ["CREATE VIEW mine AS SELECT id, name FROM customer WHERE name = json_extract('no json', '$')"],
}
ACCESS = """
version: 1
defaults: {login: "PREFIX{service}"}
accounts:
  reader:
    tables: {customer: ro}
    views: {mine: ro}
  other:
    tables: {customer: ro}
"""


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    (shop.root / "migrations/versions/b2.py").unlink()
    shop.write("shop_models.py", MODELS)
    shop.write("access.yaml", ACCESS)
    shop.write(
        "migrations/versions/a1.py", REVISION.replace("STATEMENTS", repr(STATEMENTS[db.server.db_type]))
    )
    shop.migrate()
    return shop


def state(shop):
    settings = Settings.from_env(
        shop.database.env(shop.login("reader"), shop.password("reader"))
        if shop.database.server.hosts
        else shop.env()
    )
    with Database(settings, Mirror.load(shop.root / "mirrors/reader.json")) as database:
        report = database.readiness()
        return report.state, report.warnings


def proof(shop):
    return verify(
        shop.load(), shop.settings(), {login: Secret(p.reveal()) for login, p in shop.passwords().items()}
    )


def test_a_view_that_raises_may_be_read(shop):
    found, warnings = state(shop)
    assert found == "ready"
    if shop.database.server.db_type == "postgresql":
        # 18 sees that the probe finds no row before it plans the view, and so nothing raises.
        raises = int(shop.database.execute("SHOW server_version_num")[0][0]) < 180_000
        said = [w.partition(",")[0] for w in warnings if "mine" in w]
        assert said == (["mine may be read"] if raises else [])
    assert proof(shop).findings == []


@pytest.mark.engines("postgresql", "mariadb", "mysql")
def test_a_view_that_raises_without_its_privilege_is_missing(shop):
    login = shop.login("reader")
    whom = f'"{login}"' if shop.database.server.db_type == "postgresql" else f"'{login}'@'%'"
    shop.database.execute(f"REVOKE SELECT ON mine FROM {whom}")
    assert state(shop)[0] == "missing-grant"
    assert {(f.service, f.kind, f.verb, f.table) for f in proof(shop).findings if f.table} == {
        ("reader", "missing", "select", "mine")
    }


@pytest.mark.engines(
    "postgresql", "mariadb", "mysql"
)  # SQLite takes a quoted name that it does not know for a text
def test_a_view_that_raises_without_its_column_is_not_as_the_mirror_says(shop):
    shop.database.execute("DROP VIEW mine", "CREATE VIEW mine AS SELECT id FROM customer")
    if shop.database.server.db_type == "postgresql":
        shop.database.execute(f'GRANT SELECT ON mine TO "{shop.login("reader")}"')
    assert state(shop)[0] == "missing-grant"
    found = {(f.service, f.kind, f.verb, f.table, f.columns) for f in proof(shop).findings if f.table}
    assert ("reader", "not-proven", "select", "mine", ("name",)) in found
    assert {(kind, table) for _, kind, _, table, _ in found} == {("not-proven", "mine")}


def test_a_missing_view_is_not_proven(shop):
    shop.database.execute("DROP VIEW mine")
    found = {(f.service, f.kind, f.verb, f.table, f.columns) for f in proof(shop).findings if f.table}
    assert ("reader", "not-proven", "select", "mine", ("id", "name")) in found
    assert {(kind, table) for _, kind, _, table, _ in found} == {("not-proven", "mine")}
