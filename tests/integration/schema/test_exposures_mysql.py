"""What reaches an account of the MySQL family beside grants: found by plan, named by the proof, repaired or refused."""

import contextlib
import re

import pymysql
import pytest

from ringfence.schema.errors import JobFailed
from ringfence.schema.privileges.service import apply_access, plan_access
from ringfence.schema.verification.verify import verify
from servers.mysql_family import definer
from support.deployments import lay_out

pytestmark = pytest.mark.engines("mysql", "mariadb", "galera")


class Made:
    """A deployment on a server, where somebody changes things by hand."""

    def __init__(self, shop):
        self.shop = shop
        self.database = shop.database
        self.engine = shop.database.server.engine
        self.till = f"'{shop.login('till')}'@'%'"
        self.kong = f"'{shop.login('kong')}'@'%'"
        self.role = shop.login("role")[:30]
        self.other = f"{shop.database.name}_x"

    def hand(self, *statements):
        names = {"TILL": self.till, "KONG": self.kong, "ROLE": f"`{self.role}`", "OTHER": self.other}
        names["DOOR"] = f"'{self.shop.login('door')}'@'%'"
        names["HERE"] = self.database.name
        for statement in statements:
            self.database.execute(re.sub(r"<(\w+)>", lambda found: names[found[1]], statement))

    def plan(self):
        return plan_access(self.shop.load(), self.shop.env())

    def apply(self):
        return apply_access(self.shop.load(), self.shop.env())

    def proof(self):
        return verify(self.shop.load(), self.shop.settings(), self.shop.passwords())

    def logs_in(self, service="till"):
        try:
            with contextlib.closing(self.shop.connect(service)) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM purchase WHERE 1 = 0")
        except pymysql.MySQLError as error:
            return error.args[0]
        return True


@pytest.fixture(scope="module")
def deployed(server, tmp_path_factory):
    with server.database() as database:
        shop = lay_out(tmp_path_factory.mktemp("exposed"), database)
        shop.migrate()
        yield Made(shop)


@pytest.fixture
def made(deployed):
    deployed.hand(
        "CREATE DATABASE IF NOT EXISTS `<OTHER>`",
        "CREATE TABLE IF NOT EXISTS `<OTHER>`.theirs (id INTEGER)",
        "CREATE USER <KONG> IDENTIFIED BY 'kong-7Zk2-of-them'",
        "CREATE ROLE <ROLE>",
    )
    yield deployed
    deployed.hand("DROP USER <KONG>", "DROP ROLE <ROLE>", "DROP DATABASE `<OTHER>`")
    deployed.apply()


