"""What reaches an account of PostgreSQL beside grants is planned, proven, and closed; or refused by name."""

import pytest

from ringfence.schema.errors import JobFailed
from ringfence.schema.privileges.service import apply_access
from support.deployments import lay_out
from support.manual_changes import asked, change, findings, is_closed, is_refused, plan, quoted

pytestmark = [pytest.mark.engines("postgresql"), pytest.mark.newer]

MEMBERS = """
    SELECT m.rolname FROM pg_auth_members am JOIN pg_roles r ON r.oid = am.roleid JOIN pg_roles m ON m.oid = am.member
    WHERE r.rolname = '{till}' ORDER BY 1
"""
MEMBER_OF = """
    SELECT r.rolname FROM pg_auth_members am JOIN pg_roles r ON r.oid = am.roleid JOIN pg_roles m ON m.oid = am.member
    WHERE m.rolname = '{till}' ORDER BY 1
"""
ATTRIBUTES = """
    SELECT rolbypassrls, rolreplication, rolcreaterole, rolcreatedb, rolcanlogin, rolconnlimit,
           coalesce(rolvaliduntil, 'infinity') = 'infinity'
    FROM pg_roles WHERE rolname = '{till}'
"""
PLAIN = [(False, False, False, False, True, -1, True)]
SETTINGS = """
    SELECT unnest(setconfig) FROM pg_db_role_setting s
    WHERE setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = '{till}'))
      AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
"""


RESTORED = [
    "DROP ROLE IF EXISTS {kong}, {inner}, {group}",
    "ALTER ROLE {till} RESET ALL",
    "ALTER ROLE {till} IN DATABASE {database} RESET ALL",
    "ALTER ROLE {admin} IN DATABASE {database} RESET ALL",
    "ALTER DATABASE {database} RESET ALL",
]


@pytest.fixture(scope="module")
def migrated(server, tmp_path_factory):
    """One deployment for all tests: each ends with what it changed repaired."""
    with server.database() as database:
        shop = lay_out(tmp_path_factory.mktemp("exposed"), database)
        shop.migrate()
        yield shop


@pytest.fixture
def shop(migrated):
    yield migrated
    admin = migrated.database.server.admin_user
    change(migrated, *quoted([statement.replace("{admin}", f'"{admin}"') for statement in RESTORED]))


OUTSIDERS = {
    "directly": (
        ["CREATE ROLE {kong} LOGIN", "GRANT {till} TO {kong}"],
        "{kong} is a member of the account {till}, and has all its rights",
    ),
    "by a chain of roles": (
        [
            "CREATE ROLE {group}",
            "CREATE ROLE {inner}",
            "CREATE ROLE {kong} LOGIN",
            "GRANT {till} TO {group}",
            "GRANT {group} TO {inner}",
            "GRANT {inner} TO {kong}",
        ],
        "{group}, and through it {kong}, is a member of the account {till}",
    ),
    "with the admin option": (
        ["CREATE ROLE {kong} LOGIN", "GRANT {till} TO {kong} WITH ADMIN OPTION"],
        "{kong} is a member of the account {till}, and has all its rights",
    ),
    "as one who passed it on": (
        [
            "CREATE ROLE {kong} LOGIN",
            "CREATE ROLE {inner} LOGIN",
            "GRANT {till} TO {kong} WITH ADMIN OPTION",
            "SET ROLE {kong}",
            "GRANT {till} TO {inner}",
            "RESET ROLE",
        ],
        "{inner} is a member of the account {till}",
    ),
    "as an account that goes": (
        ["CREATE ROLE {group}", "GRANT {till} TO {group}"],
        "{group} is a member of the account {till}",
    ),
}


def test_an_outsider_in_an_account_is_put_out(shop):
    for statements, says in OUTSIDERS.values():
        is_closed(shop, *quoted(statements), says=says, query=MEMBERS)
        change(shop, *quoted(["DROP ROLE IF EXISTS {kong}, {inner}, {group}"]))


@pytest.mark.parametrize(
    "role",
    ["pg_read_all_data", "pg_write_all_data", "pg_execute_server_program", "pg_signal_backend", "pg_monitor"],
)
def test_a_predefined_role_is_no_account_s(shop, role):
    is_closed(
        shop,
        f'GRANT {role} TO "{{till}}"',
        says=f"the account {{till}} is a member of {role}.*: it may ",
        query=MEMBER_OF,
    )


def test_nor_is_it_by_way_of_another_role(shop):
    is_closed(
        shop,
        *quoted(["CREATE ROLE {group}", "GRANT pg_read_all_data TO {group}", "GRANT {group} TO {till}"]),
        says="the account {till} is a member of {group}, and by that of pg_read_all_data: it may read every table",
        query=MEMBER_OF,
    )


