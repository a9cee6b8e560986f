"""`ringfence plan` tells which rows a pending revision would fail over, with a count and a query that shows them."""

import json

import pytest

from ringfence.runtime.settings import Settings
from ringfence.schema.engines import reach
from ringfence.schema.job.row_checks import failing_rows
from ringfence.schema.lint.pending import pending_of
from support.deployments import lay_out

CONTRACT = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from ringfence.schema.revisions import online


def upgrade():
    online.set_not_null("customer", "secret", existing_type=sa.String(100))
    online.create_unique_constraint("uq_purchase_amount", "purchase", ["amount"])
    online.create_index("ix_both", "purchase", ["customer_id", "amount"], unique=True)
    online.create_check_constraint("ck_large", "purchase", "amount > 10")
    online.create_foreign_key("fk_amount", "purchase", "customer", ["amount"], ["id"])
    online.validate("ck_large", "purchase")
    online.validate("fk_amount", "purchase")


def downgrade():
    pass
"""
ADDED = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op
from ringfence.schema.revisions import online


def upgrade():
    op.add_column("customer", sa.Column("nick", sa.String(20)))
    FILLED
    online.set_not_null(  # ringfence: allow RF202, RF303 because a test
        "customer", "nick", existing_type=sa.String(20)
    )


def downgrade():
    pass  # ringfence: allow RF501 because a test
"""


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    db.execute(
        "INSERT INTO customer (id, email, secret, active) VALUES (1, 'a', NULL, '1'), (2, 'b', 's', '1'),"
        " (3, 'c', NULL, '1'), (4, 'd', NULL, '0')",
        "INSERT INTO purchase (id, customer_id, amount) VALUES (1, 1, 7), (2, 1, 7), (3, 2, 12), (4, 2, 3), (5, 3, 3)",
    )
    return shop


def planned(shop, *words):
    """The plan, and the exit code."""
    ran = shop.run("ringfence", "plan", "--json", *words)
    document = json.loads(ran.stdout)
    return document.get("error", {}).get("plan", document), ran.returncode


def rows(plan):
    return {one["does"]: (one["rows"], one["certain"]) for one in plan["rows"]}


def test_rows_that_stop_a_contract_are_counted_and_shown(shop):
    shop.write("migrations/versions/c3.py", CONTRACT)
    plan, _ = planned(shop)
    unique = "constraint" if shop.database.server.engine == "sqlite" else "index"
    assert rows(plan) == {
        "makes customer.secret NOT NULL": (3, True),
        f"makes the {unique} uq_purchase_amount on purchase unique": (2, True),
        "makes the index ix_both on purchase unique": (1, True),
        "checks ck_large on purchase": (4, True),
        "makes the foreign key fk_amount of purchase": (3, True),
    }
    shown = {one["does"]: len(shop.database.execute(one["query"])) for one in plan["rows"]}
    assert shown == {does: count for does, (count, _) in rows(plan).items()}
    (told,) = [text for text in plan["stops"] if "customer.secret" in text]
    assert "revision c3 makes customer.secret NOT NULL, and 3 rows hold NULL there: fill them first" in told
    assert "ringfence backfill --list" in told
    (told,) = [text for text in plan["stops"] if "uq_purchase_amount" in text]
    assert "on purchase unique, and 2 values occur in several rows: give all but one row of each" in told
    (told,) = [text for text in plan["stops"] if "ix_both" in text]
    assert "and 1 value occurs in several rows" in told
    person = shop.run("ringfence", "plan")
    assert f"a job would stop: {told}" in person.stdout  # the lint has the last word, and exits 2

    shop.database.execute(
        "UPDATE customer SET secret = 'x'",
        "DELETE FROM purchase WHERE id <> 3",
        "INSERT INTO customer (id, email, secret, active) VALUES (12, 'z', 'z', '1')",
    )
    plan, _ = planned(shop)
    assert (plan["rows"], plan["stops"]) == ([], [])


@pytest.mark.engines("sqlite")
def test_the_looks_have_a_minute_in_all(shop, monkeypatch):
    shop.write("migrations/versions/c3.py", CONTRACT)
    monkeypatch.setattr("ringfence.schema.job.row_checks.TOTAL_SECONDS", 0.0)
    deployment, backend = shop.load(), reach(Settings.from_env(shop.env()))
    found = failing_rows(backend, pending_of(deployment, backend))
    assert [(one.rows, one.certain, one.holds) for one in found] == [
        (None, False, "the queries before it took 0 s")
    ] * 5
    assert "whether rows are in its way is not known: the queries before" in str(found[0])


def test_a_column_to_come_is_empty_unless_something_fills_it(shop):
    shop.write("migrations/versions/c3.py", ADDED.replace("FILLED", ""))
    plan, code = planned(shop)
    assert (code, rows(plan)) == (1, {"makes customer.nick NOT NULL": (4, True)})
    assert "`ringfence migrate --expand`" in plan["rows"][0]["resolution"]
    person = shop.run("ringfence", "plan")
    told = "a job would stop during the pending revisions:\n  revision c3 makes customer.nick NOT NULL, and 4 rows will hold NULL"
    assert (person.returncode, told in person.stderr) == (1, True)
    filling = "op.execute(\"UPDATE customer SET nick = 'x'\")"
    shop.write("migrations/versions/c3.py", ADDED.replace("FILLED", filling))
    plan, _ = planned(shop)
    assert rows(plan) == {"makes customer.nick NOT NULL": (4, False)}
    assert not [text for text in plan["stops"] if "nick" in text]
    (told,) = [text for text in plan["warnings"] if "nick" in text]
    assert "unless a statement that runs before it changes them" in told


LATER = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op
from ringfence.schema.revisions import online


