"""A view, function or trigger that a migration makes in its own words, and a hand replaced afterwards."""

import pytest

from ringfence.runtime import Database, Mirror, Settings
from ringfence.runtime.errors import AccessDenied
from ringfence.schema.errors import JobFailed
from ringfence.schema.job.plan import plan_job
from ringfence.schema.privileges.service import apply_access, plan_access
from ringfence.schema.verification.verify import verify
from support.deployments import lay_out

pytestmark = pytest.mark.newer

MODELS = """
import sqlalchemy as sa

metadata = sa.MetaData()
sa.Table("customer", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(40)))
sa.Table("shown", metadata, sa.Column("id", sa.Integer), sa.Column("name", sa.String(40)), info={"view": True})
"""
REVISION = """
revision = "a1"
down_revision = None
import sqlalchemy as sa
from alembic import op


def upgrade():
    op.create_table(
        "customer", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(40))
    )
    for statement in STATEMENTS:
        op.execute(statement)
"""
LATER = """
revision = "b2"
down_revision = "a1"
from alembic import op


def upgrade():
    for statement in STATEMENTS:
        op.execute(statement)
"""
ACCESS = """
version: 1
defaults: {login: "PREFIX{service}"}
accounts:
  reader:
    views: {shown: ro}
    FUNCTIONS
  writer:
    tables: {customer: [insert]}
"""
VIEW = "VIEW shown AS SELECT id, name FROM customer WHERE id > 10"
WIDE = "VIEW shown AS SELECT id, name FROM customer WHERE id > 1"
PG_FUNCTION = (
    "FUNCTION counted(lowest integer) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = public"
    " AS $$ SELECT count(*) FROM customer WHERE id > lowest $$"
)
PG_TRIGGER = [
    "CREATE FUNCTION trimmed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := trim(NEW.name);"
    " RETURN NEW; END $$",
    "CREATE TRIGGER trims BEFORE INSERT ON customer FOR EACH ROW EXECUTE FUNCTION trimmed()",
]
MY_FUNCTION = (
    "FUNCTION counted(lowest int) RETURNS bigint READS SQL DATA{}"
    " RETURN (SELECT count(*) FROM customer WHERE id > lowest)"
)
MY_TRIGGER = "TRIGGER trims BEFORE INSERT ON customer FOR EACH ROW SET NEW.name = trim(NEW.name)"
LITE_TRIGGER = "TRIGGER trims AFTER INSERT ON customer BEGIN UPDATE customer SET name = trim(name) WHERE id = NEW.id; END"
MAKES = {
    "postgresql": [f"CREATE {VIEW}", f"CREATE {PG_FUNCTION}", *PG_TRIGGER],
    "mysql": [f"CREATE {VIEW}", f"CREATE {MY_FUNCTION.format('')}", f"CREATE {MY_TRIGGER}"],
    "sqlite": [f"CREATE {VIEW}", f"CREATE {LITE_TRIGGER}"],
}
SIGNATURES = {"postgresql": "counted(integer)", "mysql": "counted(int)"}
# For each engine: what a hand does, what is said of it, how the proof calls it, and what takes it back.
BY_HAND = {
    "postgresql": [
        ([f"CREATE OR REPLACE {WIDE}"], "view shown", "excess", [f"CREATE OR REPLACE {VIEW}"]),
        (
            ["ALTER VIEW shown SET (security_barrier = true)"],
            "view shown",
            "excess",
            ["ALTER VIEW shown RESET (security_barrier)"],
        ),
        (
            [f"CREATE OR REPLACE {PG_FUNCTION.replace('id > lowest', 'true')}"],
            "function counted(",
            "excess",
            [f"CREATE OR REPLACE {PG_FUNCTION}"],
        ),
        (
            ["ALTER FUNCTION counted(integer) RESET search_path"],
            "function counted(",
            "excess",
            [f"CREATE OR REPLACE {PG_FUNCTION}"],
        ),
        (
            ["ALTER TABLE customer DISABLE TRIGGER trims"],
            "trigger customer.trims",
            "excess",
            ["ALTER TABLE customer ENABLE TRIGGER trims"],
        ),
        (["DROP TRIGGER trims ON customer"], "trigger customer.trims", "missing", PG_TRIGGER[1:]),
    ],
    "mysql": [
        ([f"CREATE OR REPLACE {WIDE}"], "view shown", "excess", [f"CREATE OR REPLACE {VIEW}"]),
        (
            ["ALTER FUNCTION counted SQL SECURITY INVOKER"],
            "function counted",
            "excess",
            ["ALTER FUNCTION counted SQL SECURITY DEFINER"],
        ),
        (["DROP TRIGGER trims"], "trigger customer.trims", "missing", [f"CREATE {MY_TRIGGER}"]),
    ],
    "sqlite": [
        (
            ["DROP VIEW shown", f"CREATE {WIDE}"],
            "view shown",
            "excess",
            ["DROP VIEW shown", f"CREATE {VIEW}"],
        ),
        (["DROP TRIGGER trims"], "trigger customer.trims", "missing", [f"CREATE {LITE_TRIGGER}"]),
    ],
}


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    engine = db.server.db_type
    (shop.root / "migrations/versions/b2.py").unlink()
    shop.write("shop_models.py", MODELS)
    functions = f"functions: [{SIGNATURES[engine]}]" if engine in SIGNATURES else ""
    shop.write("access.yaml", ACCESS.replace("FUNCTIONS", functions))
    if functions:
        shop.write(
            "ringfence.toml",
            (shop.root / "ringfence.toml").read_text().replace(', "sqlite"]', "]"),
        )
    shop.write("migrations/versions/a1.py", REVISION.replace("STATEMENTS", repr(MAKES[engine])))
    shop.migrate()
    return shop


