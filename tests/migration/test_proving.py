"""The proof of the steps: on the reference deployment, on one that loses something, and as a pytest plugin."""

import os
import subprocess
import sys
from urllib.parse import quote

import pytest

from ringfence.schema.authoring.scaffold import create_deployment as lay_out_new
from ringfence.schema.deployment import Deployment
from ringfence.schema.sampling.emptying import NotEmpty
from ringfence.schema.testing.migrations import prove
from ringfence.schema.testing.services import mirrors_in
from servers.base import clean_environment
from servers.capabilities import engines_with
from support.deployments import lay_out
from support.repository import ROOT

BEFORE = ROOT / "tests/migration/mirrors_before"


@pytest.mark.engines("sqlite", "postgresql", "mariadb")
def test_the_reference_deployment(db):
    """With the jukebox as it was deployed before one of its columns was renamed."""
    proof = prove(Deployment.load(ROOT / "services"), db.env(), mirrors=mirrors_in(BEFORE))
    assert not proof.failures
    assert not proof.empty
    assert len(proof.revisions) >= 5
    assert proof.services >= 2  # after the revision that followed its own, and after the expand


LOSES = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op


def upgrade():
    op.execute("DELETE FROM purchase WHERE amount > 0")
    with op.batch_alter_table("purchase") as batch:
        batch.add_column(sa.Column("note", sa.String(20), nullable=False, server_default=""))
    with op.batch_alter_table("customer") as batch:
        batch.add_column(sa.Column("code", sa.String(20)))


def downgrade():
    with op.batch_alter_table("purchase") as batch:
        batch.drop_column("note")
"""


@pytest.mark.engines("sqlite", "postgresql")
def test_lost_data_is_reported(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.write("migrations/versions/c3.py", LOSES)
    failures = prove(shop.load(), db.env()).failures
    assert any("upgrade to c3: purchase had 5 rows, and has 0" in told for told in failures)
    assert any(
        "downgrade of c3 leaves another schema: column customer.code: absent" in told for told in failures
    )
    db.execute("CREATE TABLE precious (id INTEGER PRIMARY KEY)")
    with pytest.raises(NotEmpty, match="holds precious"):
        prove(shop.load(), db.env())
    assert db.execute("SELECT * FROM precious") == []


BRANCH = """
revision = "{name}"
down_revision = {below!r}
import sqlalchemy as sa
from alembic import op


def upgrade():
    with op.batch_alter_table("{table}") as batch:
        batch.add_column(sa.Column("{name}", sa.String(20), nullable=False, server_default="x"))
        batch.create_index("ix_{name}", ["{name}"])


def downgrade():
    with op.batch_alter_table("{table}") as batch:
        batch.drop_index("ix_{name}")
        batch.drop_column("{name}")
"""
MERGE = """
revision = "m9"
down_revision = ("one", "three")


def upgrade():
    pass


def downgrade():
    pass
"""


@pytest.mark.engines("sqlite", "postgresql", "mariadb")
def test_branches_that_were_merged_are_proven_whole(db, tmp_path):
    shop = lay_out(tmp_path, db)
    for name, below, table in (
        ("one", "b2", "customer"),
        ("two", "b2", "purchase"),
        ("three", "two", "customer"),
    ):
        shop.write(f"migrations/versions/{name}.py", BRANCH.format(name=name, below=below, table=table))
    shop.write("migrations/versions/m9.py", MERGE)
    shop.write("migrations/versions/last.py", BRANCH.format(name="last", below="m9", table="purchase"))
    columns = {"customer": ("one", "three"), "purchase": ("two", "last")}
    text = (shop.root / "shop_models.py").read_text()
    for table, names in columns.items():
        said = "".join(
            f'    {name}: Mapped[str] = mapped_column(sa.String(20), server_default="x", index=True)\n'
            for name in names
        )
        text = text.replace(f'__tablename__ = "{table}"\n', f'__tablename__ = "{table}"\n{said}')
    text = text.replace(
        "naming_convention=NAMING", 'naming_convention=NAMING | {"ix": "ix_%(column_0_name)s"}'
    )
    (shop.root / "shop_models.py").write_text(text)
    proof = prove(shop.load(), db.env())
    assert not proof.failures
    assert not proof.irreversible
    assert sorted(proof.revisions) == ["a1", "b2", "last", "m9", "one", "three", "two"]

    lost = (shop.root / "migrations/versions/three.py").read_text().replace("batch.drop_column", "str")
    (shop.root / "migrations/versions/three.py").write_text(lost)
    assert any(
        "downgrade of three leaves another schema: column customer.three" in told
        for told in prove(shop.load(), db.env()).failures
    )


VIEWS = """
revision = "c3"
down_revision = "b2"
from alembic import op