def upgrade():
    online.validate("ck_old", "purchase")
    online.validate("fk_old", "purchase")
    op.create_index("ix_some", "purchase", ["amount"], unique=True, postgresql_where=sa.text("amount > 5"))
    op.create_index("ix_text", "customer", [sa.text("lower(email)")], unique=True)
    op.create_check_constraint("ck_percent", "customer", "email NOT LIKE '%:a' OR id = 1")


def downgrade():
    pass
"""


@pytest.mark.engines("postgresql")
def test_what_the_database_checks_of_new_rows_alone_is_looked_at_where_it_is_validated(shop):
    shop.database.execute(
        "ALTER TABLE purchase ADD CONSTRAINT ck_old CHECK (amount <> 3) NOT VALID",
        "ALTER TABLE purchase ADD CONSTRAINT fk_old FOREIGN KEY (amount) REFERENCES customer (id) NOT VALID",
        "INSERT INTO customer (id, email, active) VALUES (20, 'B', true), (21, 'x:a', true)",
    )
    shop.write("migrations/versions/c3.py", LATER)
    plan, _ = planned(shop)
    assert rows(plan) == {
        "checks ck_old on purchase": (2, True),
        "makes the foreign key fk_old of purchase": (3, True),
        "makes the index ix_some on purchase unique": (1, True),
        "makes the index ix_text on customer unique": (1, True),
        "checks ck_percent on customer": (1, True),
    }
    shown = {one["does"]: len(shop.database.execute(one["query"])) for one in plan["rows"]}
    assert shown == {does: count for does, (count, _) in rows(plan).items()}


RESHAPED = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op


def upgrade():
    op.rename_table("customer", "client")
    op.create_foreign_key("fk_renamed", "purchase", "client", ["amount"], ["id"])
    op.create_table("empty", sa.Column("id", sa.Integer, primary_key=True))
    op.create_foreign_key("fk_empty", "purchase", "empty", ["amount"], ["id"])
    op.create_index("ix_desc", "purchase", [sa.text("amount DESC")], unique=True)
    op.alter_column("purchase", "amount", nullable=False, type_=sa.Text, postgresql_using="coalesce(amount, 0)::text")
    op.drop_column("purchase", "amount")
    op.add_column("purchase", sa.Column("amount", sa.Integer, server_default="0"))
    op.alter_column("purchase", "amount", nullable=False)


def downgrade():
    pass
"""
WRITTEN = """
revision = "c3"
down_revision = "b2"
from alembic import op


def upgrade():
    op.execute("ALTER TABLE purchase ALTER amount SET DEFAULT 0; UPDATE purchase SET amount = 0 WHERE amount IS NULL")
    op.alter_column("purchase", "amount", nullable=False)


def downgrade():
    pass
"""


@pytest.mark.engines("postgresql")
def test_what_the_revision_itself_makes_fit_stops_no_job(shop):
    shop.database.execute(
        "ALTER TABLE purchase ALTER amount DROP NOT NULL",
        "INSERT INTO purchase (id, customer_id, amount) VALUES (6, 3, NULL)",
    )
    shop.write("migrations/versions/c3.py", RESHAPED)
    plan, _ = planned(shop)
    assert rows(plan) == {
        "makes the foreign key fk_empty of purchase": (5, True),
        "makes the index ix_desc on purchase unique": (2, True),
        "makes purchase.amount NOT NULL": (
            1,
            False,
        ),  # by USING; the column that is added later has a default
    }
    shop.write("migrations/versions/c3.py", WRITTEN)
    plan, _ = planned(shop)
    assert rows(plan) == {"makes purchase.amount NOT NULL": (1, False)}


COMING = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op
from ringfence.schema.revisions import online


def upgrade():
    op.add_column("purchase", sa.Column("kind", sa.Integer, server_default="99"))
    op.add_column("purchase", sa.Column("note", sa.String(20)))
    op.add_column("purchase", sa.Column("made", sa.DateTime, server_default=sa.func.now()))
    online.create_check_constraint("ck_amount", "purchase", "amount > 3")
    online.create_check_constraint("ck_kind", "purchase", "kind < 99 OR amount = 12")
    online.create_check_constraint("ck_note", "purchase", "note IS NOT NULL OR amount > 7")
    online.create_check_constraint("ck_fits", "purchase", "kind = 99")
    online.create_check_constraint("ck_made", "purchase", "made IS NULL")
    online.create_unique_constraint("uq_kind", "purchase", ["kind"])
    online.create_unique_constraint("uq_note", "purchase", ["note"])
    online.create_foreign_key("fk_kind", "purchase", "customer", ["kind"], ["id"])
    for name in ("ck_amount", "ck_kind", "ck_note", "ck_fits", "ck_made", "fk_kind"):
        online.validate(name, "purchase")
    op.add_column("customer", sa.Column("nick", sa.String(20), nullable=False))


def downgrade():
    pass
"""


def test_columns_to_come_are_looked_at_with_the_values_that_they_will_have(shop):
    shop.write("migrations/versions/c3.py", COMING)
    plan, _ = planned(shop)
    unique = "constraint" if shop.database.server.engine == "sqlite" else "index"
    filled = shop.database.server.engine in ("mysql", "mariadb", "galera")
    null = {} if filled else {"adds customer.nick NOT NULL without a default": (4, True)}
    assert rows(plan) == null | {
        "checks ck_amount on purchase": (2, True),
        "checks ck_kind on purchase": (4, True),
        "checks ck_note on purchase": (4, True),  # the server makes `made`: nothing is known of its CHECK
        f"makes the {unique} uq_kind on purchase unique": (1, True),
        "makes the foreign key fk_kind of purchase": (5, True),
    }
