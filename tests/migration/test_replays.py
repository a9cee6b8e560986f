"""Everything that reads a pending revision in advance reads one recording of it: upgrade() runs once besides the run."""

import pytest

from ringfence.schema.job.job import migrate
from ringfence.schema.job.plan import plan_job
from support.deployments import lay_out

REVISION = """
revision = "{revision}"
down_revision = "{down}"
from pathlib import Path
import sqlalchemy as sa
from alembic import op


def upgrade():
    with Path(__file__).with_name("calls").open("a") as calls:
        calls.write("{revision}\\n")
    {change}


def downgrade():
    {back}
"""
FAX = 'op.add_column("customer", sa.Column("fax", sa.String(20)))'
BASIS = 'op.create_table("basis", sa.Column("id", sa.Integer, primary_key=True))'


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    return shop


def calls(shop):
    """Return how often each revision's upgrade() ran."""
    found = (shop.root / "migrations/versions/calls").read_text().split()
    return {revision: found.count(revision) for revision in found}


def revisions(shop):
    shop.write(
        "migrations/versions/c3.py",
        REVISION.format(revision="c3", down="b2", change=FAX, back='op.drop_column("customer", "fax")'),
    )
    shop.write(
        "migrations/versions/d4.py",
        REVISION.format(revision="d4", down="c3", change=BASIS, back='op.drop_table("basis")'),
    )


def test_a_job_replays_each_pending_revision_once(shop):
    revisions(shop)
    report = migrate(shop.load(), shop.env())
    assert report.applied == ["c3", "d4"]
    assert report.not_linted is None
    assert calls(shop) == {"c3": 2, "d4": 2}, "one replay for guard, lint and access, and the run itself"


def test_a_plan_replays_each_pending_revision_once(shop):
    revisions(shop)
    plan = plan_job(shop.load(), shop.env())
    assert [chapter.revision for chapter in plan.revisions] == ["c3", "d4"]
    assert not plan.rehearsed
    assert calls(shop) == {"c3": 1, "d4": 1}


@pytest.mark.engines("sqlite", "postgresql")
def test_a_plan_of_an_empty_database_adds_one_rehearsal(db, tmp_path):
    shop = lay_out(tmp_path, db)
    revisions(shop)
    assert plan_job(shop.load(), shop.env()).rehearsed
    assert calls(shop) == {"c3": 2, "d4": 2}
