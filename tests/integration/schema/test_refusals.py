"""Every verb that opens the database explains what the server refuses, under admins who lack rights."""

import contextlib
import json

import pytest

from ringfence.schema.errors import JobFailed
from servers import postgres
from support.deployments import lay_out

PASSWORD = "a-long-enough-password-1"
VERBS = (
    ("migrate", "--no-lint", "a test of something else"),
    ("plan",),
    ("access", "plan"),
    ("access", "apply"),
    ("access", "verify"),
    ("revision", "-m", "more"),
    ("reflect", "reflected.py"),
    ("backfill", "fill"),
    ("lint",),
)
# A reader sees everything, so fewer verbs end at a refusal of the server.
FEWER = (("plan",), ("access", "plan"), ("access", "verify"), ("backfill", "fill"))
BACKFILL = """
from ringfence.schema.backfills.declared import Backfill

backfill = Backfill("customer", set={"secret": "x"})
"""


def on_the_server(shop, *statements):
    """Send statements as the server's admin, outside the deployment's database."""
    server = shop.database.server
    if shop.database.operations is postgres:
        connection = postgres.connect(server, "postgres", server.admin_user, server.admin_password, 0)
    else:
        connection = shop.database.connect()
    with contextlib.closing(connection):
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def shop(db, tmp_path):
    laid = lay_out(tmp_path, db)
    laid.migrate()
    return laid


def another_admin(shop, kind):
    """An admin who did not make the tables: the database's `owner`, or a `reader`, or one who may `enter` alone."""
    boss, name = shop.login("boss"), shop.database.name
    if shop.database.operations is postgres:
        given = {
            "owner": [f'ALTER ROLE "{boss}" CREATEROLE', f'ALTER DATABASE "{name}" OWNER TO "{boss}"'],
            "reader": [f'ALTER ROLE "{boss}" CREATEROLE'],
            "enter": [],
        }[kind]
        on_the_server(
            shop,
            f"CREATE ROLE \"{boss}\" LOGIN PASSWORD '{PASSWORD}'",
            f'GRANT CONNECT ON DATABASE "{name}" TO "{boss}"',
            *given,
        )
        if kind == "reader":
            shop.database.execute(
                f'GRANT USAGE ON SCHEMA public TO "{boss}"',
                f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{boss}"',
            )
    else:
        me, pattern = f"'{boss}'@'%'", name.replace("_", r"\_")
        given = {
            "owner": [f"GRANT ALL ON `{pattern}`.* TO {me}"],
            "reader": [f"GRANT SELECT ON `{pattern}`.* TO {me}"],
            "enter": [f"GRANT CREATE VIEW ON `{pattern}`.* TO {me}"],
        }[kind]
        on_the_server(shop, f"CREATE USER {me} IDENTIFIED BY '{PASSWORD}'", *given)
    return {"DB_USER": boss, "DB_PASS": PASSWORD}


@pytest.mark.requires("accounts")
@pytest.mark.parametrize("kind", ["owner", "reader", "enter"])
def test_no_verb_traces_back_under_an_admin_who_lacks_rights(shop, kind):
    shop.write("migrations/backfills/fill.py", BACKFILL)
    login = another_admin(shop, kind)
    before = shop.database.fingerprint()
    for verb in FEWER if kind == "reader" else VERBS:
        done = shop.run("ringfence", *verb, **login)
        told = done.stdout + done.stderr
        assert "Traceback" not in told, told
        if verb[0] in {"migrate", "plan"} or verb[:2] in {("access", "plan"), ("access", "apply")}:
            assert done.returncode == 1, told
            assert (
                "OWNER TO" if kind == "owner" and shop.database.operations is postgres else "GRANT"
            ) in told
    document = json.loads(shop.run("ringfence", "lint", "--json", **login).stdout)
    assert document.get("error", {"kind": "JobFailed"})["kind"] == "JobFailed"
    assert shop.database.fingerprint() == before


