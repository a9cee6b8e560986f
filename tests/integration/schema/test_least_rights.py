"""The job under an admin who holds exactly the rights that docs/reference/admin-rights.md lists, and without one."""

import contextlib
import re

import psycopg2
import pytest

from ringfence.runtime.settings import Secret, Settings
from ringfence.schema.engines import reach
from ringfence.schema.errors import JobFailed
from ringfence.schema.privileges.service import plan_access
from ringfence.schema.verification.verify import verify
from servers import mysql_family, postgres
from support.deployments import lay_out

pytestmark = [pytest.mark.requires("accounts"), pytest.mark.newer]

PRIVILEGES = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES, CREATE TEMPORARY TABLES"
VIEWS = "CREATE VIEW, SHOW VIEW"


class PostgreSQLAdmin:
    """A role that may create roles and owns the database."""

    rights = ("createrole", "schema")

    def __init__(self, shop):
        self.shop = shop
        self.name = shop.login("boss")
        self.database = shop.database.name

    def make(self):
        with contextlib.closing(postgres.connect(*self._as_root("postgres"))) as root:
            root.cursor().execute(f"CREATE ROLE \"{self.name}\" LOGIN CREATEROLE PASSWORD 'x'")
            root.cursor().execute(f'ALTER DATABASE "{self.database}" OWNER TO "{self.name}"')

    def take(self, right):
        statement = {
            "createrole": f'ALTER ROLE "{self.name}" NOCREATEROLE',
            "schema": f'ALTER DATABASE "{self.database}" OWNER TO "{self.shop.database.server.admin_user}"',
        }[right]
        self.shop.database.execute(statement, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        return {"createrole": "may not create accounts", "schema": "may not create tables in schema public"}[
            right
        ]

    def _as_root(self, database):
        server = self.shop.database.server
        return server, database, server.admin_user, server.admin_password, 0


class FamilyAdmin:
    """An account with rights on one database that it may pass on, CREATE USER, and a look at mysql.*."""

    rights = ("CREATE USER", "INDEX", "temporary", "SHOW VIEW", "definer", "GRANT OPTION", "catalog")

    def __init__(self, shop):
        self.shop = shop
        self.name = shop.login("boss")
        self.pattern = shop.database.name.replace("_", r"\_")
        self.definer = "SET_ANY_DEFINER" if shop.database.server.engine == "mysql" else "SET USER"

    def make(self):
        me = f"'{self.name}'@'%'"
        self.shop.database.execute(
            f"CREATE USER {me} IDENTIFIED BY 'x'",
            f"GRANT CREATE USER ON *.* TO {me}",
            f"GRANT {PRIVILEGES} ON `{self.pattern}`.* TO {me} WITH GRANT OPTION",
            f"GRANT SELECT ON `mysql`.* TO {me}",
            # The shop lets an account read some columns of a table, for which a view stands before it.
            f"GRANT {VIEWS} ON `{self.pattern}`.* TO {me} WITH GRANT OPTION",
            f"GRANT {self.definer} ON *.* TO {me}",
        )

    def take(self, right):
        me = f"'{self.name}'@'%'"
        statement, told = {
            "CREATE USER": (f"REVOKE CREATE USER ON *.* FROM {me}", "may not create accounts"),
            "INDEX": (f"REVOKE INDEX ON `{self.pattern}`.* FROM {me}", "lacks INDEX on the database"),
            "temporary": (
                f"REVOKE CREATE TEMPORARY TABLES ON `{self.pattern}`.* FROM {me}",
                "lacks INDEX, CREATE TEMPORARY TABLES on the database: GRANT INDEX, CREATE TEMPORARY TABLES ON",
            ),
            "SHOW VIEW": (
                f"REVOKE SHOW VIEW ON `{self.pattern}`.* FROM {me}",
                "lacks SHOW VIEW on the database",
            ),
            "definer": (
                f"REVOKE {self.definer} ON *.* FROM {me}",
                "may not create a view that runs as another account",
            ),
            "GRANT OPTION": (
                f"REVOKE GRANT OPTION ON `{self.pattern}`.* FROM {me}",
                "may not grant its privileges to others",
            ),
            "catalog": (f"REVOKE SELECT ON `mysql`.* FROM {me}", "may not read the grants of other accounts"),
        }[right]
        self.shop.database.execute(statement)
        return told


@pytest.fixture
def admin(db, tmp_path):
    shop = lay_out(tmp_path, db)
    made = {postgres: PostgreSQLAdmin, mysql_family: FamilyAdmin}[db.operations](shop)
    made.make()
    return made


def job(admin, **more):
    return admin.shop.migrate(admin.shop.env(DB_USER=admin.name, DB_PASS="x", **more))


def test_the_least_rights_are_enough(admin):
    report = job(admin)
    assert report.warnings == []
    assert len(report.access.created) == 3
    shop = admin.shop
    assert verify(shop.load(), shop.settings(), shop.passwords()).findings == []


def test_a_second_run_alters_nothing_though_no_stored_password_can_be_read(admin):
    job(admin)
    assert job(admin).access.statements == []


def test_the_least_rights_change_and_take_away(admin):
    job(admin)
    shop = admin.shop
    access = (shop.root / "access.yaml").read_text()
    shop.write(
        "access.yaml", access.replace("purchase: ro", "purchase: {select: [id]}").partition("  door:")[0]
    )
    report = job(admin, TILL_DB_PASS="a new one: 8kQ2z")
    assert report.access.passwords == [shop.login("till")]
    assert report.access.locked == [shop.login("door")]
    passwords = shop.passwords()
    del passwords[shop.login("till")]
    findings = verify(shop.load(), shop.settings(), passwords).findings
    assert {finding.login for finding in findings} == {shop.login("till")}


def test_the_least_rights_see_what_an_adopted_account_may_through_a_role(admin):
    job(admin)
    shop = admin.shop
    sql = shop.database.server.db_type == "postgresql"
    user = f'"{shop.login("legacy")}"' if sql else f"'{shop.login('legacy')}'@'%'"
    role = f'"{shop.login("readers")}"' if sql else f"'{shop.login('readers')}'"
    shop.database.execute(
        f"CREATE USER {user} {'PASSWORD' if sql else 'IDENTIFIED BY'} 'theirs'",
        f"CREATE ROLE {role}",
        f"GRANT SELECT, DELETE ON purchase TO {role}",
        f"GRANT {role} TO {user}",
    )
    if sql and shop.database.execute("SHOW server_version_num")[0][0] >= "160000":
        shop.database.execute(f'GRANT {user} TO "{admin.name}" WITH ADMIN OPTION')
    text = (shop.root / "access.yaml").read_text()
    shop.write("access.yaml", text + "  legacy:\n    tables: {purchase: ro}\n")
    env = shop.env(DB_USER=admin.name, DB_PASS="x")
    lines = plan_access(shop.load(), env, adopt=True).adoption.lines
    seen = {line.verb: line.change for line in lines if line.table == "purchase"}
    assert seen == {"select": "kept", "delete": "lost"}
    shop.database.execute(f"DROP USER {user}", f"DROP {'OWNED BY' if sql else 'ROLE'} {role}")


def test_a_missing_right_is_named_before_anything_is_done(admin):
    for right in admin.rights:
        told = admin.take(right)
        with pytest.raises(JobFailed, match=told) as raised:
            job(admin)
        assert "changed nothing" in str(raised.value)
        if right == admin.rights[0]:
            assert "GRANT" in str(raised.value) or "ALTER" in str(raised.value)


@pytest.mark.engines("postgresql")
def test_a_table_that_belongs_to_another_is_named(admin):
    job(admin)
    admin.shop.database.execute("ALTER TABLE purchase OWNER TO CURRENT_USER")
    with pytest.raises(
        JobFailed, match=r"may neither alter nor grant public.purchase: ALTER TABLE .* OWNER TO"
    ):
        job(admin)


@pytest.mark.engines("postgresql")
def test_create_of_public_is_reported_where_the_admin_cannot_revoke_it(admin):
    owner = admin.shop.database.server.admin_user
    admin.shop.database.execute(
        f'ALTER DATABASE "{admin.database}" OWNER TO "{owner}"',
        "GRANT USAGE, CREATE ON SCHEMA public TO PUBLIC",
    )
    report = job(admin)
    assert any("PUBLIC may create tables in schema public" in warning for warning in report.warnings)


@pytest.mark.engines("postgresql")
def test_from_16_on_a_role_of_another_creator_is_named(admin):
    with contextlib.closing(admin.shop.database.connect()) as root:
        if root.server_version < 160000:
            job(admin)
            return
        with root.cursor() as cursor:
            cursor.execute(f'CREATE ROLE "{admin.shop.login("till")}" LOGIN')
    with pytest.raises(JobFailed, match=r"may not change the account .*WITH ADMIN OPTION"):
        job(admin)


@pytest.mark.engines("mariadb", "galera", "mysql")
def test_what_only_the_servers_administrator_can_revoke_is_reported_and_not_tried(admin):
    job(admin)
    admin.shop.database.execute(f"GRANT PROCESS ON *.* TO '{admin.shop.login('till')}'@'%'")
    with pytest.raises(JobFailed, match=r"till: process on server: only an administrator of the server"):
        job(admin)


@pytest.mark.engines("postgresql")
@pytest.mark.parametrize(
    ("make", "thing", "right"),
    [
        ("CREATE TABLE elsewhere.thing (id int)", "TABLE {}", "SELECT"),
        ("CREATE SEQUENCE elsewhere.thing", "SEQUENCE {}", "USAGE"),
        (
            "CREATE FUNCTION elsewhere.thing(i int) RETURNS int LANGUAGE sql RETURN i",
            "ROUTINE {}(i integer)",
            "EXECUTE",
        ),
        ("SELECT 1", "SCHEMA {schema}", "CREATE"),
    ],
)
def test_a_grant_on_what_is_not_the_admins_is_reported_and_not_tried(admin, make, thing, right):
    job(admin)
    shop = admin.shop
    on = thing.format(
        '"elsewhere".thing' if "ROUTINE" in thing else '"elsewhere"."thing"', schema='"elsewhere"'
    )
    root, till = shop.database.server.admin_user, shop.login("till")
    given, revoke = f'GRANT {right} ON {on} TO "{till}"', f'REVOKE {right} ON {on} FROM "{till}"'
    shop.database.execute("CREATE SCHEMA elsewhere", make, given)
    with pytest.raises(JobFailed, match=f'who alone can revoke it: as "{root}", {re.escape(revoke)}'):
        job(admin)
    shop.database.execute(revoke)
    job(admin)


@pytest.mark.engines("mariadb", "galera", "mysql")
def test_a_grant_that_spells_the_database_otherwise_than_the_admins_own_is_reported_and_not_tried(admin):
    job(admin)
    shop, till = admin.shop, f"'{admin.shop.login('till')}'@'%'"
    assert "_" in shop.database.name
    shop.database.execute(f"GRANT SELECT ON `{shop.database.name}`.* TO {till}")
    revoke = f"REVOKE SELECT ON `{shop.database.name}`.* FROM {till}"
    with pytest.raises(JobFailed, match=re.escape(f"administrator of the server can revoke it: {revoke}")):
        job(admin)
    shop.database.execute(revoke)
    job(admin)


@pytest.mark.engines("mariadb", "mysql")
def test_guards_and_bound_scopes_want_more_and_say_what(admin):
    shop, me = admin.shop, f"'{admin.name}'@'%'"
    access = (shop.root / "access.yaml").read_text()
    rows = 'purchase: {verbs: rw, rows: {customer_id: ":customer"}}'
    shop.write("access.yaml", access.replace("purchase: rw", rows))
    with pytest.raises(
        JobFailed, match="lacks TRIGGER, CREATE ROUTINE, ALTER ROUTINE, EXECUTE on the"
    ) as raised:
        job(admin)
    told = str(raised.value)
    logs, trusts = shop.database.execute("SELECT @@GLOBAL.log_bin, @@GLOBAL.log_bin_trust_function_creators")[
        0
    ]
    assert ("SET GLOBAL log_bin_trust_function_creators = ON" in told) == bool(logs and not trusts)
    shop.database.execute(
        f"GRANT TRIGGER, CREATE ROUTINE, ALTER ROUTINE, EXECUTE ON `{admin.pattern}`.* TO {me} WITH GRANT OPTION",
        "SET GLOBAL log_bin_trust_function_creators = 1",
    )
    try:
        job(admin)
        assert job(admin).access.statements == []
        shop.write("access.yaml", access)
        job(admin)
    finally:
        shop.database.execute(f"SET GLOBAL log_bin_trust_function_creators = {trusts}")


@pytest.mark.engines("postgresql")
def test_a_server_with_trust_authentication_proves_no_password(own_server, tmp_path):
    server = own_server("postgresql")
    hba = server.processes[0].folder / "data" / "pg_hba.conf"
    with server.database() as database:
        shop = lay_out(tmp_path, database)
        boss = PostgreSQLAdmin(shop)
        boss.make()
        job(boss)
        hba.write_text("host all all 127.0.0.1/32 trust\n")
        database.execute("SELECT pg_reload_conf()")
        for _ in range(100):
            with contextlib.suppress(psycopg2.OperationalError):
                database.connect(shop.login("till"), "wrong").close()
                break
        report = job(boss)
        assert sorted(report.access.passwords) == sorted(map(shop.login, ("till", "report", "door")))


REFUSALS = {
    "no connection left": ('ALTER ROLE "{}" CONNECTION LIMIT 0', 'ALTER ROLE "{}" CONNECTION LIMIT -1'),
    "ended": ("ALTER ROLE \"{}\" VALID UNTIL '2001-01-01'", "ALTER ROLE \"{}\" VALID UNTIL 'infinity'"),
    "no login": ('ALTER ROLE "{}" NOLOGIN', 'ALTER ROLE "{}" LOGIN'),
}


@pytest.mark.engines("postgresql")
@pytest.mark.parametrize("why", REFUSALS)
def test_a_login_that_is_refused_for_something_else_than_its_password_keeps_it(admin, why):
    job(admin)
    shop, (hand, back) = admin.shop, REFUSALS[why]
    backend = reach(Settings.from_env(shop.env(DB_USER=admin.name, DB_PASS="x")))
    login, given = shop.login("till"), shop.passwords()
    shop.database.execute(hand.format(login))
    with backend.engine().connect() as connection:
        assert backend.accounts.roles.compare_passwords(connection, given).other == set()
        [told] = backend.accounts.roles.compare_passwords(connection, given).unknown
        assert login in told
        wrong = given | {login: Secret("quite-another-8kQ2zW5v")}
        shop.database.execute(back.format(login))
        assert backend.accounts.roles.compare_passwords(connection, wrong).other == {login}
        assert backend.accounts.roles.compare_passwords(connection, given).unknown == []
