"""Access around a revision: no service sees a sensitive column that was just added, and no policy stops DDL."""

import pytest

from ringfence.runtime.mirror import Mirror
from ringfence.schema.errors import NullRowsRemain
from ringfence.schema.job import job
from support.deployments import lay_out

THIRD = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op


def upgrade():
    op.add_column("purchase", sa.Column("card", sa.String(40)))


def downgrade():
    op.drop_column("purchase", "card")
"""
BY_SQL = THIRD.replace(
    'op.add_column("purchase", sa.Column("card", sa.String(40)))',
    'op.execute("ALTER TABLE purchase ADD COLUMN card VARCHAR(40)")',
)
AFTER_A_LOOK = THIRD.replace(
    "def upgrade():\n",
    'def upgrade():\n    assert op.get_bind().execute(sa.text("SELECT count(*) FROM purchase")).scalar() + 1\n',
)


def relation(shop, service, table):
    """What a service selects from, in the place of the table."""
    verb = Mirror.load(shop.root / f"mirrors/{service}.json").tables[table].verbs["select"]
    return verb.relations.get(shop.database.server.engine, table)


@pytest.mark.parametrize("third", [THIRD, BY_SQL, AFTER_A_LOOK], ids=["operation", "sql", "after-a-look"])
@pytest.mark.requires("accounts")
def test_a_sensitive_column_under_a_right_on_the_whole_table_is_seen_by_no_service(
    db, tmp_path, monkeypatch, third
):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    shop.database.execute(
        "INSERT INTO customer (id, email, active) VALUES (1, 'a@b', '1')",
        "INSERT INTO purchase (id, customer_id, amount) VALUES (1, 1, 5)",
    )
    shop.write("migrations/versions/c3.py", third)
    models = (shop.root / "shop_models.py").read_text()
    card = '    card: Mapped[str | None] = mapped_column(sa.String(40), info={"sensitive": True})\n'
    shop.write("shop_models.py", models + card)

    def stop(*args, **options):
        raise RuntimeError("between the revision and the grants")

    with monkeypatch.context() as patch:
        patch.setattr(job, "apply", stop)
        with pytest.raises(RuntimeError, match="between"):
            shop.migrate()
    assert shop.database.execute("SELECT card FROM purchase")[0] == (None,)
    for again in (False, True):
        if again:
            shop.migrate()
        for service in ("till", "report"):
            connection = shop.connect(service)
            cursor = connection.cursor()
            name = relation(shop, service, "purchase") if again else "purchase"
            cursor.execute(f"SELECT id, amount FROM {name}")
            assert list(cursor.fetchall()) == [(1, 5)]
            with pytest.raises(Exception, match="denied"):
                cursor.execute("SELECT card FROM purchase")
            with pytest.raises(Exception, match="denied"):
                cursor.execute("UPDATE purchase SET card = 'x'")
            connection.close()


@pytest.mark.requires("accounts")
def test_a_column_is_dropped_under_a_policy_or_a_view_and_row_security_holds(db, tmp_path):
    shop = lay_out(tmp_path, db)
    access = (shop.root / "access.yaml").read_text()
    scoped = "customer: {select: [id, active], rows: {active: true}}"
    shop.write("access.yaml", access.replace("customer: {select: [id, active]}", scoped))
    shop.migrate()
    shop.database.execute(
        "INSERT INTO customer (id, email, active) VALUES (1, 'a@b', '1'), (2, 'c@d', '0')",
    )
    scoped = "customer: {select: [id], rows: {email: a@b}}"
    shop.write("access.yaml", access.replace("customer: {select: [id, active]}", scoped))
    models = (shop.root / "shop_models.py").read_text()
    shop.write(
        "shop_models.py", models.replace("    active: Mapped[bool] = mapped_column(default=True)\n", "")
    )
    shop.write(
        "migrations/versions/c3.py",
        THIRD.replace(
            'add_column("purchase", sa.Column("card", sa.String(40)))', 'drop_column("customer", "active")'
        ),
    )
    shop.migrate()
    connection = shop.connect("report")
    cursor = connection.cursor()
    cursor.execute(f"SELECT id FROM {relation(shop, 'report', 'customer')}")
    assert list(cursor.fetchall()) == [(1,)]
    connection.close()


@pytest.mark.requires("accounts")
def test_services_go_on_before_and_after_a_not_null_that_rows_do_not_let_happen(db, tmp_path):
    shop = lay_out(tmp_path, db)
    access = (shop.root / "access.yaml").read_text()
    scoped = "customer: {select: [id, active], rows: {active: true}}"
    shop.write("access.yaml", access.replace("customer: {select: [id, active]}", scoped))
    shop.migrate()
    shop.database.execute("INSERT INTO customer (id, email, active) VALUES (1, 'a@b', '1'), (2, 'c@d', '0')")
    refused = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from ringfence.schema.revisions import online


def upgrade():
    online.set_not_null("customer", "active", existing_type=sa.Boolean())
    online.set_not_null("customer", "secret", existing_type=sa.String(100))


def downgrade():
    pass
"""
    shop.write("migrations/versions/c3.py", refused)
    with pytest.raises(NullRowsRemain, match="secret is to be NOT NULL"):
        shop.migrate()
    for service, seen in (("till", [(1,), (2,)]), ("report", [(1,)])):
        connection = shop.connect(service)
        cursor = connection.cursor()
        cursor.execute(f"SELECT id FROM {relation(shop, service, 'customer')} ORDER BY id")
        assert list(cursor.fetchall()) == seen
        connection.close()