@pytest.mark.engines("postgresql")
def test_a_version_table_of_another_owner_is_named(shop):
    login = another_admin(shop, "owner")
    for table in shop.database.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    ):
        if table[0] != "alembic_version":
            shop.database.execute(f'ALTER TABLE "{table[0]}" OWNER TO "{login["DB_USER"]}"')
    for verb in (("plan",), ("access", "plan"), ("migrate",)):
        done = shop.run("ringfence", *verb, **login)
        assert done.returncode == 1
        assert 'ALTER TABLE "public"."alembic_version" OWNER TO' in done.stderr


SCHEMAS = """
import sqlalchemy as sa
from ringfence.schema.models import NAMING

metadata = sa.MetaData(naming_convention=NAMING)
for schema in ("crew", "Bil ling"):
    sa.Table("member", metadata, sa.Column("id", sa.Integer, primary_key=True), schema=schema)
"""
TOGETHER = """
revision = "a1"
down_revision = None
import sqlalchemy as sa
from alembic import op


def upgrade():
    MADE
    for schema in ("crew", "Bil ling"):
        op.create_table(
            "member", sa.Column("id", sa.Integer), sa.PrimaryKeyConstraint("id", name="pk_member"), schema=schema
        )


def downgrade():
    for schema in ("crew", "Bil ling"):
        op.drop_table("member", schema=schema)
"""
NOBODY = "version: 1\naccounts: {}\n"


def in_schemas(db, tmp_path, made="pass"):
    """A deployment with a table in each of two schemas, and a revision that makes them or does not."""
    shop = lay_out(tmp_path, db)
    (shop.root / "migrations/versions/b2.py").unlink()
    toml = (shop.root / "ringfence.toml").read_text()
    kept = '["postgresql"]' if db.operations is postgres else '["mariadb", "galera", "mysql"]'
    shop.write("ringfence.toml", toml.replace(toml.partition("engines = ")[2].partition("\n")[0], kept))
    shop.write("shop_models.py", SCHEMAS)
    shop.write("access.yaml", NOBODY)
    shop.write("migrations/versions/a1.py", TOGETHER.replace("MADE", made))
    return shop


@pytest.mark.requires("accounts")
def test_a_missing_schema_is_named_with_the_statement_before_anything_has_changed(db, tmp_path):
    shop = in_schemas(db, tmp_path)
    postgresql = db.operations is postgres
    statements = [f"CREATE {'SCHEMA' if postgresql else 'DATABASE'} {name}" for name in ("crew", named(db))]
    for verb in (("plan",), ("migrate",)):
        done = shop.run("ringfence", *verb)
        assert done.returncode == 1
        for statement in statements:
            assert statement in done.stderr
        there = str(db.fingerprint())  # on Galera the lock itself is a table
        assert "member" not in there
        assert "alembic_version" not in there
    obstacles = json.loads(shop.run("ringfence", "plan", "--json").stdout)["error"]["plan"]["obstacles"]
    assert all(any(statement in one for one in obstacles) for statement in statements)


def named(db):
    return '"Bil ling"' if db.operations is postgres else "`Bil ling`"


@pytest.mark.engines("postgresql")
@pytest.mark.parametrize(
    "made",
    [
        "op.execute('CREATE SCHEMA crew; CREATE SCHEMA IF NOT EXISTS \"Bil ling\"')",
        "[op.execute(sa.schema.CreateSchema(name)) for name in ('crew', 'Bil ling')]",
        "[op.get_bind().execute(sa.schema.CreateSchema(name)) for name in ('crew', 'Bil ling')]",
    ],
)
def test_a_schema_that_a_pending_revision_makes_is_not_missed(db, tmp_path, made):
    shop = in_schemas(db, tmp_path, made)
    assert shop.migrate().applied == ["a1"]
    assert shop.run("ringfence", "plan").returncode == 0


