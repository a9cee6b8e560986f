"""What `plan` shows before the first job is what the job then sends, to the statement and in that order."""

import re
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from ringfence.schema.job.plan import plan_job
from ringfence.schema.mirror import write_mirrors
from servers.capabilities import CAPABILITIES
from support.deployments import ACCESS, MODELS, TOML, Shop, lay_out
from support.tenants import lay_out_tenants

# What each job does beside its plan: its session, its lock, and how far it came.
_ASIDE = re.compile(
    r"\s*((SELECT|SHOW|SET|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|PRAGMA|WITH|DESCRIBE)\b|--[^\n]*$"
    r"|(INSERT|INSERT IGNORE|UPDATE|DELETE|CREATE TABLE IF NOT EXISTS)( INTO| FROM|) ringfence_(lease|journal|apply|definition)\b"
    r"|.*\bringfence_scratch|(CREATE|DROP) TEMPORARY\b)",
    re.IGNORECASE | re.DOTALL,
)
_NOW = re.compile(r"'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?'")
_ACCOUNT = re.compile(
    r"(CREATE ROLE \S+ LOGIN|CREATE USER IF NOT EXISTS '[^']*'@'%')( PASSWORD .*| IDENTIFIED BY .*| ACCOUNT LOCK; --.*)?$"
)

# Keys that are counted by a sequence of its own, an enum, and a column that no shorthand gives.
ENGINES = next(line for line in TOML.splitlines() if line.startswith("engines"))
DRAWN = """

class Bill(Base):
    __tablename__ = "bill"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(sa.IntegerCOUNTED)
    state: Mapped[str] = mapped_column(sa.Enum("open", "paid", name="bill_state"))
    iban: Mapped[str] = mapped_column(sa.String(34), info={"sensitive": True})
"""
CREATED = """
revision = "b2"
down_revision = "a1"
import sqlalchemy as sa
from alembic import op


def upgrade():
    with op.batch_alter_table("customer") as batch:
        batch.add_column(sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()))
    with op.batch_alter_table("customer") as batch:
        batch.alter_column("active", existing_type=sa.Boolean(), existing_nullable=False, server_default=None)
    if SEQUENCES:
        op.execute(sa.schema.CreateSequence(sa.Sequence("bill_number")))
    bill = op.create_table(
        "bill",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("state", sa.Enum("open", "paid", name="bill_state"), nullable=False),
        sa.Column("iban", sa.String(34), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_bill"),
    )
    op.bulk_insert(bill, [{"number": 1, "state": "open", "iban": "50% of it's"}])


def downgrade():
    raise NotImplementedError
"""


@pytest.fixture(params=["shop", "tenancy", "drawn", "services"])
def shop(request, db, tmp_path):
    shop = lay_out_tenants(tmp_path, db) if request.param == "tenancy" else lay_out(tmp_path, db)
    if request.param == "services":
        shop = Shop(tmp_path / "services", db)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(__file__).parents[2] / "services", shop.root, ignore=ignored)
        manifest = (shop.root / "access.yaml").read_text()
        shop.write("access.yaml", manifest.replace('"{service}"', '"PREFIX{service}"'))
    if request.param == "drawn":
        has = CAPABILITIES[db.server.engine]
        # Galera takes no sequence with a cache, which is what SQLAlchemy makes.
        counts = "sequences" in has and "several_nodes" not in has
        counted = ", sa.Sequence('bill_number', metadata=metadata)" if counts else ""
        shop.write("ringfence.toml", TOML.replace(ENGINES, f'engines = ["{db.server.engine}"]'))
        shop.write("shop_models.py", MODELS + DRAWN.replace("COUNTED", counted))
        shop.write("migrations/versions/b2.py", CREATED.replace("SEQUENCES", repr(counts)))
        shop.write("access.yaml", ACCESS + "  clerk:\n    tables:\n      bill: {verbs: rw, also: [iban]}\n")
    write_mirrors(shop.load())
    return shop


_WORD = re.compile(r"[^\s,;]+")


def plain(statement):
    """A statement without what differs from one run to the next, or between a driver and a person."""
    text = (
        " ".join(statement.split())
        .rstrip("; ")
        .replace('\\"', '"')
        .replace("\\'", "''")
        .replace("\\\\", "\\")
    )
    if "_alembic_tmp_" in text:  # Alembic writes the constraints of a copy in any order
        text = ", ".join(sorted(re.split(r", | \( | \)$", text)))
    return _ACCOUNT.sub(r"\1", _NOW.sub("NOW", text))