def obstacles(shop):
    return plan_access(shop.load(), shop.database.env()).obstacles


def proven(shop):
    found = verify(shop.load(), shop.settings(), shop.passwords()).findings
    # On SQLite what a view or trigger reads is asked of the account too, which was given none of it.
    return found if shop.database.server.hosts else [one for one in found if not one.login]


def later(shop, *statements):
    shop.write("migrations/versions/b2.py", LATER.replace("STATEMENTS", repr(list(statements))))


def test_what_a_hand_replaced_is_named_and_refused(shop):
    assert (obstacles(shop), proven(shop)) == ([], [])
    shop.migrate()
    for change, says, finding, back in BY_HAND[shop.database.server.db_type]:
        shop.database.execute(*change)
        (obstacle,) = obstacles(shop)
        assert obstacle.startswith(says), obstacle
        assert "write a revision" in obstacle
        assert [f.kind for f in proven(shop) if says in f.message] == [finding]
        assert plan_job(shop.load(), shop.env()).obstacles == [obstacle]
        with pytest.raises(JobFailed, match="changed nothing") as refused:
            shop.migrate()
        assert says in str(refused.value)
        if shop.database.server.hosts:
            with pytest.raises(JobFailed, match="no account was changed"):
                apply_access(shop.load(), shop.env())
        shop.database.execute(*back)
        assert (obstacles(shop), proven(shop)) == ([], []), change


def test_a_revision_that_names_it_answers_for_it(shop):
    replace = ["DROP VIEW IF EXISTS shown", f"CREATE {WIDE}"]
    shop.database.execute(*replace)
    later(shop, "SELECT 1")
    with pytest.raises(JobFailed, match="view shown differs from what the last job recorded"):
        shop.migrate()
    later(shop, *replace)  # the very same words
    assert plan_job(shop.load(), shop.env()).obstacles == []
    shop.migrate()
    assert (obstacles(shop), proven(shop)) == ([], [])
    shop.database.execute("DROP VIEW shown", f"CREATE {VIEW}")
    (obstacle,) = obstacles(shop)
    assert obstacle.startswith("view shown")


def test_a_revision_that_drops_it_leaves_nothing_to_compare(shop):
    shop.write("shop_models.py", "\n".join(MODELS.splitlines()[:-1]))
    access = (shop.root / "access.yaml").read_text()
    shop.write("access.yaml", access.replace("views: {shown: ro}", "tables: {customer: ro}"))
    later(shop, "DROP VIEW shown")
    shop.migrate()
    assert obstacles(shop) == []


def test_what_no_migration_made_is_left_alone(shop):
    made = "VIEW of_others AS SELECT id FROM customer"
    shop.database.execute(f"CREATE {made}")
    shop.migrate()
    shop.database.execute("DROP VIEW of_others", f"CREATE {made} WHERE id > 1")
    assert obstacles(shop) == []
    shop.migrate()


@pytest.mark.requires("accounts")
def test_what_stood_before_and_accounts_reach_is_compared_too(shop):
    later(shop, "SELECT 1")
    text = (shop.root / "migrations/versions/a1.py").read_text()
    shop.write("migrations/versions/a1.py", text.replace("for statement in", "for statement in () and"))
    shop.migrate()
    engine = shop.database.server.db_type
    change = [PG_FUNCTION.replace("id > lowest", "true")] if engine == "postgresql" else []
    shop.database.execute(f"CREATE OR REPLACE {WIDE}", *(f"CREATE OR REPLACE {one}" for one in change))
    assert [one.split()[:2] for one in obstacles(shop)] == [
        *([["function", "counted(lowest"]] if change else []),
        ["view", "shown"],
    ]


def test_at_another_revision_or_on_another_version_nothing_is_compared(shop):
    wide = ["DROP VIEW shown", f"CREATE {WIDE}"]
    shop.database.execute(*wide, "UPDATE ringfence_definition SET version = 'another 1'")
    assert obstacles(shop) == []
    shop.migrate()
    assert shop.database.execute("SELECT DISTINCT version FROM ringfence_definition") != [("another 1",)]
    shop.database.execute(
        "UPDATE ringfence_definition SET revisions = 'z9'", "DROP VIEW shown", f"CREATE {VIEW}"
    )
    assert obstacles(shop) == []
    shop.migrate()
    shop.database.execute(*wide)
    assert [one[:10] for one in obstacles(shop)] == ["view shown"]


