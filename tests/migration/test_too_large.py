"""A job or a backfill whose transaction is larger than a Galera cluster takes at once: with how to resolve it."""

import pytest
import sqlalchemy as sa

from ringfence.schema.backfills.run import Pace, run
from ringfence.schema.engines import reach
from ringfence.schema.errors import JobFailed
from support.deployments import lay_out
from support.server_variables import globally

pytestmark = pytest.mark.engines("galera")
ROWS, MOST = 90, 60
RAISE = """
import sqlalchemy as sa
from ringfence.schema.backfills.declared import Backfill

backfill = Backfill("purchase", set={"amount": sa.text("amount + 1")}, where=sa.true(), batch=80)
"""
ALL_AT_ONCE = """
revision = "c3"
down_revision = "b2"
from alembic import op


def upgrade():
    op.execute("UPDATE customer SET secret = 'first'")
    op.execute("UPDATE purchase SET amount = amount + 1")


def downgrade():
    pass
"""


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.run("alembic", "upgrade", "head")
    shop.database.execute(
        "INSERT INTO customer (id, email, secret, active) VALUES (1, 'a@b', NULL, '1')",
        "INSERT INTO purchase (id, customer_id, amount) VALUES "
        + ", ".join(f"({number}, 1, 0)" for number in range(1, ROWS + 1)),
    )
    return shop


def amounts(shop):
    return [int(amount) for (amount,) in shop.database.execute("SELECT DISTINCT amount FROM purchase")]


def test_a_backfill_names_fewer_rows_and_goes_on_with_them(shop):
    shop.write("migrations/backfills/raise_amounts.py", RAISE)
    deployment, env = shop.load(), shop.database.env()
    with globally(shop.database, wsrep_max_ws_rows=MOST):
        with pytest.raises(JobFailed) as raised:
            run(deployment, "raise_amounts", env)
        text = str(raised.value)
        assert "stopped after 0 rows, which are kept: (1180, 'wsrep_max_ws_rows exceeded')" in text
        assert "80 rows are too many for one transaction of this server: --batch 40, or fewer" in text
        assert "wsrep_max_ws_rows and wsrep_max_ws_size" in text
        assert amounts(shop) == [0]
        progress = run(deployment, "raise_amounts", env, pace=Pace(batch=40))
    assert (progress.seen, progress.changed) == (ROWS, ROWS)
    assert amounts(shop) == [1]


def test_a_revision_names_the_backfill_and_nothing_of_it_stands(shop):
    shop.write("migrations/versions/c3.py", ALL_AT_ONCE)
    with globally(shop.database, wsrep_max_ws_rows=MOST), pytest.raises(JobFailed) as raised:
        shop.migrate()
    text = str(raised.value)
    assert "a migration failed, c3" in text
    assert "UPDATE purchase SET amount = amount + 1" in text
    assert "nothing of it is stored: change rows in a backfill" in text
    assert amounts(shop) == [0]
    assert shop.database.execute("SELECT secret FROM customer") == [(None,)]
    shop.migrate()
    assert amounts(shop) == [1]
    assert shop.database.execute("SELECT secret FROM customer") == [("first",)]


def test_a_revision_that_goes_on_after_it_keeps_nothing(shop):
    going_on = ALL_AT_ONCE.replace(
        '    op.execute("UPDATE purchase SET amount = amount + 1")\n',
        "    try:\n"
        '        op.execute("UPDATE purchase SET amount = amount + 1")\n'
        "    except Exception:\n"
        "        pass\n"
        "    op.execute(\"UPDATE customer SET email = 'alone'\")\n",
    )
    shop.write("migrations/versions/c3.py", going_on)
    with (
        globally(shop.database, wsrep_max_ws_rows=MOST),
        pytest.raises(JobFailed, match=r"failed, c3 \(.*c3.py\): it continues after an error that had ended"),
    ):
        shop.migrate()
    assert shop.database.execute("SELECT email, secret FROM customer") == [("a@b", None)]
    assert shop.database.execute("SELECT version_num FROM alembic_version") == [("b2",)]


def test_a_connection_of_the_admin_takes_nothing_more(shop):
    backend = reach(shop.settings())
    with globally(shop.database, wsrep_max_ws_rows=MOST), backend.engine().connect() as connection:
        connection.exec_driver_sql("UPDATE customer SET secret = 'first'")
        with pytest.raises(sa.exc.OperationalError, match="wsrep_max_ws_rows"):
            connection.exec_driver_sql("UPDATE purchase SET amount = 5")
        with pytest.raises(sa.exc.PendingRollbackError):
            connection.exec_driver_sql("UPDATE customer SET secret = 'alone'")
        connection.rollback()
        connection.exec_driver_sql("UPDATE customer SET secret = 'anew'")
        connection.commit()
    assert amounts(shop) == [0]
    assert shop.database.execute("SELECT secret FROM customer") == [("anew",)]