def sent_by(function, database):
    """The statements that change something, as the server gets them."""
    sent = []

    def connected(connection, record):
        if hasattr(connection, "set_trace_callback"):
            (main,) = [row[2] for row in connection.execute("PRAGMA database_list") if row[1] == "main"]
            if main == str(database):
                connection.set_trace_callback(sent.append)

    def hear(connection, cursor, statement, parameters, context, executemany):
        for one in parameters if executemany else (parameters,):
            if hasattr(cursor, "mogrify"):
                text = cursor.mogrify(statement, one)
                sent.append(text.decode() if isinstance(text, bytes) else text)

    sa.event.listen(sa.Engine, "before_cursor_execute", hear)
    sa.event.listen(sa.Engine, "connect", connected)
    try:
        function()
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", hear)
        sa.event.remove(sa.Engine, "connect", connected)
    return [plain(text) for text in sent if not _ASIDE.match(text)]


def test_the_first_plan_is_what_the_job_sends(shop):
    deployment, env = shop.load(), shop.env()
    made = plan_job(deployment, env)
    assert not made.obstacles
    shown = [plain(sql) for part in made.parts for sql in part.sql if not _ASIDE.match(sql)]
    sent = sent_by(lambda: shop.migrate(env), shop.database.name)
    assert shown == sent


def test_the_first_plan_changes_nothing_and_shows_no_secret(shop):
    first = shop.run("ringfence", "plan", "--sql")
    assert first.returncode == 2, first.stderr
    made = plan_job(shop.load(), shop.env())
    # As words: Alembic writes the constraints of a copy in any order.
    assert sorted(_WORD.findall(first.stdout)) == sorted(
        _WORD.findall(" ".join(sql for p in made.parts for sql in p.sql))
    )
    assert not [secret for secret in shop.passwords().values() if secret.reveal() in first.stdout]
    if shop.database.server.db_type != "sqlite":
        logins = {shop.login(account.service) for account in shop.load().accounts.values()}
        assert all(login in first.stdout for login in logins)
        catalog = {"postgresql": "pg_roles", "mysql": "mysql.user"}[shop.database.server.db_type]
        column = {"postgresql": "rolname", "mysql": "User"}[shop.database.server.db_type]
        assert not {name for (name,) in shop.database.execute(f"SELECT {column} FROM {catalog}")} & logins
    assert len(plan_job(shop.load(), shop.env()).parts) == len(made.parts), "and again"


THIRD = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op


def upgrade():
    op.create_table(
        "parcel",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("customer_id", sa.Integer, nullable=False),
        sa.Column("depot", sa.String(20), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name="fk_parcel_customer_id_customer"),
        sa.PrimaryKeyConstraint("id", name="pk_parcel"),
    )


def downgrade():
    op.drop_table("parcel")
"""
PARCEL = """

class Parcel(Base):
    __tablename__ = "parcel"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customer.id"))
    depot: Mapped[str] = mapped_column(sa.String(20))
"""


def each_right(statements):
    """What the statements give, right by right: a job may give in two statements what a plan shows in one."""
    found = set()
    for statement in statements:
        given = re.fullmatch(r"GRANT (.+) ON (?:(\w+) )?([\"`].+) TO (.+)", statement)
        if given is None:
            found.add(statement)
            continue
        verbs, kind, things, logins = given.groups()
        found |= {
            (verb.strip(), kind, thing, login)
            for verb in re.findall(r"[A-Z ]+(?:\([^)]*\))?", verbs)
            if verb.strip()
            for thing in things.split(", ")
            for login in logins.split(", ")
        }
    return found


@pytest.mark.requires("accounts")
def test_what_a_pending_revision_makes_is_granted_as_shown(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    shop.write("shop_models.py", MODELS + PARCEL)
    shop.write("migrations/versions/c3.py", THIRD)
    rows = "{verbs: rw, rows: {depot: north}}"
    manifest = ACCESS.replace("      purchase: rw\n", f"      purchase: rw\n      parcel: {rows}\n")
    shop.write("access.yaml", manifest.replace("purchase: [insert]", "purchase: [insert]\n      parcel: rw"))
    write_mirrors(shop.load())
    env = shop.env()
    made = plan_job(shop.load(), env)
    assert (made.obstacles, made.unknown) == ([], [])
    shown = [plain(sql) for part in made.parts for sql in part.sql if not _ASIDE.match(sql)]
    assert plan_job(shop.load(), env).as_dict() == made.as_dict(), "nothing has changed"
    assert each_right(shown) == each_right(sent_by(lambda: shop.migrate(env), shop.database.name))
