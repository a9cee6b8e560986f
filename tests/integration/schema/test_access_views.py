"""Views and functions that a manifest names: used as the account, and nothing beneath them."""

import pytest

from ringfence.runtime import AccessDenied, Database
from ringfence.schema.authoring.revise import revise
from ringfence.schema.errors import JobFailed
from ringfence.schema.mirror import write_mirrors
from ringfence.schema.privileges.service import apply_access, plan_access
from ringfence.schema.verification.verify import verify
from support.deployments import ACCESS, MODELS, TOML, lay_out

VIEW = """

sa.Table(
    "active_customer",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("email", sa.String(100)),
    info={"view": True UPDATABLE},
)
"""
MADE = """
revision = "c3"
down_revision = "b2"
from alembic import op


def upgrade():
    op.execute("CREATE VIEW active_customer AS SELECT id, email FROM customer WHERE active")


def downgrade():
    op.execute("DROP VIEW active_customer")
"""
SEES = ACCESS + "  window:\n    views: {active_customer: ro}\n"


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.write("shop_models.py", MODELS + VIEW.replace(" UPDATABLE", ""))
    shop.write("migrations/versions/c3.py", MADE)
    shop.write("access.yaml", SEES)
    shop.migrate()
    return shop


def enter(shop, service):
    env = shop.database.env(shop.login(service), shop.password(service))
    return Database.from_env(shop.root / "mirrors" / f"{service}.json", env)


def test_a_view_is_read_and_what_is_beneath_it_is_not(shop):
    with enter(shop, "till") as till, till.session() as dal:
        dal.customer.insert(email="a@b", active=True)
        dal.customer.insert(email="c@d", active=False)
    with enter(shop, "window") as window:
        with window.session() as dal:
            assert [row.email for row in dal(dal.active_customer).select()] == ["a@b"]
        for sql in ("SELECT secret FROM customer", "DELETE FROM active_customer"):
            with pytest.raises(AccessDenied), window.session() as dal:
                dal.executesql(sql)
    proof = verify(shop.load(), shop.settings(), shop.passwords())
    assert proof.findings == []
    assert shop.migrate().access.statements == []
    made = shop.run("alembic", "check")
    assert made.returncode == 0, made.stdout + made.stderr


@pytest.mark.requires("accounts")
def test_an_updatable_view_takes_writes_and_a_function_is_executed(shop):
    postgresql = shop.database.server.db_type == "postgresql"
    shop.write("ringfence.toml", TOML.replace(', "sqlite"', ""))
    shop.write("shop_models.py", MODELS + VIEW.replace("UPDATABLE", ', "updatable": True'))
    access = SEES.replace("active_customer: ro", "active_customer: [select, update]")
    shop.write("access.yaml", access + "    functions: ['twice(integer)']\n")
    write_mirrors(shop.load())
    with pytest.raises(JobFailed, match=r"access.yaml:\d+: the database has no (function|routine) twice"):
        apply_access(shop.load(), shop.env())
    shop.database.execute(
        "CREATE FUNCTION twice(number integer) RETURNS integer LANGUAGE sql SECURITY DEFINER AS 'SELECT 2 * number'"
        if postgresql
        else "CREATE FUNCTION twice(number INTEGER) RETURNS INTEGER DETERMINISTIC RETURN 2 * number"
    )
    done = apply_access(shop.load(), shop.env())
    assert any("EXECUTE" in sql and "twice" in sql for sql in done.statements)
    with enter(shop, "window") as window, window.session() as dal:
        assert dal.executesql("SELECT twice(21)")[0][0] == 42
        dal(dal.active_customer.id == 0).update(email="x")
    with enter(shop, "report") as report, pytest.raises(AccessDenied), report.session() as dal:
        dal.executesql("SELECT twice(21)")
    assert verify(shop.load(), shop.settings(), shop.passwords()).findings == []
    left = plan_access(shop.load(), shop.env())
    assert left.agrees, left.sql()
    told = " ".join(left.notes)
    assert "active_customer" in told
    assert "twice" in told
    shop.write("access.yaml", access)
    assert any("EXECUTE" in sql for sql in apply_access(shop.load(), shop.env()).statements)
    assert plan_access(shop.load(), shop.env()).agrees


def test_a_view_that_no_migration_creates_is_reported(shop):
    shop.write("shop_models.py", MODELS + VIEW.replace(" UPDATABLE", "") * 2)
    models = (shop.root / "shop_models.py").read_text()
    first, _, second = models.rpartition("active_customer")
    shop.write("shop_models.py", f"{first}forgotten{second}")
    told = "no migration makes the view forgotten of the models"
    report = shop.migrate()
    assert sum(told in warning for warning in report.warnings) == 1, report.warnings
    assert report.applied == []
    made = revise(shop.load(), "nothing new", shop.env())
    assert (made.paths, [told in warning for warning in made.warnings]) == ((), [True])


@pytest.mark.engines("sqlite")
def test_bootstrap_and_revision_say_so(shop):
    (shop.root / "migrations/versions/c3.py").write_text(MADE.replace("op.execute", "str"))
    fresh = {"DB_NAME": str(shop.root / "fresh.sqlite")}
    told = "warning: no migration makes the view active_customer of the models"
    for words in (("bootstrap",), ("revision", "-m", "nothing")):
        done = shop.run("ringfence", *words, **fresh)
        assert done.returncode == 0, done.stderr
        assert told in " ".join((done.stdout + done.stderr).split()), done