def test_a_revision_that_only_has_a_column_of_that_name_does_not_answer_for_it(shop):
    shop.database.execute("DROP VIEW shown", f"CREATE {WIDE}")
    shop.write(
        "migrations/versions/b2.py",
        '"""Add what is shown."""\nrevision = "b2"\ndown_revision = "a1"\nimport sqlalchemy as sa\nfrom alembic import op\n\n\n'
        'def upgrade():\n    op.add_column("customer", sa.Column("shown", sa.Integer))\n',
    )
    with pytest.raises(JobFailed, match="view shown differs from what the last job recorded"):
        shop.migrate()


@pytest.mark.engines("sqlite")
def test_the_key_alone_is_read_through_a_view(shop):
    shop.database.execute("INSERT INTO customer VALUES (5, 'a'), (11, 'b'), (12, 'c')")
    with Database(Settings.from_env(shop.env()), Mirror.load(shop.root / "mirrors/reader.json")) as database:
        with database.session() as dal:
            assert sorted(row.id for row in dal(dal.shown).select(dal.shown.id)) == [11, 12]
            assert dal(dal.shown).count() == 2
        for sql in (
            "SELECT count(*) FROM customer",
            "SELECT 1 FROM customer, shown",
            "SELECT id FROM customer",
        ):
            with pytest.raises(AccessDenied), database.session() as dal:
                dal.executesql(sql)


@pytest.mark.engines("mysql", "mariadb")
def test_a_function_and_a_procedure_of_one_name_and_their_arguments_are_distinguished(shop):
    procedure = "PROCEDURE counted({}) SELECT one, other"
    later(shop, f"CREATE {procedure.format('one int, other int')}")
    shop.migrate()
    assert obstacles(shop) == []
    shop.database.execute(
        "DROP PROCEDURE counted", f"CREATE {procedure.format('other int, one int')}", "DROP FUNCTION counted"
    )
    assert [one.partition(": ")[0] for one in obstacles(shop) if "by hand" in one] == [
        "function counted no longer exists",
        "function counted (procedure) differs from what the last job recorded",
    ]


@pytest.mark.engines("postgresql")
def test_a_trigger_of_a_view_and_of_a_partition_count_too(shop):
    body = "FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
    later(
        shop,
        f"CREATE {body}",
        "CREATE TRIGGER writes INSTEAD OF INSERT ON shown FOR EACH ROW EXECUTE FUNCTION nothing()",
        "CREATE TABLE event (id integer) PARTITION BY RANGE (id)",
        "CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM (1) TO (9)",
        "CREATE TRIGGER aside BEFORE INSERT ON event_1 FOR EACH ROW EXECUTE FUNCTION nothing()",
    )
    shop.migrate()
    assert obstacles(shop) == []
    shop.database.execute("DROP TRIGGER writes ON shown", "ALTER TABLE event_1 DISABLE TRIGGER aside")
    assert [one.partition(": ")[0] for one in obstacles(shop)] == [
        "trigger event_1.aside differs from what the last job recorded",
        "trigger shown.writes no longer exists",
    ]


@pytest.mark.engines("postgresql")
def test_a_function_that_no_migration_made_and_whose_name_needs_quotes_counts(shop):
    made = 'FUNCTION "My Audit"."Count It"() RETURNS integer LANGUAGE sql AS $$ SELECT {} $$'
    shop.database.execute('CREATE SCHEMA "My Audit"', f"CREATE {made.format(1)}")
    access = (shop.root / "access.yaml").read_text()
    signature = '\'"My Audit"."Count It"()\''
    shop.write("access.yaml", access.replace("functions: [", f"functions: [{signature}, "))
    shop.migrate()
    shop.database.execute(f"CREATE OR REPLACE {made.format(2)}")
    assert [one.partition(": ")[0] for one in obstacles(shop)] == [
        "function My Audit.Count It() differs from what the last job recorded"
    ]


@pytest.mark.engines("postgresql")
def test_another_search_path_of_the_admin_changes_no_definition(shop):
    shop.database.execute("CREATE SCHEMA apart", "CREATE TABLE apart.more (id integer)")
    later(shop, "CREATE VIEW both_of AS SELECT c.id FROM customer c JOIN apart.more m ON m.id = c.id")
    shop.migrate()
    admin = shop.database.server.admin_user
    own = f'ALTER ROLE "{admin}" IN DATABASE "{shop.database.name}"'
    for path in ("public, apart", "apart, public"):  # the second one has another default schema
        shop.database.execute(f"{own} SET search_path = {path}")
        assert [one for one in obstacles(shop) if "last job" in one] == []
    shop.database.execute(f"{own} RESET search_path")
    shop.database.execute("CREATE OR REPLACE VIEW both_of AS SELECT id FROM customer")
    assert [one.partition(" differs ")[0] for one in obstacles(shop)] == ["view both_of"]
