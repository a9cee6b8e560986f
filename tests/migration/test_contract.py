"""A contract revision waits until nothing uses what it takes away: mirrors in the repository, services that run."""

import pytest

from ringfence.runtime import AccessDenied, Database, Mirror, Settings
from ringfence.schema.authoring.revise import revise
from ringfence.schema.autogenerate.renames import Renames
from ringfence.schema.backfills import run
from ringfence.schema.job.contract_guard import Refused
from ringfence.schema.job.job import MigrateOptions, migrate
from servers.capabilities import engines_with
from support.deployments import lay_out

SECRET = '    secret: Mapped[str | None] = mapped_column(sa.String(100), info={"sensitive": True})\n'
BACK = """
revision = "{revision}"
down_revision = "{down}"
import sqlalchemy as sa
from alembic import op

tightens = {{"customer": ["secret"]}}


def upgrade():
    pass
"""


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    return shop


def service(shop, mirror):
    """The till, connected, as its process would be."""
    env = shop.database.env()
    if shop.database.server.engine in engines_with("accounts"):
        env = shop.database.env(shop.login("till"), shop.password("till"))
    db = Database(Settings.from_env(env), mirror)
    with db.session() as dal:
        dal(dal.customer.id > 0).count()
    return db


def contract(shop):
    """Take a column away: a revision that mirrors stand at, and the contract."""
    models = (shop.root / "shop_models.py").read_text()
    shop.write("shop_models.py", models.replace(SECRET, ""))
    shop.write("access.yaml", (shop.root / "access.yaml").read_text().replace(", also: [secret]", ""))
    return revise(shop.load(), "no secret", {"DB_TYPE": ""}, renames=Renames.from_options((), ("all",)))


def columns(shop):
    with_secret = shop.database.execute("SELECT * FROM customer WHERE 1 = 0")
    assert with_secret == []
    try:
        shop.database.execute("SELECT secret FROM customer")
    except Exception:
        return False
    return True


def test_a_contract_waits_for_services_and_mirrors(shop):
    accounts = shop.database.server.engine in engines_with("accounts")
    named = shop.database.server.engine == "postgresql"
    old = Mirror.load(shop.root / "mirrors/till.json")
    before = (shop.root / "mirrors/till.json").read_text()
    running = service(shop, old)
    try:
        made = contract(shop)
        expand, gone = made.revisions
        after = (shop.root / "mirrors/till.json").read_text()

        (shop.root / "mirrors/till.json").write_text(before)
        with pytest.raises(
            Refused, match=rf"{gone} retires customer.secret, .*till as mirrors/till.json says"
        ):
            migrate(shop.load(), shop.env())
        (shop.root / "mirrors/till.json").write_text(after)
        if accounts:
            with pytest.raises(Refused, match="by till, which is connected") as raised:
                migrate(shop.load(), shop.env())
            assert ("of release b2" if named else "cannot be seen") in str(raised.value)
            assert "--force REASON" in str(raised.value)
        assert shop.database.execute("SELECT version_num FROM alembic_version")[0][0] == "b2"

        assert migrate(shop.load(), shop.env(), MigrateOptions(expand=True)).applied == [expand]
        assert migrate(shop.load(), shop.env(), MigrateOptions(expand=True)).applied == []
        assert columns(shop)
    finally:
        running.close(deadline=0.1)
    new = Mirror.load(shop.root / "mirrors/till.json")
    assert new.revision == expand
    running = service(shop, new)
    try:
        if accounts and not named:
            with pytest.raises(Refused, match="its release cannot be seen"):
                migrate(shop.load(), shop.env())
            migrate(shop.load(), shop.env(), MigrateOptions(force="the tills were all restarted at noon"))
            (row,) = shop.database.execute("SELECT revision, reason, finding FROM ringfence_override")
            assert tuple(row)[:2] == (gone, "the tills were all restarted at noon")
            assert "by till, which is connected" in row[2]
        else:
            assert migrate(shop.load(), shop.env()).applied == [gone]
            assert shop.database.execute("SELECT * FROM ringfence_override") == []
        assert not columns(shop)
        with running.session() as dal:
            dal.customer.insert(email="x@y", active=True)
    finally:
        running.close(deadline=0.1)
    assert migrate(shop.load(), shop.env()).applied == []


