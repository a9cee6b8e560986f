"""Where a revision is one transaction, its objects never exist without their grants."""

import threading

import pytest
import sqlalchemy as sa

from ringfence.schema.engines import reach
from ringfence.schema.errors import JobFailed
from ringfence.schema.job import job
from ringfence.schema.job.revision_access import RevisionAccess
from ringfence.schema.privileges.plan import make_plan
from support.deployments import lay_out

pytestmark = pytest.mark.engines("postgresql")

THIRD = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op


def upgrade():
    op.execute("CREATE FUNCTION stamps() RETURNS integer LANGUAGE sql AS 'SELECT 7'")
    op.execute("REVOKE EXECUTE ON FUNCTION stamps FROM PUBLIC")
    op.create_table(
        "parcel",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("weight", sa.Integer, nullable=False),
        sa.Column("stamps", sa.Integer, nullable=False, server_default=sa.text("stamps()")),
        sa.PrimaryKeyConstraint("id", name="pk_parcel"),
    )
    op.add_column("purchase", sa.Column("note", sa.String(40)))
    op.add_column("purchase", sa.Column("card", sa.String(40)))


def downgrade():
    raise NotImplementedError
"""
FOURTH = """
revision = "d4"
down_revision = "c3"
import sqlalchemy as sa
from alembic import op


def upgrade():
    op.add_column("parcel", sa.Column("colour", sa.String(10)))


def downgrade():
    raise NotImplementedError
"""
MODELS = """
    note: Mapped[str | None] = mapped_column(sa.String(40))
    card: Mapped[str | None] = mapped_column(sa.String(40), info={"sensitive": True})


class Parcel(Base):
    __tablename__ = "parcel"
    id: Mapped[int] = mapped_column(primary_key=True)
    weight: Mapped[int]
    stamps: Mapped[int] = mapped_column(server_default=sa.text("stamps()"))
    colour: Mapped[str | None] = mapped_column(sa.String(10), info={"sensitive": True})
"""
ACCESS = """
version: 1
defaults: {login: "PREFIX{service}"}
accounts:
  till:
    tables:
      customer: {verbs: rw, also: [secret]}
      purchase: rw
      parcel: {verbs: rw, also: [colour]}
  report:
    tables:
      customer: {select: [id, active]}
      purchase: ro
      parcel: ro
  door:
    tables:
      purchase: [insert]
  late:
    tables:
      parcel: ro
"""
# Of one snapshot, which functions such as has_column_privilege do not keep to.
LOOK = """
    SELECT c.relname || '.' || a.attname,
           EXISTS (SELECT FROM (SELECT c.relacl UNION ALL SELECT a.attacl) acls (acl)
                   CROSS JOIN LATERAL aclexplode(acls.acl) x
                   WHERE x.grantee = r.oid AND x.privilege_type = 'SELECT')
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    JOIN pg_catalog.pg_roles r ON r.rolname = current_user
    WHERE c.relkind = 'r' AND c.relname IN ('purchase', 'parcel', 'customer') AND NOT a.attisdropped
"""


class Service:
    """A service that was connected before the job came."""

    def __init__(self, shop, name):
        self.connection = shop.connect(name)
        self.connection.autocommit = True

    def ask(self, sql):
        """The rows."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def unreadable(self):
        """The columns that are there and that it may not read."""
        return {name for name, may in self.ask(LOOK) if not may}


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    return shop


@pytest.fixture
def services(shop):
    services = {name: Service(shop, name) for name in ("till", "report")}
    yield services
    for service in services.values():
        service.connection.close()


def grow(shop, third=THIRD, fourth=FOURTH, models=MODELS, access=ACCESS):
    shop.write("migrations/versions/c3.py", third)
    if fourth:
        shop.write("migrations/versions/d4.py", fourth)
    shop.write("shop_models.py", (shop.root / "shop_models.py").read_text() + models)
    shop.write("access.yaml", access)


def before_the_apply(monkeypatch, look):
    """Look when the last revision is committed, and no account was made what the manifest says."""
    apply = job.apply

    def looked(*arguments, **options):
        look()
        return apply(*arguments, **options)

    monkeypatch.setattr(job, "apply", looked)


def held(shop):
    backend = reach(shop.settings())
    with backend.engine().connect() as connection:
        return make_plan(connection, backend, shop.load(), None).held


def test_what_a_revision_creates_never_exists_without_its_grants(shop, services, monkeypatch):
    grow(shop)
    seen, done = {name: set() for name in services}, threading.Event()

    def poll(name):
        while not done.is_set():
            seen[name] |= services[name].unreadable()

    pollers = [threading.Thread(target=poll, args=(name,)) for name in services]
    given = []

    def look():
        given.extend(privilege for privilege in held(shop) if privilege.login == shop.login("till"))
        till = Service(shop, "till")
        till.ask("INSERT INTO parcel (weight, colour) VALUES (3, 'red')")
        assert till.ask("SELECT id, weight, stamps, colour FROM parcel") == [(1, 3, 7, "red")]
        till.connection.close()
        assert shop.login("late") not in {privilege.login for privilege in held(shop)}

    before_the_apply(monkeypatch, look)
    said = []
    for poller in pollers:
        poller.start()
    try:
        report = shop.migrate(on_message=said.append)
    finally:
        done.set()
        for poller in pollers:
            poller.join()
    before = {"customer.secret", "customer.email"}
    assert seen["till"] == {"purchase.card"}, "which the manifest gives to nobody"
    assert seen["report"] - before == {"purchase.card", "parcel.colour"}
    assert given
    assert {p for p in held(shop) if p.login == shop.login("till")} == set(given), (
        "nothing was left to the apply"
    )
    assert any("gave access to what c3 made or calls" in text for text in said)
    statements = report.access.statements
    assert any('"parcel"' in text and shop.login("till") in text for text in statements)
    assert len([text for text in statements if '("colour")' in text and "GRANT" in text]) == 1
    assert report.access.granted > len([p for p in held(shop) if p.login == shop.login("late")])
    monkeypatch.undo()
    assert shop.migrate().access.statements == []