# (engines, what somebody does, what is said of it, what the proof calls it)
REPAIRED = {
    "member": (
        ("mysql",),
        ["GRANT <TILL> TO <KONG> WITH ADMIN OPTION", "SET DEFAULT ROLE <TILL> TO <KONG>"],
        "as a role, and so has all its privileges",
        "excess",
    ),
    "proxy": (
        ("mariadb", "galera"),
        ["GRANT PROXY ON <TILL> TO <KONG>"],
        "may act as 'PREFIXtill'@'%'",
        "excess",
    ),
    "proxy of ours": (
        ("mariadb", "galera"),
        ["GRANT PROXY ON <KONG> TO <TILL>"],
        "'PREFIXtill'@'%' may act as 'PREFIXkong'@'%'",
        "excess",
    ),
    "expired": (
        (),
        ["ALTER USER <TILL> PASSWORD EXPIRE"],
        "has expired: the service cannot log in",
        "missing",
    ),
    "lifetime": (
        (),
        ["ALTER USER <TILL> PASSWORD EXPIRE INTERVAL 90 DAY"],
        "expires after 90 days",
        "missing",
    ),
    "attempts": (
        ("mysql",),
        ["ALTER USER <TILL> FAILED_LOGIN_ATTEMPTS 2 PASSWORD_LOCK_TIME UNBOUNDED"],
        "2 failed logins, by any client, lock",
        "missing",
    ),
    "second password": (
        ("mysql",),
        ["ALTER USER <TILL> IDENTIFIED BY 'another-Of-9-people' RETAIN CURRENT PASSWORD"],
        "has a second way to log in",
        "excess",
    ),
    "second way": (
        ("mariadb", "galera"),
        [
            "ALTER USER <TILL> IDENTIFIED VIA mysql_native_password USING PASSWORD('another-Of-9-people')"
            " OR mysql_native_password USING PASSWORD('one-more-Of-9-people')"
        ],
        "has a second way to log in",
        "excess",
    ),
    "limits": (
        (),
        [
            "ALTER USER <TILL> WITH MAX_QUERIES_PER_HOUR 100000 MAX_UPDATES_PER_HOUR 7 MAX_CONNECTIONS_PER_HOUR 5000"
        ],
        "MAX_QUERIES_PER_HOUR 100000, MAX_UPDATES_PER_HOUR 7, MAX_CONNECTIONS_PER_HOUR 5000",
        "missing",
    ),
    "statement time": (
        ("mariadb", "galera"),
        ["ALTER USER <TILL> WITH MAX_STATEMENT_TIME 0.5"],
        "is limited to MAX_STATEMENT_TIME 0.5",
        "missing",
    ),
    "elsewhere": (
        (),
        ["GRANT SELECT, INSERT ON `<OTHER>`.theirs TO <TILL>", "GRANT DELETE ON `<OTHER>`.* TO <TILL>"],
        "outside the deployment",
        "excess",
    ),
    "elsewhere, a column": (
        (),
        ["GRANT SELECT (id), UPDATE (id) ON `<OTHER>`.theirs TO <TILL> WITH GRANT OPTION"],
        "outside the deployment",
        "excess",
    ),
    "role": (
        (),
        ["GRANT SELECT ON `<OTHER>`.theirs TO <ROLE>", "GRANT <ROLE> TO <TILL> WITH ADMIN OPTION"],
        "can use all its privileges",
        "excess",
    ),
    "server": ((), ["GRANT PROCESS ON *.* TO <TILL>"], "PROCESS on the whole server", "excess"),
    "dynamic": (
        ("mysql",),
        ["GRANT BACKUP_ADMIN ON *.* TO <TILL>"],
        "BACKUP_ADMIN on the whole server",
        "excess",
    ),
    "columns to pass on": (
        (),
        ["GRANT UPDATE (amount) ON <HERE>.purchase TO <DOOR> WITH GRANT OPTION"],
        None,
        None,
    ),
    "wildcard of ours": ((), ["GRANT SELECT ON `<HERE>%`.* TO <TILL>"], None, None),
}


@pytest.mark.parametrize("name", REPAIRED)
def test_it_is_planned_applied_and_gone(made, name):
    engines, statements, says, finding = REPAIRED[name]
    if engines and made.engine not in engines:
        pytest.skip(f"{made.engine} has no such thing, or the admin may not undo it")
    assert made.plan().agrees
    made.hand(*statements)
    plan = made.plan()
    assert plan.steps
    assert plan.obstacles == []
    if says is not None:
        said = says.replace("PREFIX", made.database.prefix)
        [one] = {e.finding for e in plan.exposures if said in str(e)}
        assert one == finding
    made.apply()
    again = made.plan()
    assert again.sql() == []
    assert again.obstacles == []
    assert [str(one) for one in again.exposures] == []
    assert made.logs_in() is True


def test_the_proof_names_what_stands_and_is_clean_after_the_apply(made):
    made.hand(
        "ALTER USER <TILL> WITH MAX_UPDATES_PER_HOUR 900000 PASSWORD EXPIRE INTERVAL 9 DAY",
        "GRANT SELECT ON `<OTHER>`.theirs TO <TILL>",
        "GRANT PROCESS ON *.* TO <TILL>",
        "GRANT <ROLE> TO <TILL>",
    )
    found = {(f.kind, f.service): f.message for f in made.proof().findings}
    said = " | ".join(f.message for f in made.proof().findings)
    assert set(found) == {("missing", "till"), ("excess", "till")}
    for words in ("MAX_UPDATES_PER_HOUR 900000", "9 days", "theirs", "PROCESS", made.role):
        assert words in said
    made.apply()
    assert made.proof().findings == []
    assert made.apply().statements == []


@pytest.mark.engines("mysql")
def test_a_proxy_that_the_admin_may_not_take_away_is_refused_by_name(made):
    """MySQL lets an account give itself away, and lets nobody undo that who holds no PROXY with the grant option."""
    with contextlib.closing(made.shop.connect("till")) as till:
        till.cursor().execute(f"GRANT PROXY ON {made.till} TO {made.kong}")
    with pytest.raises(JobFailed) as raised:
        made.apply()
    assert f"{made.kong} may act as {made.till}" in str(raised.value)
    assert f"REVOKE PROXY ON {made.till} FROM {made.kong}" in str(raised.value)
    assert [f.kind for f in made.proof().findings] == ["excess"]
    with contextlib.closing(made.shop.connect("till")) as till:
        till.cursor().execute(f"REVOKE PROXY ON {made.till} FROM {made.kong}")
    assert made.plan().agrees