@pytest.mark.parametrize("word", ["BYPASSRLS", "REPLICATION", "CREATEROLE", "CREATEDB"])
def test_what_a_role_may_by_itself_is_taken_from_an_account(shop, word):
    is_closed(
        shop,
        f'ALTER ROLE "{{till}}" {word}',
        says=f"the account {{till}} has {word}",
        query=ATTRIBUTES,
        left=PLAIN,
    )


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("VALID UNTIL '2020-01-01'", "the account {till} has valid_until = '2020-01-01"),
        ("VALID UNTIL '-infinity'", "the account {till} has valid_until = '-infinity'"),
        ("CONNECTION LIMIT 0", "the account {till} has connection_limit = '0'"),
    ],
)
def test_an_account_that_cannot_log_in_any_more_is_mended(shop, what, says):
    is_closed(
        shop, f'ALTER ROLE "{{till}}" {what}', says=says, finding="missing", query=ATTRIBUTES, left=PLAIN
    )


OWN_SETTINGS = [
    "search_path = pg_catalog",
    "row_security = off",
    "session_replication_role = replica",
    "default_transaction_read_only = on",
    "statement_timeout = '1ms'",
    "app.tenant_id = '7'",
]


@pytest.mark.parametrize("where", ["", 'IN DATABASE "{database}" '])
def test_a_setting_of_an_account_is_reset(shop, where):
    change(shop, *(f'ALTER ROLE "{{till}}" {where}SET {setting}' for setting in OWN_SETTINGS))
    said_of = {one.message for one in findings(shop) if one.login == shop.login("till")}
    for setting in OWN_SETTINGS:
        word = setting.partition(" ")[0]
        assert any(word in one for one in said_of), (word, said_of)
    apply_access(shop.load(), shop.env())
    assert asked(shop, SETTINGS) == []
    assert plan(shop).agrees
    assert findings(shop) == []


@pytest.mark.parametrize("where", ["", 'IN DATABASE "{database}" '])
def test_what_writes_down_what_an_account_does_goes_on(shop, where):
    """An audit is somebody else's: it changes no reach, and to end it would hide what sessions do."""
    change(
        shop,
        *(
            f'ALTER ROLE "{{till}}" {where}SET {setting}'
            for setting in ("log_statement = 'all'", "pgaudit.log = 'write'")
        ),
    )
    apply_access(shop.load(), shop.env())
    assert sorted(asked(shop, SETTINGS)) == [("log_statement=all",), ("pgaudit.log=write",)]
    made = plan(shop)
    assert made.agrees, (made.sql(), made.obstacles)
    for setting in ("log_statement = 'all'", "pgaudit.log = 'write'"):
        assert any(setting in one and "RESET" in one for one in made.warnings), made.warnings
    assert findings(shop) == []


@pytest.mark.parametrize(
    ("setting", "finding"),
    [
        ("role = '{till}'", "excess"),
        ("session_replication_role = replica", "excess"),
        ("row_security = off", "missing"),
        ("lo_compat_privileges = on", "excess"),
        ("search_path = pg_catalog", "missing"),
    ],
)
def test_a_setting_of_all_roles_is_reported_and_left_to_a_person(shop, setting, finding):
    word = setting.partition(" ")[0]
    admin = shop.database.server.admin_user
    reset = f'ALTER DATABASE "{{database}}" RESET "{word}"'
    change(
        shop,
        *(
            f'ALTER ROLE "{admin}" IN DATABASE "{{database}}" SET {own}'
            for own in ("role = none", "search_path = public")
        ),
        f'ALTER DATABASE "{{database}}" SET {setting}',
    )
    is_refused(
        shop, says=f"each session of every role begins with {word} = ", resolution=reset, finding=finding
    )
    change(shop, reset)
    assert plan(shop).agrees


def test_a_setting_of_all_roles_that_changes_no_access_is_left(shop):
    change(
        shop,
        """ALTER DATABASE "{database}" SET statement_timeout = '1min'""",
        """ALTER DATABASE "{database}" SET search_path = "$user", nothing, public""",
    )
    assert plan(shop).agrees
    assert findings(shop) == []


def test_a_job_refuses_it_before_its_first_revision(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    shop.write(
        "migrations/versions/c3.py",
        'revision = "c3"\ndown_revision = "b2"\nfrom alembic import op\n\n\n'
        'def upgrade():\n    op.execute("SELECT 1")\n',
    )
    setting = """ALTER DATABASE "{database}" {} session_replication_role"""
    change(shop, setting.replace("{}", "SET") + " = 'replica'")
    with pytest.raises(
        JobFailed, match=r"changed nothing:\s+each session of every role begins with session_rep"
    ):
        shop.migrate()
    assert asked(shop, "SELECT version_num FROM alembic_version") == [("b2",)]
    change(shop, setting.replace("{}", "RESET"))
    shop.migrate()
    assert asked(shop, "SELECT version_num FROM alembic_version") == [("c3",)]
