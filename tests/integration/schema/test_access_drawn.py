"""Manifests drawn at random, applied one after the other to one database: after each, logging in finds it, no more."""

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.schema.documents import Document
from ringfence.schema.manifest.resolution import resolve_accounts
from ringfence.schema.mirror import write_mirrors
from ringfence.schema.privileges.service import apply_access, plan_access
from ringfence.schema.verification.verify import verify
from support.deployments import lay_out
from support.random_manifests import COLUMNS, SENSITIVE, TABLES, with_rows

pytestmark = pytest.mark.newer

MODELS = f"""
import sqlalchemy as sa

metadata = sa.MetaData()
for name, sensitive in {SENSITIVE!r}.items():
    columns = [
        sa.Column(c, sa.String(9), primary_key=c == "id", info={{"sensitive": c in sensitive}}) for c in {COLUMNS!r}
    ]
    sa.Table(name, metadata, *columns)
"""
FIRST = """
revision = "a1"
down_revision = None
from alembic import op


def upgrade():
    from shop_models import metadata

    metadata.create_all(op.get_bind())
"""
START = {"version": 1, "accounts": {"a": {"tables": {"open": "ro"}}}}
ENGINES = ("postgresql", "mariadb", "galera", "mysql", "sqlite")


def is_right(manifest):
    """Whether its rules add up without `widen:`, which is looked at elsewhere."""
    document = Document("access.yaml", yaml.safe_dump(manifest, sort_keys=False))
    resolve_accounts(document, TABLES, ENGINES)
    return not document.mistakes


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    (tmp_path / "migrations/versions/b2.py").unlink()
    shop.write("shop_models.py", MODELS)
    shop.write("migrations/versions/a1.py", FIRST)
    say(shop, START)
    shop.migrate()
    names = ", ".join(COLUMNS)
    for table in TABLES:
        for name in "xyz":
            db.execute(f"INSERT INTO {table} ({names}) VALUES ('{name}', '{name}', 's', 'p')")
    return shop


def say(shop, manifest):
    told = manifest | {"defaults": {"login": shop.database.prefix + "{service}"}}
    shop.write("access.yaml", yaml.safe_dump(told, sort_keys=False))


def test_after_each_manifest_the_accounts_may_do_what_it_says(shop):
    # The same few draws in each run: each is a database's worth of work.
    @settings(
        max_examples=2,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(with_rows().filter(is_right), min_size=3, max_size=3))
    def applied(manifests):
        for manifest in manifests:
            say(shop, manifest)
            deployment = shop.load()
            write_mirrors(deployment)
            env = shop.env()
            apply_access(deployment, env)
            left = plan_access(deployment, env)
            assert left.agrees, left.sql()
            assert verify(deployment, shop.settings(), shop.passwords()).findings == []

    applied()