@pytest.mark.engines("mysql")
def test_the_definer_of_views_is_no_role_of_another_account(made):
    runs_as = f"'{definer(made.database.name)}'@'localhost'"
    made.hand(f"GRANT {runs_as} TO <KONG>")
    assert any("as a role" in str(one) and one.login is None for one in made.plan().exposures)
    made.apply()
    assert made.plan().exposures == []


def test_others_are_named_and_left_alone(made):
    name = made.database.name
    made.hand("GRANT SELECT ON <HERE>.purchase TO <KONG>", f"GRANT INSERT ON `{name[:-1]}_`.* TO <KONG>")
    said = {one.kind: one for one in made.plan().exposures}
    assert set(said) == {"grant", "wildcard grant"}
    assert said["grant"].finding is None
    assert f"{name}.purchase" in str(said["grant"])
    assert said["wildcard grant"].finding == "excess"
    assert f"`{name[:-1]}_`" in str(said["wildcard grant"])
    assert made.plan().sql() == []
    assert made.apply().statements == []
    assert made.database.execute(
        "SELECT COUNT(*) FROM information_schema.table_privileges WHERE grantee = '"
        + made.kong.replace("'", "''")
        + "'"
    ) == [(1,)]
    made.shop.write("access.yaml", _access(made) + f"protected: [{made.shop.login('kong')}]\n")
    assert [one.kind for one in made.plan().exposures] == []
    made.shop.write("access.yaml", _access(made).partition("protected:")[0])


def _access(made):
    return (made.shop.root / "access.yaml").read_text()


def test_a_requirement_of_tls_is_kept_and_named_and_no_password_is_reset(made):
    made.hand("ALTER USER <TILL> REQUIRE SUBJECT '/CN=till'")
    assert made.logs_in() == 1045
    assert made.plan().sql() == []
    assert made.apply().passwords == []
    [one] = made.plan().exposures
    assert one.kind == "tls"
    assert "a client certificate" in str(one)
    assert f"ALTER USER {made.till} REQUIRE NONE" in str(one)
    assert {f.kind for f in made.proof().findings} == {"missing", "not-proven"}
    made.hand("ALTER USER <TILL> REQUIRE NONE")
    assert made.plan().agrees
    assert made.logs_in() is True


REFUSING = {
    "no connection left": "ALTER USER <TILL> WITH MAX_USER_CONNECTIONS 1",
    "locked": "ALTER USER <TILL> ACCOUNT LOCK",
    "tls": "ALTER USER <TILL> REQUIRE X509",
    "expired": "ALTER USER <TILL> PASSWORD EXPIRE",
}
SAID = {"locked": "the account is locked", "tls": "over TLS alone", "expired": "its password has expired"}


@pytest.mark.parametrize("name", REFUSING)
def test_a_login_that_is_refused_for_something_else_gets_no_other_password(made, name):
    made.hand(REFUSING[name])
    busy = contextlib.ExitStack()
    if name == "no connection left":  # which each node of a cluster counts by itself
        who = made.shop.login("till"), made.shop.password("till")
        for node in range(len(made.database.server.hosts)):
            busy.enter_context(contextlib.closing(made.database.connect(*who, node=node)))
    assert [step.kind for step in made.plan().steps if step.kind == "password"] == []
    said = " | ".join(f.message for f in made.proof().findings if f.kind == "not-proven")
    assert SAID.get(name, name) in said
    assert made.apply().passwords == []
    with busy:
        pass
    made.hand("ALTER USER <TILL> REQUIRE NONE")
    made.apply()
    assert made.plan().agrees
    assert made.logs_in() is True


def test_an_expired_password_that_is_to_be_another_becomes_it(made):
    made.hand("ALTER USER <TILL> PASSWORD EXPIRE")
    env = made.shop.env(TILL_DB_PASS="quite-another-8kQ2zW5v")
    assert apply_access(made.shop.load(), env).passwords == [made.shop.login("till")]
    made.database.connect(made.shop.login("till"), "quite-another-8kQ2zW5v").close()
    assert apply_access(made.shop.load(), env).statements == []
    assert made.apply().passwords == [made.shop.login("till")]
    assert made.plan().agrees


