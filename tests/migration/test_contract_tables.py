"""Until the contract that retires a whole table has run, services that run keep it; afterwards nothing of it is left."""

import pytest

from ringfence.runtime import AccessDenied, Database, Mirror, RingfenceError, Settings
from ringfence.schema.authoring.revise import revise
from ringfence.schema.autogenerate.renames import Renames
from ringfence.schema.job.contract_guard import Refused
from ringfence.schema.job.job import MigrateOptions, migrate
from ringfence.schema.mirror import write_mirrors
from ringfence.schema.privileges.service import apply_access, plan_access
from ringfence.schema.verification.verify import verify
from servers.capabilities import engines_with
from support.deployments import lay_out

LEGACY = """

class LegacyLogin(Base):
    __tablename__ = "legacy_login"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[int]
    name: Mapped[str] = mapped_column(sa.String(40), unique=True)
    secret: Mapped[str | None] = mapped_column(sa.String(40), info={"sensitive": True})


class LegacyNote(Base):
    __tablename__ = "legacy_note"
    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    words: Mapped[str] = mapped_column(sa.String(40))
"""
THIRD = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op
from ringfence.schema.models import BigKey


def upgrade():
    op.create_table(
        "legacy_login",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("tenant", sa.Integer, nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("secret", sa.String(40)),
        sa.PrimaryKeyConstraint("id", name="pk_legacy_login"),
        sa.UniqueConstraint("name", name="uq_legacy_login_name"),
    )
    op.create_table(
        "legacy_note",
        sa.Column("id", BigKey, nullable=False),
        sa.Column("words", sa.String(40), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_legacy_note"),
    )
"""
RETIRES = """
revision = "d4"
down_revision = "c3"
from alembic import op

retires = {"legacy_note": None}


def upgrade():
    op.drop_table("legacy_note")
"""
WIDER = """
revision = "c4"
down_revision = "c3"
import sqlalchemy as sa
from alembic import op


def upgrade():
    with op.batch_alter_table("legacy_login") as batch:
        batch.alter_column(
            "tenant", type_=sa.BigInteger(), existing_type=sa.Integer(), existing_nullable=False
        )
"""
APART = """
revision = "c4"
down_revision = "c3"
import sqlalchemy as sa
from alembic import op


def upgrade():
    op.execute("CREATE SCHEMA apart")
    op.create_table(
        "thing", sa.Column("id", sa.Integer, nullable=False), sa.PrimaryKeyConstraint("id"), schema="apart"
    )
"""
APART_GOES = """
revision = "d5"
down_revision = "c4"
from alembic import op

retires = {"apart.thing": None}


def upgrade():
    op.drop_table("thing", schema="apart")


def downgrade():
    raise NotImplementedError  # ringfence: allow RF501 because the rows of apart.thing are dropped
"""
OLD = """
version: 1
defaults: {login: "PREFIX{service}"}
scopes:
  tenant: {type: integer, setting: app.tenant_id}
accounts:
  till:
    tables:
      customer: {verbs: rw, also: [secret]}
      legacy_login: {verbs: rw, rows: {tenant: 1}}
      legacy_note: rw
  portal:
    tables:
      customer: {select: [id, active]}
      legacy_login: {verbs: [select, insert], rows: {tenant: ":tenant"}}
  report:
    tables:
      purchase: ro
      legacy_login: {select: [id, name]}
      legacy_note: {select: [id]}
  gone:
    tables:
      legacy_login: ro
      legacy_note: rw
"""
NEW = """
version: 1
defaults: {login: "PREFIX{service}"}
accounts:
  till:
    tables:
      customer: {verbs: rw, also: [secret]}
  portal:
    tables:
      customer: {select: [id, active]}
  report:
    tables:
      purchase: ro
  newcomer:
    tables:
      purchase: ro
"""


@pytest.fixture
def shop(db, tmp_path):
    """A deployment with two tables that are to go."""
    shop = lay_out(tmp_path, db)
    shop.write("shop_models.py", (shop.root / "shop_models.py").read_text() + LEGACY)
    shop.write("migrations/versions/c3.py", THIRD)
    shop.write("access.yaml", OLD)
    shop.migrate()
    return shop


def retire(shop):
    """Take both tables out of models and manifest, and one account with them; another comes."""
    models = (shop.root / "shop_models.py").read_text()
    shop.write("shop_models.py", models.replace(LEGACY, ""))
    shop.write("access.yaml", NEW)
    return revise(
        shop.load(), "no legacy", {"DB_TYPE": ""}, renames=Renames.from_options((), ("all",))
    ).revisions


def mirrors(shop):
    """The mirrors as they are now, loaded."""
    return {path.stem: Mirror.load(path) for path in (shop.root / "mirrors").glob("*.json")}


def service(shop, mirror):
    """A service with its mirror, as its process would be."""
    env = shop.database.env()
    if shop.database.server.engine in engines_with("accounts"):
        env = shop.database.env(shop.login(mirror.service), shop.password(mirror.service))
    return Database(Settings.from_env(env), mirror)


def refused(database, sql):
    """Whether the server denies a statement."""
    try:
        with database.session() as dal:
            dal.executesql(sql)
    except AccessDenied:
        return True
    return False


def goes_on(shop, old):
    """What each old service could do, it can, and no more."""
    with service(shop, old["till"]) as till, till.session() as dal:
        dal.legacy_login.insert(tenant=1, name="mine")
        assert dal(dal.legacy_login.name == "mine").update(name="still mine") == 1
        assert {row.tenant for row in dal(dal.legacy_login).select()} == {1}
        dal.legacy_note.insert(words="a note")
        assert dal(dal.legacy_note).delete() > 0
    with service(shop, old["portal"]) as portal:
        with portal.session(scope={"tenant": 7}) as dal:
            dal.legacy_login.insert(tenant=7, name="seven")
            assert {row.tenant for row in dal(dal.legacy_login).select()} == {7}
        with pytest.raises(RingfenceError), portal.session(scope={"tenant": 7}) as dal:
            dal.legacy_login.insert(tenant=8, name="eight")
    with service(shop, old["report"]) as report, report.session() as dal:
        assert {row.name for row in dal(dal.legacy_login).select()} == {"other", "still mine", "seven"}
    with service(shop, old["till"]) as till, pytest.raises(RingfenceError), till.session() as dal:
        dal.executesql(upsert(shop))
    shop.database.execute("DELETE FROM legacy_login WHERE name <> 'other'")


def upsert(shop):
    """A write that reaches a row of another tenant by its unique key."""
    mirror = Mirror.load(shop.root / "old/till.json")
    verbs = mirror.tables["legacy_login"].verbs
    name = verbs["insert"].relations.get(shop.database.server.engine, "legacy_login")
    insert = f"INSERT INTO {name} (tenant, name) VALUES (1, 'other')"
    if shop.database.server.engine in engines_with("row_security"):
        return f"{insert} ON CONFLICT (name) DO UPDATE SET tenant = 1"
    return f"{insert} ON DUPLICATE KEY UPDATE tenant = 1"


def left(shop):
    """What of the tables stands on the server, beside the record that they were retired."""
    queries = []
    if shop.database.server.engine in engines_with("definer_views"):
        queries = [
            "SELECT table_name FROM information_schema.views WHERE table_schema = DATABASE()",
            "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
            "SELECT routine_name FROM information_schema.routines WHERE routine_schema = DATABASE()",
            "SELECT name FROM ringfence_row_security WHERE `table` LIKE 'legacy%' OR kind = 'function'",
            "SELECT grantee FROM information_schema.table_privileges"
            " WHERE table_schema = DATABASE() AND table_name LIKE '%legacy%'",
            "SELECT grantee FROM information_schema.column_privileges"
            " WHERE table_schema = DATABASE() AND table_name LIKE '%legacy%'",
        ]
    elif shop.database.server.engine in engines_with("row_security"):
        queries = [
            "SELECT policyname FROM pg_policies",
            "SELECT relname FROM pg_class WHERE relname LIKE 'legacy%'",
        ]
    found = [row[0] for query in queries for row in shop.database.execute(query)]
    return [name for name in found if "customer" not in name]


@pytest.mark.engines(*engines_with("accounts"))
def test_before_a_contract_only_old_services_keep_the_whole_table(shop):
    shop.database.execute("INSERT INTO legacy_login (id, tenant, name) VALUES (1001, 2, 'other')")
    old = mirrors(shop)
    (shop.root / "old").mkdir()
    (shop.root / "old/till.json").write_bytes((shop.root / "mirrors/till.json").read_bytes())
    goes_on(shop, old)
    expand, contract = retire(shop)

    done = migrate(shop.load(), shop.env(), MigrateOptions(expand=True))
    assert done.applied == [expand]
    about = [sql for sql in done.access.statements if "legacy" in sql]
    assert [sql for sql in about if shop.login("gone") not in sql and "gone_legacy" not in sql] == []
    assert not [sql for sql in about for name in ("till", "portal", "report") if shop.login(name) in sql]
    assert done.access.locked == [shop.login("gone")]
    assert apply_access(shop.load(), shop.env()).statements == []
    plan = plan_access(shop.load(), shop.env())
    assert plan.agrees
    assert not any(row.action for row in plan.rows())
    told = [text for text in plan.kept if text.startswith(f"{shop.login('till')} keeps")]
    assert any("legacy_note" in text and f"until {contract}" in text for text in told), plan.kept
    assert not [text for text in plan.kept if shop.login("gone") in text or shop.login("newcomer") in text]
    shown = shop.run("ringfence", "plan")
    assert f"{shop.login('till')} keeps" in shown.stdout + shown.stderr

    assert left(shop)
    goes_on(shop, old)
    proof = verify(shop.load(), shop.settings(), shop.passwords())
    assert proof.holds, proof.findings
    until = f"{contract} will drop the table, and accounts keep their grants on it until then"
    assert f"till: delete on legacy_note: {until}" in proof.warnings
    assert f"till: select on legacy_note (id, words): {until}" in proof.warnings
    assert not [text for text in proof.warnings if text.startswith("newcomer")]
    with service(shop, mirrors(shop)["newcomer"]) as newcomer:
        for table in ("legacy_login", "legacy_note"):
            assert refused(newcomer, f"SELECT id FROM {table}")
    with service(shop, old["report"]) as report:
        assert refused(report, "SELECT secret FROM legacy_login")
        assert refused(report, "SELECT words FROM legacy_note")

    assert migrate(shop.load(), shop.env(), MigrateOptions(force="all are closed")).applied == [contract]
    assert left(shop) == []
    plan = plan_access(shop.load(), shop.env())
    assert plan.agrees
    assert plan.kept == []
    assert not [right for right in plan.held if "legacy" in right.name]
    assert migrate(shop.load(), shop.env()).access.statements == []


def test_a_contract_waits_for_who_uses_the_whole_table(shop):
    accounts = shop.database.server.engine in engines_with("accounts")
    old = mirrors(shop)
    running = service(shop, old["gone"])
    try:
        with running.session() as dal:
            dal.legacy_note.insert(words="before")
        before = (shop.root / "mirrors/till.json").read_text()
        expand, contract = retire(shop)
        assert not (shop.root / "mirrors/gone.json").exists()
        after = (shop.root / "mirrors/till.json").read_text()
        (shop.root / "mirrors/till.json").write_text(before)
        with pytest.raises(Refused, match=f"{contract} retires legacy_login, .*by till as mirrors/till.json"):
            migrate(shop.load(), shop.env())
        (shop.root / "mirrors/till.json").write_text(after)
        assert migrate(shop.load(), shop.env(), MigrateOptions(expand=True)).applied == [expand]
        if accounts:  # it was locked, and is connected still
            with pytest.raises(
                Refused, match=f"{contract} retires legacy_note, .*by gone, which is connected"
            ):
                migrate(shop.load(), shop.env())
        assert shop.database.execute("SELECT words FROM legacy_note") == [("before",)]
    finally:
        running.close(deadline=0.1)
    assert migrate(shop.load(), shop.env(), MigrateOptions(force="nobody is left")).applied == [contract]
    with pytest.raises(Exception, match="legacy_note"):
        shop.database.execute("SELECT words FROM legacy_note")
    assert migrate(shop.load(), shop.env()).applied == []


@pytest.mark.engines(*engines_with("accounts"))
def test_a_table_that_the_models_still_have_is_given_as_the_manifest_says(shop):
    shop.write("access.yaml", OLD.replace("      legacy_note: {select: [id]}\n", ""))
    shop.write("migrations/versions/d4.py", RETIRES)
    write_mirrors(shop.load())
    done = migrate(shop.load(), shop.env(), MigrateOptions(expand=True))
    assert done.access.revoked == 1
    plan = plan_access(shop.load(), shop.env())
    assert plan.agrees
    assert plan.kept == []
    held = {right.login for right in plan.held if right.name == "legacy_note"}
    assert held == {shop.login("till"), shop.login("gone")}


@pytest.mark.engines(*engines_with("accounts"))
def test_what_stands_before_a_table_that_goes_outlives_a_change_of_the_table(shop):
    rows = "(1001, 2, 'other'), (1002, 1, 'mine')"
    shop.database.execute(f"INSERT INTO legacy_login (id, tenant, name) VALUES {rows}")
    old = mirrors(shop)
    shop.write("migrations/versions/c4.py", WIDER)
    expand, contract = retire(shop)
    done = migrate(shop.load(), shop.env(), MigrateOptions(expand=True, no_lint="it is about access"))
    assert done.applied == ["c4", expand]
    with service(shop, old["till"]) as till, till.session() as dal:
        assert {row.name for row in dal(dal.legacy_login).select()} == {"mine"}
    assert "was changed" not in " ".join(plan_access(shop.load(), shop.env()).warnings)

    relation = old["till"].tables["legacy_login"].verbs["select"].relations.get(shop.database.server.engine)
    if relation is None:
        policy = f'"ringfence_select_{shop.login("till")}"'
        shop.database.execute(f"ALTER POLICY {policy} ON legacy_login USING (tenant = 3)")
        shop.database.execute("ALTER TABLE legacy_login DISABLE ROW LEVEL SECURITY")
    else:
        shop.database.execute(f"CREATE OR REPLACE VIEW {relation} AS SELECT * FROM legacy_login WHERE id = 3")
    plan = plan_access(shop.load(), shop.env())
    assert any("was changed, and stays so until" in warning for warning in plan.warnings)
    apply_access(shop.load(), shop.env())
    with service(shop, old["till"]) as till, till.session() as dal:
        assert dal(dal.legacy_login).count() == 0
    assert migrate(shop.load(), shop.env(), MigrateOptions(force="all are closed")).applied == [contract]
    assert left(shop) == []


@pytest.mark.requires("schemas")
def test_the_last_table_of_a_schema_is_kept_and_goes_like_the_others(shop):
    models = (shop.root / "shop_models.py").read_text()
    thing = """

class Thing(Base):
    __tablename__ = "thing"
    __table_args__ = {"schema": "apart"}
    id: Mapped[int] = mapped_column(primary_key=True)
"""
    shop.write("shop_models.py", models + thing)
    shop.write(
        "access.yaml",
        OLD.replace("  report:\n    tables:\n", "  report:\n    tables:\n      apart.thing: ro\n"),
    )
    shop.write("migrations/versions/c4.py", APART)
    shop.migrate()
    old = mirrors(shop)
    shop.write("shop_models.py", models)
    shop.write("access.yaml", OLD)
    shop.write("migrations/versions/d5.py", APART_GOES)
    write_mirrors(shop.load())
    assert migrate(shop.load(), shop.env(), MigrateOptions(expand=True)).access.statements == []
    with service(shop, old["report"]) as report, report.session() as dal:
        assert dal(dal["apart_thing"]).count() == 0
    assert migrate(shop.load(), shop.env(), MigrateOptions(force="all are closed")).applied == ["d5"]
    assert shop.database.execute('SELECT "schema", "table" FROM ringfence_retired') == [("apart", "thing")]
    plan = plan_access(shop.load(), shop.env())
    assert plan.agrees
    assert "apart" not in {right.schema for right in plan.held}
