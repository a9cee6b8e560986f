"""`--force` covers the guard of contract revisions and the lint rules about mirrors; each override is recorded."""

import json
import shutil

import pytest

from ringfence.schema.authoring.revise import revise
from ringfence.schema.autogenerate.renames import Renames
from ringfence.schema.job.contract_guard import Refused
from ringfence.schema.job.job import MigrateOptions, migrate
from ringfence.schema.lint import UnsafeRevisions
from support.deployments import lay_out

REASON = "the tills were all restarted at noon"
OVERRIDES = "SELECT revision, rule, finding, reason, forced_by FROM ringfence_override ORDER BY id"
SECRET = '    secret: Mapped[str | None] = mapped_column(sa.String(100), info={"sensitive": True})\n'
CONTRACT = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op

tightens = {"customer": ["secret"]}


def upgrade():
    CHANGE


def downgrade():
    pass
"""
NOT_NULL = 'op.add_column("customer", sa.Column("must", sa.Integer, nullable=False))'


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    return shop


def test_force_does_not_cover_a_lint_error_outside_the_contract(shop):
    shop.write("migrations/versions/c3.py", CONTRACT.replace("CHANGE", NOT_NULL))
    before = shop.database.execute("SELECT * FROM ringfence_release ORDER BY seq")
    with pytest.raises(UnsafeRevisions, match=r"(?s)--force` does not cover, and nothing was changed.*RF301"):
        migrate(shop.load(), shop.env(), MigrateOptions(force=REASON))
    done = shop.run("ringfence", "migrate", "--force", REASON)
    assert done.returncode == 2
    assert "RF301" in done.stderr
    assert shop.database.execute("SELECT version_num FROM alembic_version") == [("b2",)]
    assert shop.database.execute("SELECT * FROM ringfence_release ORDER BY seq") == before
    assert shop.database.execute(OVERRIDES) == []
    with pytest.raises(Exception, match="must"):
        shop.database.execute("SELECT must FROM customer")


def test_force_runs_a_refused_contract_and_its_record_can_be_read(shop):
    shop.write("migrations/versions/c3.py", CONTRACT.replace("CHANGE", "pass"))
    with pytest.raises(Refused, match=r"c3 makes customer\.secret NOT NULL"):
        migrate(shop.load(), shop.env())
    assert shop.database.execute(OVERRIDES) == []
    done = shop.run("ringfence", "migrate", "--force", REASON, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    (shown,) = json.loads(done.stdout)["overrides"]
    (row,) = shop.database.execute(OVERRIDES)
    assert tuple(row[:4]) == tuple(shown[name] for name in ("revision", "rule", "finding", "reason"))
    assert tuple(row[:2]) == ("c3", "contract")
    assert "which may be written as NULL, by till as mirrors/till.json says" in row[2]
    assert row[3] == REASON
    assert "@" in row[4]
    assert shop.run("ringfence", "migrate", "--force", REASON).returncode == 0
    assert len(shop.database.execute(OVERRIDES)) == 1, "a job that overrides nothing records nothing"


def test_force_covers_the_lint_rules_about_mirrors_of_running_services(shop):
    old = shop.root / "old"
    shutil.copytree(shop.root / "mirrors", old)
    models = (shop.root / "shop_models.py").read_text()
    shop.write("shop_models.py", models.replace(SECRET, ""))
    shop.write("access.yaml", (shop.root / "access.yaml").read_text().replace(", also: [secret]", ""))
    made = revise(shop.load(), "no secret", {"DB_TYPE": ""}, renames=Renames.from_options((), ("all",)))
    with pytest.raises(UnsafeRevisions, match="RF304"):
        migrate(shop.load(), shop.env(), MigrateOptions(mirrors=(old,)))
    report = migrate(shop.load(), shop.env(), MigrateOptions(mirrors=(old,), force=REASON))
    assert report.applied == list(made.revisions)
    recorded = [tuple(row[:4]) for row in shop.database.execute(OVERRIDES)]
    assert recorded == [(one.revision, one.rule, one.finding, one.reason) for one in report.overrides]
    assert {rule for _, rule, *_ in recorded} == {"RF304"}
    assert {revision for revision, *_ in recorded} == {made.revisions[-1]}
    assert "still read and written by till" in recorded[0][2]