def test_an_admin_who_may_not_undo_it_is_refused_before_anything_has_changed(made):
    boss = f"'{made.shop.login('boss')}'@'%'"
    rights = (
        "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES, CREATE TEMPORARY TABLES,"
        " CREATE VIEW, SHOW VIEW"
    )
    sets_definer = "SET_ANY_DEFINER" if made.engine == "mysql" else "SET USER"
    made.hand(
        f"CREATE USER {boss} IDENTIFIED BY 'x'",
        f"GRANT CREATE USER, {sets_definer} ON *.* TO {boss}",
        f"GRANT {rights} ON `<HERE>`.* TO {boss} WITH GRANT OPTION",
        f"GRANT SELECT ON `mysql`.* TO {boss}",
    )
    try:
        env = made.shop.env(DB_USER=made.shop.login("boss"), DB_PASS="x")
        assert apply_access(made.shop.load(), env).statements == []
        made.hand(
            "GRANT <ROLE> TO <TILL>",
            "GRANT SELECT ON `<OTHER>`.theirs TO <TILL>",
            "GRANT PROCESS ON *.* TO <TILL>",
            "GRANT EVENT ON `<HERE>`.* TO <TILL>",
        )
        with pytest.raises(JobFailed, match="no account was changed") as raised:
            apply_access(made.shop.load(), env)
        told = str(raised.value)
        assert (
            f"{made.shop.login('till')}: member on role {made.role}: only an account that holds that role"
            in told
        )
        assert f"{made.till} was granted SELECT ON `{made.other}`.`theirs`, outside the deployment" in told
        assert f"{made.shop.login('till')}: process on server: only an administrator" in told
        assert f"{made.shop.login('till')}: event on database" in told
        made.apply()
        assert apply_access(made.shop.load(), env).statements == []
    finally:
        made.hand(f"DROP USER {boss}")


def test_triggers_and_events_made_by_hand_are_named(made):
    made.hand(
        "CREATE DEFINER = <KONG> TRIGGER bonus BEFORE INSERT ON purchase FOR EACH ROW SET NEW.amount = 7",
        "CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM purchase",
    )
    try:
        plan = made.plan()
        assert plan.agrees
        said = " | ".join(plan.warnings)
        name = made.database.name
        assert f"the trigger {name}.bonus of purchase, which runs with the rights of {made.kong}" in said
        assert f"the event {name}.nightly, which runs with the rights of 'root'@" in said
        proof = made.proof()
        assert proof.findings == []
        assert "DROP EVENT" in " | ".join(proof.warnings)
        made.shop.write(
            "migrations/helpers/notes.py", "# bonus and nightly are made by the people of accounting\n"
        )
        assert "bonus" in (still := " | ".join(made.plan().warnings))
        assert "with which the job creates objects" in still
        assert "nightly" not in still
    finally:
        (made.shop.root / "migrations/helpers/notes.py").unlink(missing_ok=True)
        made.hand("DROP TRIGGER bonus", "DROP EVENT nightly")


@pytest.mark.parametrize(
    "change",
    [
        "CREATE OR REPLACE DEFINER = <KONG> SQL SECURITY DEFINER VIEW <VIEW> AS SELECT id, active FROM customer",
        "CREATE OR REPLACE DEFINER = <DEFINER> SQL SECURITY INVOKER VIEW <VIEW> AS SELECT id, active FROM customer",
        "CREATE OR REPLACE DEFINER = <DEFINER> VIEW <VIEW> AS SELECT id, secret AS active FROM customer",
        "CREATE OR REPLACE ALGORITHM = TEMPTABLE DEFINER = <DEFINER> VIEW <VIEW> AS SELECT id, active FROM customer",
        "CREATE OR REPLACE DEFINER = <DEFINER> VIEW <VIEW> AS SELECT id, active FROM customer WHERE id > 0 WITH CHECK OPTION",
    ],
    ids=["definer", "security", "body", "algorithm", "check option"],
)
def test_a_managed_view_is_created_again(made, change):
    [(view,)] = made.database.execute(
        "SELECT table_name FROM information_schema.views WHERE table_schema = DATABASE() LIMIT 1"
    )
    form = f"SELECT view_definition, check_option, definer, security_type, is_updatable FROM information_schema.views WHERE table_schema = DATABASE() AND table_name = '{view}'"
    before = made.database.execute(form)
    runs_as = f"'{definer(made.database.name)}'@'localhost'"
    made.hand(change.replace("<VIEW>", f"`{view}`").replace("<DEFINER>", runs_as))
    assert made.database.execute(form) != before
    assert view in "\n".join(made.plan().sql())
    made.apply()
    assert made.database.execute(form) == before
    assert made.plan().agrees
