"""`access verify --probe`: rows of its own, kept, in an empty database; and nothing left of them."""

import pytest

from ringfence.schema.privileges.service import plan_access
from ringfence.schema.sampling.emptying import NotEmpty
from ringfence.schema.verification.probe import probe
from support.deployments import lay_out

TRIGGER = """
revision = "c3"
down_revision = "b2"
from alembic import op


def upgrade():
    op.execute("CREATE TABLE audit (what integer)")
    op.execute(
        "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO audit VALUES (NEW.id); RETURN NEW; END'"
    )
    op.execute("CREATE TRIGGER noted AFTER INSERT ON customer FOR EACH ROW EXECUTE FUNCTION noted()")


def downgrade():
    op.execute("DROP TRIGGER noted ON customer")
    op.execute("DROP FUNCTION noted")
    op.execute("DROP TABLE audit")
"""


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    return shop


def test_what_the_manifest_gives_is_done_with_rows_that_are_kept(shop):
    with shop.database.server.database() as other:
        env = shop.env() | other.env()
        proof = probe(shop.load(), env)
        assert proof.findings == []
        assert proof.accounts == ["till", "report", "door"]
        assert proof.attempts == proof.allowed + proof.refused
        probe(shop.load(), env)  # it was left empty
    if shop.database.server.db_type != "sqlite":
        assert plan_access(shop.load(), shop.env()).agrees
    with pytest.raises(NotEmpty, match="holds alembic_version, customer, purchase"):
        probe(shop.load(), shop.env())


@pytest.mark.engines("postgresql")
def test_a_trigger_that_cannot_run_as_the_account_is_found(shop):
    shop.write("migrations/versions/c3.py", TRIGGER)
    shop.run("ringfence", "mirror")
    with shop.database.server.database() as other:
        found = probe(shop.load(), shop.env() | other.env()).findings
    assert [(f.kind, f.service, f.verb, f.table) for f in found] == [
        ("missing", "till", "insert", "customer")
    ]
