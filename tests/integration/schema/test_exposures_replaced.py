"""A view or function of the models that a hand replaced by one that shows more: planned and proven, on each server."""

import pytest

from ringfence.schema.errors import JobFailed
from ringfence.schema.privileges.service import apply_access, plan_access
from ringfence.schema.verification.verify import verify
from support.deployments import MODELS, lay_out

pytestmark = pytest.mark.requires("accounts")

VIEW = """
sa.CreateView(
    sa.select(Customer.__table__.c.id, Customer.__table__.c.email).where(Customer.__table__.c.id > 10),
    "shown", metadata=metadata,
)
"""
FUNCTION = '''
sa.event.listen(metadata, "after_create", sa.DDL("""
CREATE FUNCTION counted() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public
AS $$ BEGIN RETURN (SELECT count(*) FROM customer WHERE id > 10); END $$
""").execute_if(dialect="postgresql"))
'''
THIRD = """
revision = "c3"
down_revision = "b2"
from alembic import op


def upgrade():
    from shop_models import metadata

    metadata.create_all(op.get_bind())


def downgrade():
    pass
"""


def lay(db, tmp_path, more):
    shop = lay_out(tmp_path, db)
    shop.write("shop_models.py", MODELS + more)
    shop.write("migrations/versions/c3.py", THIRD)
    return shop


def stands(shop, change, back, says):
    """Clean before, named while it stands, clean after it was taken back."""
    env = shop.database.env()
    assert plan_access(shop.load(), env).agrees, plan_access(shop.load(), env).obstacles
    assert verify(shop.load(), shop.settings(), shop.passwords()).findings == []
    shop.database.execute(*change)
    (obstacle,) = plan_access(shop.load(), env).obstacles
    assert says in obstacle
    assert "ringfence revision" in obstacle
    (finding,) = verify(shop.load(), shop.settings(), shop.passwords()).findings
    assert finding.kind == "excess"
    assert says in finding.message
    with pytest.raises(JobFailed, match=r"no account was changed(.|\n)*differs from the models"):
        apply_access(shop.load(), shop.env())
    shop.database.execute(*back)
    assert plan_access(shop.load(), env).agrees
    assert verify(shop.load(), shop.settings(), shop.passwords()).findings == []


def test_a_view_that_shows_more(db, tmp_path):
    shop = lay(db, tmp_path, VIEW)
    shop.migrate()
    view = "CREATE OR REPLACE VIEW shown AS SELECT customer.id, customer.email FROM customer"
    stands(shop, [view], [f"{view} WHERE customer.id > 10"], "view shown differs from the models")


def everybody_s(shop):
    """The findings that no one account's attempt gave."""
    found = verify(shop.load(), shop.settings(), shop.passwords()).findings
    return [one for one in found if one.service == "all accounts"]


def test_a_view_without_a_column_and_a_missing_view(db, tmp_path):
    shop = lay(db, tmp_path, VIEW)
    shop.migrate()
    db.execute(
        "DROP VIEW shown", "CREATE VIEW shown AS SELECT customer.id FROM customer WHERE customer.id > 10"
    )
    (found,) = everybody_s(shop)
    assert (found.kind, found.service) == ("excess", "all accounts")
    assert "view shown differs from the models" in found.message
    db.execute("DROP VIEW shown")
    (found,) = everybody_s(shop)
    assert (found.kind, found.service) == ("missing", "all accounts")
    assert "view shown does not exist, and the models define it" in found.message


@pytest.mark.engines("postgresql")
def test_a_definer_function_that_reads_more_or_looks_elsewhere(db, tmp_path):
    shop = lay(db, tmp_path, FUNCTION)
    shop.migrate()
    made = FUNCTION.partition('DDL("""')[2].partition('"""')[0].replace("CREATE", "CREATE OR REPLACE")
    says = "function counted() differs from the models"
    stands(shop, [made.replace(" WHERE id > 10", "")], [made], says)
    stands(shop, ["ALTER FUNCTION counted() RESET search_path"], [made], says)
    stands(shop, ["ALTER FUNCTION counted() SECURITY INVOKER"], [made], says)


@pytest.mark.engines("postgresql")
def test_options_of_a_view(db, tmp_path):
    shop = lay(db, tmp_path, VIEW)
    shop.migrate()
    says = "view shown differs from the models"
    for option in ("security_barrier", "security_invoker"):
        if option == "security_invoker" and int(db.execute("SHOW server_version_num")[0][0]) < 150000:
            continue
        stands(
            shop, [f"ALTER VIEW shown SET ({option} = true)"], [f"ALTER VIEW shown RESET ({option})"], says
        )
