"""Accounts that go, and what the server keeps of an account beside its rights."""

import contextlib
from threading import Thread

import pymysql
import pytest
import sqlalchemy as sa

from ringfence.runtime.settings import Secret
from ringfence.schema.engines import reach
from ringfence.schema.errors import BadDeployment, JobFailed
from ringfence.schema.grants.passwords import scram_verifier
from ringfence.schema.privileges.service import apply_access, plan_access
from ringfence.schema.verification.revoked_credentials import must_fail
from servers.mysql_family import processlist
from support.deployments import ACCESS, TOML, lay_out
from support.waiting import eventually

pytestmark = pytest.mark.requires("accounts")


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    return shop


def account(shop, service):
    login = shop.login(service)
    return f'"{login}"' if shop.database.server.db_type == "postgresql" else f"'{login}'@'%'"


def exists(shop, service):
    backend = reach(shop.settings())
    with backend.engine().connect() as connection:
        return shop.login(service) in backend.accounts.roles.existing(connection, [shop.login(service)])


def test_the_features_state_the_longest_login_that_the_server_takes(db, tmp_path):
    backend = reach(lay_out(tmp_path, db).settings())
    roles, password = backend.accounts.roles, Secret("Long-enough-4711")
    longest = db.prefix.ljust(backend.features.longest_login, "x")
    created = roles.create(longest, password)
    with backend.engine().connect() as connection:
        connection.exec_driver_sql(created.sql, created.parameters)
        connection.commit()
        try:
            assert list(roles.existing(connection, [longest])) == [longest]
            assert backend.login_works(longest, password)
            # MySQL and MariaDB refuse a longer one, and PostgreSQL truncates it to the one that exists.
            longer = roles.create(longest + "x", password)
            with pytest.raises(sa.exc.DBAPIError, match=r"too long|already exists"):
                connection.exec_driver_sql(longer.sql, longer.parameters)
        finally:
            connection.rollback()
            connection.exec_driver_sql(roles.drop(longest).sql)
            connection.commit()


def test_an_undeclared_account_is_locked_and_dropped_on_request(shop):
    door = shop.connect("door")
    shop.write("access.yaml", ACCESS.partition("  door:")[0] + f"removed: [{shop.login('door')}]\n")
    locked = apply_access(shop.load(), shop.env())
    assert locked.locked == [shop.login("door")]
    assert any(
        w.startswith(f"{shop.login('door')} is no longer declared, and has 1 connection open (1 from ")
        for w in locked.warnings
    )
    assert plan_access(shop.load(), shop.env()).agrees
    assert exists(shop, "door")
    door.close()
    dropped = apply_access(shop.load(), shop.env(), prune=True)
    assert dropped.dropped == [shop.login("door")]
    assert not exists(shop, "door")
    assert plan_access(shop.load(), shop.env(), prune=True).agrees
    shop.write("access.yaml", ACCESS)
    assert apply_access(shop.load(), shop.env()).created == [shop.login("door")]


@pytest.mark.requires("definer_views")
def test_statements_that_others_run_do_not_disturb_the_look_at_open_connections(shop):
    """MySQL converts them to utf8mb3 in its old list of processes, and fails at an emoji."""
    shop.write("access.yaml", ACCESS.partition("  door:")[0] + f"removed: [{shop.login('door')}]\n")
    door = shop.connect("door")
    running = Thread(target=shout, args=(door,))
    running.start()
    try:
        eventually(lambda: busy(shop, door.thread_id()))
        done = apply_access(shop.load(), shop.env())
    finally:
        shop.database.execute(f"KILL QUERY {door.thread_id()}")
        running.join(30)
        door.close()
    assert any(
        w.startswith(f"{shop.login('door')} is no longer declared, and has 1 connection open (1 from ")
        for w in done.warnings
    )


def shout(connection):
    with contextlib.suppress(pymysql.MySQLError):  # one of them says that it was interrupted
        connection.cursor().execute("SELECT SLEEP(60), '\N{CRAB}'")


def busy(shop, connection):
    table = processlist(shop.database.server)
    return shop.database.execute(f"SELECT id FROM {table} WHERE id = {connection} AND command = 'Query'")


def test_who_is_tied_to_anything_stays(shop):
    shop.write("access.yaml", ACCESS.partition("  door:")[0])
    door = account(shop, "door")
    with shop.database.server.database() as other:
        if shop.database.server.db_type == "postgresql":
            other.execute("CREATE TABLE theirs (id integer)", f"GRANT SELECT ON theirs TO {door}")
        else:
            other.execute(
                "CREATE TABLE theirs (id integer)", f"GRANT SELECT ON `{other.name}`.theirs TO {door}"
            )
        done = apply_access(shop.load(), shop.env(), prune=True)
        assert done.dropped == []
        assert any(f"{shop.login('door')} stays, locked" in w and "granted" in w for w in done.warnings)
    shop.write("access.yaml", ACCESS.replace("PREFIX", shop.database.prefix) + "removed: [somebody-else]\n")
    apply_access(shop.load(), shop.env())


