"""A revision that commits as it goes is resumed by its journal, or a person is asked."""

import pytest

from ringfence.schema.errors import BadDeployment, DecisionNeeded, JobFailed
from ringfence.schema.job.job import migrate
from support.deployments import lay_out
from support.killed_jobs import run_dying

HEAD = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op

"""
BODY = """

def upgrade():
    op.create_table("tally", sa.Column("id", sa.Integer, primary_key=True))
    op.execute("INSERT INTO tally VALUES (1)")
    op.execute("{third}")
    op.execute("INSERT INTO tally VALUES (3)")


def downgrade():
    op.drop_table("tally")
"""
RAW = "CREATE VIEW seen AS SELECT id FROM tally"
commits = pytest.mark.engines("mariadb", "mysql", "galera")


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    return shop


def third(shop, statement, more=""):
    shop.write("migrations/versions/c3.py", HEAD + more + BODY.format(third=statement))


def tally(shop):
    return [row[0] for row in shop.database.execute("SELECT id FROM tally ORDER BY id")]


@pytest.fixture
def stopped(shop):
    """The shop with a revision that failed at its third statement."""
    third(shop, "CREATE INDEX ix ON nowhere (id)")
    with pytest.raises(JobFailed, match="CREATE INDEX ix ON nowhere"):
        shop.migrate()
    return shop


def edit(shop, *pairs):
    path = shop.root / "migrations/versions/c3.py"
    for old, new in pairs:
        path.write_text(path.read_text().replace(old, new))


@commits
def test_what_was_done_is_kept_when_a_statement_fails_and_the_mended_rest_runs(stopped):
    told = stopped.run("alembic", "downgrade", "-1").stderr
    assert "revision c3 is half-finished: its upgrade stopped after statement 3 (c3.py:11, failed)" in told
    edit(stopped, ("nowhere", "tally"))
    assert stopped.migrate().applied == ["c3"]
    assert tally(stopped) == [1, 3]


@commits
def test_a_revision_that_was_edited_behind_the_journal_stops_the_job(stopped):
    edit(stopped, ("VALUES (1)", "VALUES (7)"), ("nowhere", "tally"))
    with pytest.raises(
        DecisionNeeded, match=r"(?s)c3 was edited .* statement 2 .*VALUES \(1\) \(c3.py:10\).*VALUES \(7\)"
    ):
        stopped.migrate()
    stopped.database.execute("UPDATE tally SET id = 7", "CREATE INDEX ix ON tally (id)")
    assert stopped.migrate(resolve="done").applied == ["c3"]
    assert tally(stopped) == [3, 7]


@commits
def test_a_person_may_say_that_all_of_an_edited_revision_was_taken_back(stopped):
    edit(stopped, ("VALUES (1)", "VALUES (7)"), ("nowhere", "tally"))
    stopped.database.execute("DROP TABLE tally")
    assert stopped.migrate(resolve="again").applied == ["c3"]
    assert tally(stopped) == [3, 7]


@commits
@pytest.mark.every_case
@pytest.mark.parametrize("resolve", ["done", "again"])
def test_raw_sql_of_unknown_outcome_needs_a_decision(shop, resolve):
    third(shop, RAW)
    # The fifth: after two for the table, one for the row, and the one that says that the view is begun.
    assert run_dying(shop.migrate, 5, "kill", "before", only="ringfence_journal").died
    if resolve == "again":
        shop.database.execute("DROP VIEW seen")
    with pytest.raises(
        DecisionNeeded, match=r"(?s)c3.py:11.*CREATE VIEW seen.*--resolve done .*--resolve again"
    ):
        shop.migrate()
    assert shop.run("alembic", "-x", f"resolve={resolve}", "upgrade", "head").returncode == 0
    assert shop.database.execute("SELECT id FROM seen ORDER BY id") in ([(1,), (3,)], ((1,), (3,)))
    assert shop.database.execute("SELECT * FROM ringfence_journal") == []
    with pytest.raises(JobFailed, match="there is nothing to decide"):
        shop.migrate(resolve=resolve)


@pytest.mark.engines("postgresql")
def test_an_index_that_was_left_invalid_is_recreated(shop):
    shop.write(
        "migrations/versions/c3.py",
        HEAD
        + """
def upgrade():
    op.create_table("tally", sa.Column("id", sa.Integer, primary_key=True))
    op.execute("INSERT INTO tally VALUES (1)")
    with op.get_context().autocommit_block():
        op.create_index("uq_purchase_amount", "purchase", ["amount"], unique=True, postgresql_concurrently=True)
    op.execute("INSERT INTO tally VALUES (3)")
""",
    )
    shop.database.execute(
        "INSERT INTO customer (id, email, active) VALUES (1, 'a@b', '1')",
        "INSERT INTO purchase (id, customer_id, amount) VALUES (1, 1, 5), (2, 1, 5)",
    )
    for _ in range(2):
        with pytest.raises(JobFailed, match="could not create unique index"):
            shop.migrate()
    shop.database.execute("DELETE FROM purchase WHERE id = 2")
    assert shop.migrate().applied == ["c3"]
    assert tally(shop) == [1, 3]
    assert shop.database.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


# On Galera DDL does not wait: it ends the transactions in its way.
@pytest.mark.engines("postgresql", "mariadb", "mysql")
def test_a_lock_that_is_held_is_tried_for_again_and_again_and_the_application_is_let_pass(shop):
    third(shop, "ALTER TABLE purchase ADD note INTEGER", 'lock_timeout = "1s"\nlock_tries = 20\n')
    said, holder = [], shop.database.connect()
    cursor = holder.cursor()
    cursor.execute("BEGIN")
    cursor.execute("SELECT * FROM purchase")

    def say(text):
        said.append(text)
        if "did not get a lock" in text:
            cursor.execute("ROLLBACK")

    try:
        assert shop.migrate(on_message=say).applied == ["c3"]
    finally:
        holder.close()
    assert any("did not get a lock within 1 s (try 1 of 20)" in text for text in said)
    assert tally(shop) == [1, 3]


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize("line", ['lock_timeout = "soon"', "lock_tries = 0", "lock_timeout = -1"])
def test_an_invalid_patience_is_reported_before_anything_runs(shop, line):
    third(shop, "INSERT INTO tally VALUES (2)", line + "\n")
    with pytest.raises(BadDeployment, match=rf"c3.py:6: {line.split()[0]} = .* is not a"):
        shop.migrate()


def test_tables_without_a_recorded_revision_are_reported(shop):
    shop.database.execute("DELETE FROM alembic_version", "DELETE FROM ringfence_release")
    with pytest.raises(JobFailed, match=r"\(customer, purchase\).*alembic stamp head"):
        migrate(shop.load(), shop.env())
    assert shop.run("alembic", "stamp", "head").returncode == 0
    assert shop.migrate().applied == []