def test_a_revision_that_fails_takes_its_grants_along(shop, monkeypatch):
    before = held(shop)
    grow(shop, THIRD.replace("\n\n\ndef downgrade", '\n    op.execute("SELECT 1 / 0")\n\n\ndef downgrade'))
    with pytest.raises(JobFailed, match="division by zero"):
        shop.migrate()
    shop.write("migrations/versions/c3.py", THIRD)
    assert "are given in its transaction" in shop.run("ringfence", "plan").stdout
    after, given = RevisionAccess.after, []

    def fail(around, connection, revision):
        after(around, connection, revision)
        given.extend(around.statements)
        raise JobFailed("after the grants")

    with monkeypatch.context() as patch:
        patch.setattr(RevisionAccess, "after", fail)
        with pytest.raises(JobFailed, match="after the grants"):
            shop.migrate()
    assert any('"parcel"' in text for text in given)
    shop.write("access.yaml", ACCESS)
    assert held(shop) == before
    assert (
        not reach(shop.settings())
        .engine()
        .connect()
        .execute(sa.text("SELECT to_regclass('parcel')"))
        .scalar()
    )

    assert shop.run("alembic", "upgrade", "head").returncode == 0
    assert held(shop) == before, "plain Alembic gives nothing"


SCOPED = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op


def upgrade():
    op.create_table("parcel", sa.Column("id", sa.Integer, primary_key=True), sa.Column("weight", sa.Integer))
    op.add_column("customer", sa.Column("nick", sa.String(40)))
    op.add_column("purchase", sa.Column("note", sa.String(40)))
    op.execute("ALTER TABLE purchase ADD COLUMN stray INTEGER")
    alter()


def alter():
    pass


def downgrade():
    raise NotImplementedError
"""
ALTERED = """

def alter():
    op.alter_column("customer", "active", existing_type=sa.Boolean(), type_=sa.Boolean())
"""
SCOPED_MODELS = """
    note: Mapped[str | None] = mapped_column(sa.String(40))


class Parcel(Base):
    __tablename__ = "parcel"
    id: Mapped[int] = mapped_column(primary_key=True)
    weight: Mapped[int | None]
"""


@pytest.mark.parametrize("altered", [False, True], ids=["added-to", "retyped"])
def test_a_table_with_row_scopes_waits_for_its_policies(shop, monkeypatch, altered):
    rows = "\n      customer: {select: [id, active], rows: {active: true}}"
    access = (shop.root / "access.yaml").read_text().replace("\n      customer: {select: [id, active]}", rows)
    shop.write("access.yaml", access)
    shop.migrate()
    models = (shop.root / "shop_models.py").read_text()
    active = "    active: Mapped[bool] = mapped_column(default=True)\n"
    nick = "    nick: Mapped[str | None] = mapped_column(sa.String(40))\n"
    shop.write("shop_models.py", models.replace(active, active + nick))
    grow(
        shop,
        SCOPED + ALTERED if altered else SCOPED,
        "",
        SCOPED_MODELS,
        access.replace("select: [id, active]", "select: [id, active, nick]").replace(
            "      purchase: ro\n",
            "      purchase: {select: [id, note]}\n      parcel: {verbs: ro, rows: {weight: 3}}\n",
        ),
    )
    shop.database.execute(
        "INSERT INTO customer (id, email, active) VALUES (1, 'a@b', true), (2, 'c@d', false)"
    )
    login, found, seen = shop.login("report"), [], []

    def look():
        found.extend(p for p in held(shop) if p.login == login)
        shop.database.execute("INSERT INTO parcel (weight) VALUES (3), (4)")
        report = Service(shop, "report")
        seen.extend(report.ask("SELECT id, nick FROM customer"))
        if altered:
            seen.extend(report.ask("SELECT weight FROM parcel"))
        report.connection.close()

    before_the_apply(monkeypatch, look)
    shop.migrate()
    got = {(p.name, p.column) for p in found if p.kind == "table"}
    assert seen == ([(1, None), (3,)] if altered else [(1, None)])
    assert (("parcel", "") in got) is altered, (
        "its policies are made with those that were detached, or by the apply"
    )
    assert ("purchase", "note") not in got, "no model names a column that is there"
    told = {(p.name, p.column) for p in held(shop) if p.login == login}
    assert {("parcel", ""), ("purchase", "note"), ("customer", "nick")} <= told