def test_an_unmanaged_login_that_was_removed_is_left_to_its_owner(shop):
    word = "WITH LOGIN PASSWORD" if shop.database.server.db_type == "postgresql" else "IDENTIFIED BY"
    shop.database.execute(f"CREATE USER {account(shop, 'guest')} {word} 'theirs'")
    shop.write("access.yaml", ACCESS + f"removed: [{shop.login('guest')}]\n")
    with pytest.raises(JobFailed, match=r"guest' is to be removed, and was not made for this database"):
        apply_access(shop.load(), shop.env(), prune=True)


def test_a_connection_limit_is_set_and_taken_back(shop):
    shop.write("access.yaml", ACCESS.replace("  door:\n", "  door:\n    connection_limit: 1\n"))
    apply_access(shop.load(), shop.env())
    assert plan_access(shop.load(), shop.env()).agrees
    first = shop.connect("door")
    with pytest.raises(Exception, match=r"too many connections|max_user_connections"):
        shop.connect("door")
    first.close()
    shop.write("access.yaml", ACCESS)
    apply_access(shop.load(), shop.env())
    assert plan_access(shop.load(), shop.env()).agrees


@pytest.mark.engines("postgresql")
def test_settings_and_an_end_are_kept_by_postgresql(shop):
    shop.write("ringfence.toml", TOML.replace('"mariadb", "galera", "mysql", ', ""))
    shop.write(
        "access.yaml",
        ACCESS.replace(
            "  door:\n",
            "  door:\n    valid_until: 2099-01-31\n    settings: {search_path: [public, 'O''Brien'], statement_timeout: 7s}\n",
        ),
    )
    apply_access(shop.load(), shop.env())
    assert plan_access(shop.load(), shop.env()).agrees
    door = shop.connect("door")
    cursor = door.cursor()
    cursor.execute("SELECT current_setting('statement_timeout'), current_setting('search_path')")
    assert cursor.fetchone() == ("7s", 'public, "O\'Brien"')
    door.close()
    shop.write("access.yaml", ACCESS.replace("  door:\n", "  door:\n    valid_until: 2001-01-31\n"))
    apply_access(shop.load(), shop.env())
    with pytest.raises(Exception, match="password authentication failed"):
        shop.connect("door")


def test_what_an_engine_cannot_express_is_refused_with_its_line(shop):
    shop.write(
        "access.yaml",
        ACCESS.replace("  door:\n", "  door:\n    valid_until: 2099-01-31\n    workloads: [a]\n").replace(
            "  till:\n", "  till:\n    workloads: [a]\n    settings: {statment_timeout: 1s}\n"
        ),
    )
    with pytest.raises(BadDeployment) as raised:
        shop.load()
    told = str(raised.value)
    assert "access.yaml:15: valid_until of 'door': mariadb, galera, mysql cannot express it" in told
    assert "access.yaml:6: settings of the account 'till' has no key 'statment_timeout'; did you mean" in told
    assert "access.yaml:16: the workload 'a' is one of 'till' (line 4)" in told


@pytest.mark.engines("postgresql")
def test_a_ready_verifier_is_given_in_place_of_a_password(shop):
    env = shop.env(DOOR_DB_PASS=scram_verifier("of which nobody tells us"))
    assert apply_access(shop.load(), env).passwords == [shop.login("door")]
    shop.database.connect(shop.login("door"), "of which nobody tells us").close()
    assert apply_access(shop.load(), env).statements == []


def test_revoked_credentials_are_tried(shop):
    file = shop.root / "dead"
    file.write_text(f"# of last year\n\n{shop.login('till')}:an old one\n{shop.login('nobody')}:none\n")
    assert must_fail(shop.load(), shop.settings(), file) == []
    file.write_text(file.read_text() + f"{shop.login('door')}:{shop.password('door')}\n")
    failed = shop.run("ringfence", "access", "verify", "--must-fail", str(file))
    assert failed.returncode == 1
    assert (
        f"still-valid: {shop.login('door')}: {file}:5: the server still accepts these credentials"
        in failed.stderr
    )
    assert shop.password("door") not in failed.stdout + failed.stderr
    file.write_text("hush\n")
    with pytest.raises(BadDeployment, match=r"dead:1: is not `login:password`") as raised:
        must_fail(shop.load(), shop.settings(), file)
    assert "hush" not in str(raised.value)
