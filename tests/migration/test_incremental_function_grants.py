"""A revision after which a table calls a function grants EXECUTE to the accounts that write the table."""

import pytest

from ringfence.schema.job import job
from support.deployments import lay_out

pytestmark = pytest.mark.engines("postgresql")

REVISION = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op


def upgrade():
    {0}


def downgrade():
    raise NotImplementedError
"""
YES = "CREATE FUNCTION fits(integer) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true'"
TRIGGER = "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
OWN_WORDS = {
    "a check": "op.create_check_constraint('fits', 'purchase', 'fits(amount)')",
    "a default": (
        "op.alter_column('purchase', 'amount', existing_type=sa.Integer(), server_default=sa.text('fits(1)::integer'))"
    ),
    "an index": "op.create_index('ix_purchase_fits', 'purchase', [sa.text('fits(amount)')])",
    "a trigger": (
        'op.execute("CREATE TRIGGER noted BEFORE INSERT ON purchase FOR EACH ROW WHEN (fits(NEW.amount))'
        ' EXECUTE FUNCTION noted()")'
    ),
    "a domain": 'op.execute("ALTER DOMAIN number ADD CHECK (fits(VALUE))")',
}


@pytest.mark.parametrize("kind", OWN_WORDS)
def test_who_inserts_is_never_without_what_the_table_calls(db, tmp_path, monkeypatch, kind):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    db.execute(
        YES,
        TRIGGER,
        "REVOKE EXECUTE ON FUNCTION fits(integer) FROM PUBLIC",
        "CREATE DOMAIN number AS integer",
        "ALTER TABLE purchase ADD counted number DEFAULT 7",
        "INSERT INTO customer (id, email, active) VALUES (1, 'a@b', true)",
    )
    shop.write("migrations/versions/c3.py", REVISION.replace("{0}", OWN_WORDS[kind]))
    if kind == "a default":
        models = (shop.root / "shop_models.py").read_text()
        said = 'amount: Mapped[int] = mapped_column(server_default=sa.text("fits(1)::integer"))'
        shop.write("shop_models.py", models.replace("amount: Mapped[int]", said))
    apply, seen = job.apply, []

    def looked(*arguments, **options):
        with shop.connect("door") as door, door.cursor() as cursor:
            column = "" if kind == "a default" else ", amount"
            value = "" if kind == "a default" else ", 5"
            cursor.execute(f"INSERT INTO purchase (customer_id{column}) VALUES (1{value})")
            seen.append(cursor.rowcount)
            cursor.execute(
                "SELECT has_function_privilege(%s, 'fits(integer)', 'EXECUTE')", (shop.login("report"),)
            )
            seen.append(cursor.fetchone()[0])
        return apply(*arguments, **options)

    monkeypatch.setattr(job, "apply", looked)
    shop.migrate()
    assert seen == [1, False]
