"""A default of PostgreSQL that names its sequence by a text: the server keeps no dependency, and the grant comes all the same."""

import pytest

from ringfence.schema.engines import reach
from ringfence.schema.engines.postgresql.function_calls import calls
from ringfence.schema.privileges.service import apply_access
from support.deployments import lay_out
from support.manual_changes import change, findings, plan, quoted

pytestmark = pytest.mark.engines("postgresql")

DEFAULTS = {
    "a text": ("ALTER TABLE purchase ADD counted bigint DEFAULT nextval('counted'::text)",),
    "a text with its schema": (
        "CREATE SCHEMA apart",
        "ALTER SEQUENCE counted SET SCHEMA apart",
        "ALTER TABLE purchase ADD counted bigint DEFAULT nextval('apart.counted'::text) * 10",
    ),
    "a varchar": ("ALTER TABLE purchase ADD counted bigint DEFAULT nextval('counted'::varchar)",),
    "a quoted name": (
        """ALTER SEQUENCE counted RENAME TO "Counted on" """,
        """ALTER TABLE purchase ADD counted bigint DEFAULT nextval('public."Counted on"'::text)""",
    ),
    "a domain's default": (
        "CREATE DOMAIN number AS bigint DEFAULT nextval('counted'::text)",
        "ALTER TABLE purchase ADD counted number",
    ),
}


@pytest.mark.parametrize("kind", DEFAULTS)
def test_the_sequence_behind_a_text_is_given(db, tmp_path, kind):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    change(
        shop, "INSERT INTO customer (id, email, active) VALUES (1, 'a@b', true)", "CREATE SEQUENCE counted"
    )
    change(shop, *DEFAULTS[kind])
    assert [one for one in findings(shop) if one.kind == "missing"]
    apply_access(shop.load(), shop.env())
    with shop.connect("door") as door, door.cursor() as cursor:
        cursor.execute("INSERT INTO purchase (customer_id, amount) VALUES (1, 5)")
        assert cursor.rowcount == 1
    assert plan(shop).agrees


def test_a_text_that_no_sequence_can_be_named_by_is_passed_over(db, tmp_path):
    """The default fails for everybody: no grant helps."""
    shop = lay_out(tmp_path, db)
    shop.migrate()
    change(shop, "ALTER TABLE customer ALTER COLUMN id SET DEFAULT nextval('no such. name'::text)")
    assert plan(shop).obstacles == []


PRIVATE = (
    "CREATE SCHEMA private",
    "CREATE SEQUENCE private.counted",
    "CREATE TABLE of_another (id bigint DEFAULT nextval('private.counted'::text))",
    "CREATE DOMAIN number AS bigint DEFAULT nextval('private.counted'::text)",
    "CREATE TABLE of_a_third (id number)",
)


def test_a_sequence_in_a_schema_that_the_admin_may_not_use_stops_nothing(db, tmp_path):
    shop = lay_out(tmp_path, db)
    change(
        shop,
        *quoted(
            ["CREATE ROLE {boss} LOGIN CREATEROLE PASSWORD 'x'", "ALTER DATABASE {database} OWNER TO {boss}"]
        ),
    )
    env = shop.env(DB_USER=shop.login("boss"), DB_PASS="x")
    shop.migrate(env)
    change(shop, "INSERT INTO customer (id, email, active) VALUES (1, 'a@b', true)", *PRIVATE)
    made = plan(shop, env)
    assert made.agrees, (made.sql(), made.obstacles)
    assert findings(shop, env) == []
    assert shop.migrate(env).access.statements == []
    change(shop, "ALTER TABLE purchase ADD counted bigint DEFAULT nextval('private.counted'::text)")
    obstacles = plan(shop, env).obstacles
    assert len(obstacles) == 2, obstacles
    assert all("calls the sequence private.counted, which belongs to" in one for one in obstacles), obstacles
    # The schema is its owner's to open too: no plan of the admin's gives it, and the proof finds that it is missing.
    change(shop, *quoted(["GRANT USAGE ON SEQUENCE private.counted TO {door}, {till}"]))
    apply_access(shop.load(), env)
    assert {one.kind for one in findings(shop, env)} == {"missing"}
    change(shop, *quoted(["GRANT USAGE ON SCHEMA private TO {door}, {till}"]))
    made = plan(shop, env)
    assert made.agrees, (made.sql(), made.obstacles)
    assert findings(shop, env) == []


@pytest.mark.parametrize(
    "name",
    [
        "Counted",
        '"counted"',
        '"Counted on"',
        '"a "" quote"',
        "apart.s",
        '"Apart two"."s.t"',
        "größe",
        "s" * 70,
    ],
)
def test_names_are_read_as_the_server_reads_them(db, tmp_path, name):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    change(
        shop,
        "CREATE SCHEMA apart",
        'CREATE SCHEMA "Apart two"',
        f"CREATE SEQUENCE {name}",
        f"ALTER TABLE purchase ADD counted bigint DEFAULT nextval('{name}'::text)",
    )
    oid = shop.database.execute("SELECT oid FROM pg_class WHERE relkind = 'S' ORDER BY oid DESC LIMIT 1")[0][
        0
    ]
    with reach(shop.settings()).engine().connect() as connection:
        found = {call.oid for call in calls(connection) if call.table == "purchase" and call.verb == "insert"}
    assert oid in found


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a.",
        ".a",
        '""',
        '"',
        '"a',
        'a"b"',
        "1a",
        "a b",
        "a..b",
        "a.b.c.d",
        "$a",
        "a-b",
        '"a"".b',
        "é.",
    ],
)
def test_a_text_that_is_no_name_raises_nothing(db, tmp_path, text):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    change(shop, f"CREATE TABLE odd (id bigint DEFAULT nextval('{text}'::text))")
    with reach(shop.settings()).engine().connect() as connection:
        assert not [call for call in calls(connection) if call.table == "odd"]