@pytest.mark.engines("sqlite", "postgresql", "mariadb")
def test_a_database_that_is_several_contracts_behind_comes_to_head(shop):
    shop.database.execute(
        "INSERT INTO customer (id, email, secret, active) VALUES (1, 'a@b', 'kept', '1'), (2, 'c@d', NULL, '1')"
    )
    models = (shop.root / "shop_models.py").read_text()
    shop.write("access.yaml", (shop.root / "access.yaml").read_text().replace(", also: [secret]", ""))
    token = '    token: Mapped[str] = mapped_column(sa.String(100), default="none")\n'
    shop.write("shop_models.py", models.replace(SECRET, token))
    first = revise(
        shop.load(), "token", {"DB_TYPE": ""}, renames=Renames.from_options(("customer.secret=token",), ())
    )
    shop.write("shop_models.py", models.replace(SECRET, ""))
    second = revise(shop.load(), "no token", {"DB_TYPE": ""}, renames=Renames.from_options((), ("all",)))
    # The till's mirror stands at a revision after the first contract, and has no token: it waits for that.
    assert Mirror.load(shop.root / "mirrors/till.json").revision == second.revisions[0]
    assert shop.run("ringfence", "backfill", "--list").stdout == "customer_token: customer\n"
    early = shop.run("ringfence", "backfill", "customer_token")
    assert early.returncode == 1
    assert "has no column customer.token: `ringfence migrate --expand` makes it" in early.stderr
    with pytest.raises(Refused) as raised:
        migrate(shop.load(), shop.env())
    assert raised.value.details == {
        "obstacles": [
            f"{first.revisions[-1]} drops customer.secret, and 2 rows hold a value there that the backfill"
            " customer_token has not carried over (the first by id: 1, 2): `ringfence backfill customer_token`"
        ]
    }
    assert migrate(shop.load(), shop.env(), MigrateOptions(expand=True)).applied == [first.revisions[0]]
    assert run.run(shop.load(), "customer_token", shop.env()).changed == 2
    found = shop.database.execute("SELECT token FROM customer ORDER BY id")
    assert [row[0] for row in found] == ["kept", "none"]
    done = migrate(shop.load(), shop.env()).applied
    assert done == [*first.revisions[1:], *second.revisions]
    late = shop.run("ringfence", "backfill", "customer_token")
    assert (late.returncode, "nothing is left to fill" in late.stderr) == (1, True)


@pytest.mark.engines("sqlite")
def test_migrations_are_proven_with_the_backfill_of_a_column_that_has_gone(shop):
    models = (shop.root / "shop_models.py").read_text()
    line = "    size: Mapped[int] = mapped_column(default=7)\n"
    shop.write("shop_models.py", models.replace(SECRET, SECRET + line))
    revise(shop.load(), "size", {"DB_TYPE": ""})
    shop.write("shop_models.py", models)
    revise(shop.load(), "no size", {"DB_TYPE": ""}, renames=Renames.from_options((), ("all",)))
    proven = shop.run("ringfence", "test-migrations", DB_TYPE="", DB_NAME="")
    assert proven.returncode == 0, proven.stdout + proven.stderr


@pytest.mark.engines("postgresql")
def test_a_service_that_may_write_null_stops_what_refuses_it(shop):
    running = service(shop, Mirror.load(shop.root / "mirrors/till.json"))
    try:
        shop.write("migrations/versions/c3.py", BACK.format(revision="c3", down="b2"))
        with pytest.raises(
            Refused, match=r"c3 makes customer.secret NOT NULL, which may be written as NULL, by till"
        ):
            migrate(shop.load(), shop.env())
        done = shop.run("ringfence", "migrate", "--force", " ")
        assert done.returncode == 3
        done = shop.run("ringfence", "migrate", "--force", "nobody writes it", "--json")
        assert done.returncode == 0, done.stdout
    finally:
        running.close(deadline=0.1)


