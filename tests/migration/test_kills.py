"""The job is killed, ended and cut off at each of its statements, on every engine; the next one finishes the work."""

import pytest

from ringfence.schema.engines import reach
from ringfence.schema.engines.galera import server
from ringfence.schema.job.job import Report, upgrade
from support.deployments import lay_out
from support.killed_jobs import HOWS, run_dying

THIRD = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op


def upgrade():
    tally = op.create_table("tally", sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer))
    op.bulk_insert(tally, [{"id": 1, "n": 0}])
    op.execute("UPDATE tally SET n = n + 1")
    with op.batch_alter_table("customer") as batch:
        batch.add_column(sa.Column("nick", sa.String(20)))
    op.create_index("ix_purchase_amount", "purchase", ["amount"])
    op.get_bind().execute(tally.update().values(n=tally.c.n + 10))
    with op.batch_alter_table("customer") as batch:
        batch.alter_column("nick", existing_type=sa.String(20), type_=sa.String(40))
        batch.drop_column("secret")
    op.rename_table("tally", "score")


def downgrade():
    raise NotImplementedError
"""


@pytest.fixture
def shop(db, tmp_path):
    """The shop at b2 with rows, and a revision to run that does a bit of everything."""
    shop = lay_out(tmp_path, db)
    shop.migrate()
    shop.database.execute(
        "INSERT INTO customer (id, email, secret, active) VALUES (1, 'a@b', 'x', '1')",
        "INSERT INTO purchase (id, customer_id, amount) VALUES (1, 1, 5)",
    )
    shop.write("migrations/versions/c3.py", THIRD)
    models = (shop.root / "shop_models.py").read_text()
    secret = '    secret: Mapped[str | None] = mapped_column(sa.String(100), info={"sensitive": True})\n'
    nick = "    nick: Mapped[str | None] = mapped_column(sa.String(40))\n"
    amount = "    amount: Mapped[int]\n"
    models = models.replace(secret, nick).replace(
        amount, "    amount: Mapped[int] = mapped_column(index=True)\n"
    )
    score = (
        '\n\nclass Score(Base):\n    __tablename__ = "score"\n'
        "    id: Mapped[int] = mapped_column(primary_key=True)\n    n: Mapped[int | None]\n"
    )
    shop.write("shop_models.py", models + score)
    access = (shop.root / "access.yaml").read_text().replace(", also: [secret]", "")
    shop.write("access.yaml", access.replace("door:\n    tables:", "door:\n    tables:\n      score: rw"))
    return shop


def standing(shop, backend):
    """How far the database is, in what a later job goes on from."""
    looks = (
        "SELECT version_num FROM alembic_version",
        "SELECT revision, position, fingerprint, state FROM ringfence_journal",
        "SELECT login, state FROM ringfence_account",
    )
    with backend.engine().connect() as connection:
        rows = [set(connection.exec_driver_sql(look).all()) for look in looks]
        return rows, {column for column in backend.introspection.columns(connection) if column[0] is None}


def die_everywhere(shop, work):
    """Run it again and again, each run dying a statement later than what stands by then; returns how many died."""
    backend = reach(shop.settings())
    at, died = 1, 0
    before = standing(shop, backend)
    while True:
        how = HOWS[died % len(HOWS)]
        end = run_dying(work, at, how, "after" if at % 2 else "before")
        if end.whole:
            return died
        assert end.died, (at, how, end.failed)
        died += 1
        assert died < 150
        now = standing(shop, backend)
        # The line of the journal that comes first is part of the transaction that the statement after it begins.
        at = 2 if now != before else at + 1
        before = now


@pytest.fixture
def soon_stale(monkeypatch):
    """Let a lease that nobody renews be taken over at once."""
    monkeypatch.setattr(server, "STALE_SECONDS", 0.3)
    monkeypatch.setattr(server, "RENEW_SECONDS", 0.1)


@pytest.mark.usefixtures("soon_stale")
def test_a_migration_that_dies_at_any_statement_is_finished_by_the_next(shop):
    deployment, backend = shop.load(), reach(shop.settings())

    def work():
        with backend.locks.hold(patience=30, on_message=print) as lock:
            upgrade(deployment, backend, lock, Report(), print)

    assert die_everywhere(shop, work) > 10
    assert shop.migrate().applied == []
    read = shop.database.execute
    assert read("SELECT id, n FROM score") == [(1, 11)]
    assert read("SELECT id, email, nick FROM customer") == [(1, "a@b", None)]
    assert read("SELECT id, customer_id, amount FROM purchase") == [(1, 1, 5)]
    assert read("SELECT * FROM ringfence_journal") == []
    assert read("SELECT revision FROM ringfence_release ORDER BY seq") == [("a1",), ("b2",), ("c3",)]
    quote = "`" if shop.database.server.db_type == "mysql" else '"'
    assert read(f"SELECT {quote}column{quote} FROM ringfence_retired") == [("secret",)]
    assert "No new upgrade operations" in shop.run("alembic", "check").stdout
