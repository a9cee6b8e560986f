"""`ringfence lint` as a person calls it: the reference deployment, a new one, and a database that waits for revisions."""

import json
import shutil

import pytest
from alembic.script import ScriptDirectory

from ringfence.schema.authoring.scaffold import create_deployment
from ringfence.schema.deployment import Deployment
from ringfence.schema.lint import lint
from ringfence.schema.revisions.selection import pending
from servers.base import clean_environment
from support import forked_commands
from support.deployments import lay_out as lay_out_shop
from support.repository import ROOT

THIRD = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op


def upgrade():
    with op.batch_alter_table("customer") as batch:
        batch.drop_column("active")
    with op.batch_alter_table("purchase") as batch:
        batch.add_column(sa.Column("note", sa.String(20), nullable=False, server_default=""))


def downgrade():
    with op.batch_alter_table("purchase") as batch:
        batch.drop_column("note")
    with op.batch_alter_table("customer") as batch:
        batch.add_column(sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()))
"""


@pytest.fixture
def shop(db, tmp_path):
    return lay_out_shop(tmp_path, db)


def ringfence(folder, *arguments, **env):
    return forked_commands.run(("ringfence", *arguments), folder, clean_environment() | env)


def test_the_history_of_the_reference_deployment_passes():
    assert not lint(Deployment.load(ROOT / "services"))


@pytest.mark.parametrize(
    "named", [{}, {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}], ids=["none", "unreachable"]
)
def test_an_empty_revision_needs_no_database(tmp_path, named):
    made = create_deployment(tmp_path, "club", ["postgresql"])
    done = ringfence(made.root, "revision", "-m", "by hand", "--empty", "--json", **named)
    assert done.returncode == 0, done.stderr
    written = json.loads(done.stdout)
    assert (made.root / written["path"]).is_file()
    assert len(list((made.root / "migrations" / "versions").glob("*.py"))) == 2
    scripts = ScriptDirectory(made.root / "migrations")
    assert scripts.get_current_head() == written["revision"]
    assert scripts.get_revision(written["revision"]).down_revision == scripts.get_base()


def test_a_new_deployment_passes_and_so_does_an_empty_revision(tmp_path):
    made = create_deployment(tmp_path, "club", ["postgresql", "galera", "mysql"])
    assert ringfence(made.root, "revision", "-m", "nothing yet", "--empty").returncode == 0
    done = ringfence(made.root, "lint", "--strict")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 revisions checked: 0 errors, 0 warnings" in done.stdout


@pytest.mark.engines("sqlite", "postgresql")
def test_only_what_the_database_lacks_is_looked_at(shop):
    deployment = shop.load()
    assert pending(deployment, shop.env()) == {"a1", "b2"}
    shop.migrate()
    assert pending(deployment, shop.env()) == frozenset()
    assert shop.run("ringfence", "lint", "--strict").returncode == 0
    shop.write("migrations/versions/c3.py", THIRD)
    done = shop.run("ringfence", "lint", "--json")
    assert done.returncode == 2, done.stdout + done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["kind"] == "UnsafeRevisions"
    assert "1 revision checked" in error["message"]
    said = {(found["rule"], found["message"]) for found in error["findings"]}
    assert ("RF304", "column customer.active is dropped, and still read by report") in said
    assert ("RF304", "column customer.active is dropped, and still read and written by till") in said
    report = shop.load().accounts["report"].grants[0].origin
    assert (
        "RF305",
        f"column customer.active is dropped, and report is granted select on it ({report})",
    ) in said
    assert {rule for rule, _ in said} == {"RF102", "RF304", "RF305"}
    changed = shop.database.execute("SELECT version_num FROM alembic_version")
    assert [tuple(row) for row in changed] == [("b2",)]


@pytest.mark.engines("sqlite")
def test_a_missing_file_is_not_created(shop, tmp_path):
    nowhere = tmp_path / "nowhere.sqlite"
    env = {"DB_TYPE": "sqlite", "DB_NAME": str(nowhere)}
    assert pending(shop.load(), env) == {"a1", "b2"}
    assert not nowhere.exists()


@pytest.mark.engines("sqlite")
def test_a_database_of_other_migrations_is_reported(shop):
    shop.migrate()
    shop.database.execute("UPDATE alembic_version SET version_num = 'elsewhere'")
    done = shop.run("ringfence", "lint")
    assert done.returncode == 3
    assert "elsewhere" in done.stderr


@pytest.mark.engines("sqlite")
def test_a_database_that_does_not_answer(shop):
    shop.load()
    done = ringfence(
        shop.root,
        "lint",
        DB_TYPE="postgresql",
        DB_HOST="127.0.0.1",
        DB_PORT="1",
        DB_NAME="x",
        DB_USER="x",
        DB_MAX_RETRIES="0",
    )
    assert done.returncode == 4, done.stderr


@pytest.fixture
def services(tmp_path):
    """A copy of the reference deployment with one more revision."""
    root = tmp_path / "services"
    shutil.copytree(ROOT / "services", root, ignore=shutil.ignore_patterns("__pycache__"))
    text = THIRD.replace('"b2"', repr(_head(root))).replace("customer", "auth_user")
    (root / "migrations/versions/c3.py").write_text(text.replace("purchase", "events"))
    return root


def _head(root):
    done = ringfence(root, "lint", "--json")
    assert done.returncode == 0, done.stdout
    return ScriptDirectory(str(root / "migrations")).get_current_head()


def test_the_services_that_read_a_column_are_named(services):
    done = ringfence(services, "lint")
    assert done.returncode == 2
    assert "column auth_user.active is dropped, and still read by analytics" in done.stdout
    assert "column auth_user.active is dropped, and still read and written by backend-api" in done.stdout
    assert "analytics is granted select on it (access.yaml:" in done.stdout
    assert "migrations/versions/c3.py:10: error RF102:" in done.stdout
    assert "errors" in done.stderr


def test_a_range_needs_no_database_and_names_its_ends(services):
    head = _head_of_c3(services)
    done = ringfence(services, "lint", "--range", f":{head}", "--strict")
    assert done.returncode == 0, done.stdout
    assert ringfence(services, "lint", "--range", f"{head}:head").returncode == 2
    assert ringfence(services, "lint", "--range", "x:y").returncode == 3
    assert ringfence(services, "lint", "--range", "x").returncode == 3
    assert ringfence(services, "lint", "--range", "a:b", "--all").returncode == 3


def _head_of_c3(root):
    return ScriptDirectory(str(root / "migrations")).get_revision("c3").down_revision


def test_annotations_for_github_name_the_file_from_where_one_stands(services):
    done = ringfence(services.parent, "-C", "services", "lint", "--github")
    assert done.returncode == 2
    lines = [line for line in done.stdout.splitlines() if line.startswith("::")]
    assert all(
        line.startswith("::error file=services/migrations/versions/c3.py,line=10,title=RF") for line in lines
    )
    assert any("title=RF102::column auth_user.active is dropped" in line for line in lines)
    assert "%0A" in lines[0]


def test_reasons_make_it_pass(services):
    path = services / "migrations/versions/c3.py"
    line = '        batch.drop_column("active")'
    reason = "        # ringfence: allow RF102, RF304, RF305 because this is but a copy\n"
    path.write_text(path.read_text().replace(line, reason + line, 1))
    done = ringfence(services, "lint", "--strict")
    assert done.returncode == 0, done.stdout


def test_warnings_fail_when_they_are_asked_to(services):
    path = services / "migrations/versions/c3.py"
    before, _, _ = path.read_text().partition("def upgrade")
    path.write_text(
        before
        + "def upgrade():\n    op.execute('CREATE EXTENSION citext')\n\n\ndef downgrade():\n    op.execute('SELECT 1')\n"
    )
    assert ringfence(services, "lint").returncode == 0
    done = ringfence(services, "lint", "--json")
    assert [found["severity"] for found in json.loads(done.stdout)["findings"]] == ["warning"]
    assert ringfence(services, "lint", "--strict").returncode == 2


def test_a_revision_added_by_autogenerate_is_looked_at_with_its_new_column(tmp_path):
    """What `ringfence revision` writes for a column that may be NULL, and for a new table with an index, passes."""
    made = create_deployment(tmp_path, "club", ["postgresql", "galera", "sqlite"])
    models = next(path for path in made.root.glob("club_models/*.py") if "class" in path.read_text())
    models.write_text(
        models.read_text()
        + "\n\nimport sqlalchemy as sa\nfrom sqlalchemy.orm import Mapped, mapped_column\n\n\nclass Visit(Base):\n"
        + '    __tablename__ = "visit"\n'
        + "    id: Mapped[int] = mapped_column(primary_key=True)\n"
        + "    place: Mapped[str] = mapped_column(sa.String(40), index=True)\n"
    )
    done = ringfence(made.root, "revision", "-m", "visits")
    assert done.returncode == 0, done.stderr
    done = ringfence(made.root, "lint", "--strict")
    assert done.returncode == 0, done.stdout