@pytest.mark.engines(*engines_with("accounts"))
def test_before_a_contract_only_old_services_keep_what_it_takes(shop):
    granted = (shop.root / "access.yaml").read_text()
    shop.write("access.yaml", granted.replace("customer: {select: [id, active]}", "customer: ro"))
    shop.migrate()
    running = service(shop, Mirror.load(shop.root / "mirrors/till.json"))
    report = shop.database.env(shop.login("report"), shop.password("report"))
    try:
        expand, gone = contract(shop).revisions
        assert migrate(shop.load(), shop.env(), MigrateOptions(expand=True)).applied == [expand]
        assert migrate(shop.load(), shop.env(), MigrateOptions(expand=True)).access.statements == []
        with running.session() as dal:
            dal.customer.insert(email="x@y", active=True, secret="s")
            assert dal(dal.customer).select().first().secret == "s"
        with Database(Settings.from_env(report), Mirror.load(shop.root / "mirrors/report.json")) as db:
            with db.session() as dal:
                assert dal(dal.customer).select().first().email == "x@y"
            with pytest.raises(AccessDenied), db.session() as dal:
                dal.executesql("SELECT secret FROM customer")
    finally:
        running.close(deadline=0.1)
    assert migrate(shop.load(), shop.env(), MigrateOptions(force="the till is closed")).applied == [gone]
    assert migrate(shop.load(), shop.env()).access.statements == []


@pytest.mark.engines(*engines_with("accounts"))
def test_before_a_contract_old_services_go_on_through_scopes_and_some_columns(shop):
    granted = (shop.root / "access.yaml").read_text()
    rows = "customer: {verbs: rw, also: [secret], rows: {active: true}}"
    granted = granted.replace("customer: {verbs: rw, also: [secret]}", rows)
    granted = granted.replace("customer: {select: [id, active]}", "customer: ro")
    shop.write("access.yaml", granted)
    shop.migrate()
    old = {name: Mirror.load(shop.root / f"mirrors/{name}.json") for name in ("till", "report")}
    models = (shop.root / "shop_models.py").read_text()
    email = "    email: Mapped[str] = mapped_column(sa.String(100), unique=True)\n"
    shop.write("shop_models.py", models.replace(SECRET, "").replace(email, ""))
    shop.write("access.yaml", granted.replace(", also: [secret]", ""))
    made = revise(
        shop.load(), "neither secret nor address", {"DB_TYPE": ""}, renames=Renames.from_options((), ("all",))
    )
    migrate(shop.load(), shop.env(), MigrateOptions(expand=True))
    assert migrate(shop.load(), shop.env(), MigrateOptions(expand=True)).access.statements == []

    def login(service, mirror):
        return Database(
            Settings.from_env(shop.database.env(shop.login(service), shop.password(service))), mirror
        )

    with login("till", old["till"]) as db, db.session() as dal:
        dal.customer.insert(email="x@y", active=True, secret="s")
        assert dal(dal.customer.email == "x@y").update(secret="t") == 1
        assert dal(dal.customer).select().first().secret == "t"
    with login("report", old["report"]) as db, db.session() as dal:
        assert dal(dal.customer).select().first().email == "x@y"
    for service in ("till", "report"):
        with login(service, Mirror.load(shop.root / f"mirrors/{service}.json")) as db, db.session() as dal:
            assert dal(dal.customer).count() == 1
    with login("report", old["report"]) as db, pytest.raises(AccessDenied), db.session() as dal:
        dal.executesql("SELECT secret FROM customer")
    assert migrate(shop.load(), shop.env(), MigrateOptions(force="all are closed")).applied == [
        made.revisions[-1]
    ]
    assert migrate(shop.load(), shop.env()).access.statements == []
    with login("till", Mirror.load(shop.root / "mirrors/till.json")) as db, db.session() as dal:
        assert dal(dal.customer).select().first().active