def upgrade():
    op.execute("CREATE VIEW active_customer AS SELECT id, email FROM customer WHERE active = true")
    op.execute("CREATE VIEW a_count AS SELECT count(*) AS number FROM active_customer")


def downgrade():
    op.execute("DROP VIEW a_count")
    op.execute("DROP VIEW active_customer")
"""


@pytest.mark.engines("sqlite", "postgresql", "mariadb")
def test_views_of_the_models_are_no_tables_and_go_with_the_rest(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.write("migrations/versions/c3.py", VIEWS)
    models = (shop.root / "shop_models.py").read_text()
    view = 'sa.Table("active_customer", metadata, sa.Column("id", sa.Integer), info={"view": True})'
    shop.write("shop_models.py", f"{models}\n\n{view}\n")
    for _ in range(2):
        proof = prove(shop.load(), db.env())
        assert not proof.failures
        assert "c3" in proof.revisions


APART = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op


def upgrade():
    op.create_table(
        "thing",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("note", sa.String(20), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_thing"),
        schema="apart",
    )
    op.execute("CREATE VIEW apart.things AS SELECT id FROM apart.thing")


def downgrade():
    op.execute("DROP VIEW apart.things")
    op.drop_table("thing", schema="apart")
"""
AFTER = """
revision = "d4"
down_revision = "c3"
retires = {"apart.thing": ["note"]}
import sqlalchemy as sa
from alembic import op


def upgrade():
    op.drop_column("thing", "note", schema="apart")


def downgrade():
    op.add_column("thing", sa.Column("note", sa.String(20)), schema="apart")
"""
EMPTIES = """
revision = "d4"
down_revision = "c3"
from alembic import op


def upgrade():
    op.execute("DELETE FROM apart.thing WHERE id > 1")


def downgrade():
    pass
"""


@pytest.mark.engines("postgresql")
def test_tables_of_other_schemas_are_counted_compared_and_dropped_too(db, tmp_path):
    shop = lay_out(tmp_path, db)
    models = (shop.root / "shop_models.py").read_text()
    thing = 'sa.Table("thing", metadata, sa.Column("id", sa.Integer, primary_key=True), schema="apart")'
    shop.write("shop_models.py", f"{models}\n\n{thing}\n")
    shop.write("migrations/versions/c3.py", APART)
    db.execute("CREATE SCHEMA apart")
    left = "SELECT relname FROM pg_class WHERE relnamespace = 'apart'::regnamespace"
    shop.write("migrations/versions/d4.py", EMPTIES)
    assert any("upgrade to d4: apart.thing had" in text for text in prove(shop.load(), db.env()).failures)
    assert db.execute(left) == []
    shop.write("migrations/versions/d4.py", AFTER)
    for _ in range(2):
        proof = prove(shop.load(), db.env())
        assert not proof.failures
        assert "d4" in proof.revisions
        assert db.execute(left) == []
    db.execute("CREATE TABLE apart.precious (id INTEGER PRIMARY KEY)")
    with pytest.raises(NotEmpty, match=r"holds apart\.precious"):
        prove(shop.load(), db.env())