@pytest.mark.engines("postgresql")
def test_a_schema_that_was_dropped_is_named_though_nothing_is_pending(db, tmp_path):
    shop = in_schemas(db, tmp_path, "op.execute('CREATE SCHEMA crew; CREATE SCHEMA \"Bil ling\"')")
    shop.migrate()
    db.execute("DROP SCHEMA crew CASCADE")
    done = shop.run("ringfence", "migrate")
    assert done.returncode == 1
    assert "CREATE SCHEMA crew AUTHORIZATION" in done.stderr


CHANGES = {
    "another type": 'op.alter_column("customer", "email", type_=sa.String(200))',
    "a column that goes": 'op.drop_column("customer", "email")',
    "a table that goes": 'op.drop_table("purchase"); op.drop_table("customer")',
}
VIEWS = {
    "VIEW": 'CREATE VIEW "known Ones" AS SELECT id, email FROM customer',
    "MATERIALIZED VIEW": 'CREATE MATERIALIZED VIEW "known Ones" AS SELECT id, email FROM customer',
}
THIRD = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op


def upgrade():
    BEFORE
    CHANGE


def downgrade():
    raise NotImplementedError
"""


@pytest.mark.engines("postgresql")
@pytest.mark.parametrize("kind", VIEWS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_view_on_what_a_revision_alters_is_named_before_anything_has_changed(shop, change, kind):
    shop.database.execute(VIEWS[kind])
    shop.write(
        "migrations/versions/c3.py", THIRD.replace("CHANGE", CHANGES[change]).replace("BEFORE", "pass")
    )
    for verb in (("plan",), ("migrate", "--no-lint", "a test", "--force", "a test", "--write-mirrors")):
        done = shop.run("ringfence", *verb)
        assert done.returncode == 1, done.stdout + done.stderr
        assert f'DROP {kind} "known Ones"' in done.stderr
        assert f'CREATE {kind} "known Ones" AS SELECT ' in done.stderr
    assert shop.database.execute("SELECT version_num FROM alembic_version") == [("b2",)]


def longer(shop):
    """Let the models say what the third revision makes."""
    models = (shop.root / "shop_models.py").read_text()
    shop.write("shop_models.py", models.replace("String(100), unique", "String(200), unique"))


@pytest.mark.engines("postgresql")
def test_a_view_that_the_revision_drops_first_is_no_obstacle(shop):
    shop.database.execute(VIEWS["VIEW"])
    dropped = "op.execute('DROP VIEW \"known Ones\"')"
    text = THIRD.replace("CHANGE", CHANGES["another type"]).replace("BEFORE", dropped)
    shop.write("migrations/versions/c3.py", text)
    longer(shop)
    assert shop.migrate().applied == ["c3"]


@pytest.mark.engines("postgresql")
def test_a_view_that_raw_sql_meets_is_named_with_the_resolution(shop):
    shop.database.execute(VIEWS["VIEW"])
    text = THIRD.replace("CHANGE", "op.execute('ALTER TABLE customer ALTER email TYPE varchar(200)')")
    shop.write("migrations/versions/c3.py", text.replace("BEFORE", "pass"))
    with pytest.raises(
        JobFailed, match=r'view "known Ones" depends on column "email"(.|\n)*op.execute'
    ) as failed:
        shop.migrate()
    assert "a migration failed" in str(failed.value)


@pytest.mark.engines("mariadb", "galera", "mysql", "sqlite")
def test_elsewhere_a_view_follows_its_table(shop):
    shop.database.execute("CREATE VIEW known AS SELECT id, email FROM customer")
    batch = (
        'with op.batch_alter_table("customer") as batch: batch.alter_column('
        '"email", type_=sa.String(200), existing_type=sa.String(100), existing_nullable=False)'
    )
    shop.write("migrations/versions/c3.py", THIRD.replace("CHANGE", batch).replace("BEFORE", "pass"))
    longer(shop)
    assert shop.migrate().applied == ["c3"]
    assert shop.database.execute("SELECT count(*) FROM known") == [(0,)]