ROUTINES = """
revision = "c3"
down_revision = "b2"
from alembic import op


def upgrade():
    language = {"postgresql": "LANGUAGE sql RETURN 1", "mysql": "DETERMINISTIC RETURN 1"}
    name = op.get_context().dialect.name.replace("mariadb", "mysql")
    op.execute(f"CREATE FUNCTION first_of() RETURNS INTEGER {language[name]}")
    op.execute("CREATE VIEW a_one AS SELECT first_of() AS total")


def downgrade():
    op.execute("DROP VIEW a_one")
    op.execute("DROP FUNCTION first_of")
"""


@pytest.mark.engines(*engines_with("accounts"))
def test_routines_go_too_and_those_from_before_stay(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.write("migrations/versions/c3.py", ROUTINES)
    form = (
        "IMMUTABLE LANGUAGE sql AS 'SELECT 2'"
        if "postgresql" in db.server.engine
        else "DETERMINISTIC RETURN 2"
    )
    db.execute(f"CREATE FUNCTION two() RETURNS INTEGER {form}")
    for _ in range(2):
        assert not prove(shop.load(), db.env()).failures
    assert db.execute("SELECT two()")[0][0] == 2
    with pytest.raises(Exception, match=r"(?i)first_of.* (does not exist|not exist)"):
        db.execute("SELECT first_of()")
    db.execute("DROP FUNCTION two")


REBUILDS = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op


def upgrade():
    with op.batch_alter_table("customer") as batch:
        batch.{up}


def downgrade():
    with op.batch_alter_table("customer") as batch:
        batch.{down}
"""


@pytest.mark.engines("sqlite")
def test_a_service_that_a_revision_breaks_and_models_that_differ_are_reported(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    mirrors = mirrors_in(shop.root / "mirrors")
    code = 'add_column(sa.Column("code", sa.String(20){}))'
    shop.write(
        "migrations/versions/c3.py",
        REBUILDS.format(up=code.format(', nullable=False, server_default=""'), down='drop_column("code")'),
    )
    failures = prove(shop.load(), mirrors=mirrors).failures
    assert any("the models and the migrations differ" in told for told in failures)
    assert any("column customer.code:" in told and "absent by create_all" in told for told in failures)

    # A column that services insert without: the revision itself is whole, and the old till fails.
    shop.write(
        "migrations/versions/c3.py",
        REBUILDS.format(
            up='alter_column("active", new_column_name="enabled")',
            down='alter_column("enabled", new_column_name="active")',
        ),
    )
    failures = prove(shop.load(), mirrors=mirrors).failures
    assert any("after c3, till of release b2 cannot insert into customer" in told for told in failures)


@pytest.mark.engines("sqlite")
def test_the_command_and_the_plugin(db, tmp_path):
    made = lay_out_new(tmp_path, "club", ["postgresql", "sqlite"])
    env = clean_environment() | {"PATH": os.environ["PATH"], "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

    def run(*command):
        return subprocess.run(
            [sys.executable, *command], cwd=made.root, env=env, text=True, capture_output=True, check=False
        )

    ringfence = ("-c", "from ringfence.schema.cli import main; main()", "test-migrations")
    done = run(*ringfence)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 revision up, down and up again" in done.stdout
    (made.root / "test_migrations.py").write_text(
        "def test_migrations(ringfence_migrations):\n    assert ringfence_migrations.prove().revisions\n"
    )
    (made.root / "pytest.ini").write_text("[pytest]\n")
    plugin = ("-m", "pytest", "-q", "-p", "ringfence.schema.testing.pytest_plugin", "-p", "no:cacheprovider")
    done = run(*plugin)
    assert done.returncode == 0, done.stdout
    env["RINGFENCE_TEST_URLS"] = f"sqlite:///{quote(str(tmp_path / 'named.sqlite'))}"
    done = run(*plugin)
    assert "2 passed" in done.stdout
    (revision,) = (made.root / "migrations/versions").glob("*.py")
    revision.write_text(revision.read_text().replace("op.drop_table", "str"))
    done = run(*plugin)
    assert done.returncode == 1
    assert "leaves another schema: table notes: absent before it, present after up and down" in done.stdout
    assert run(*ringfence).returncode == 1
