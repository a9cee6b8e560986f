"""Each state of readiness, brought about by a real situation; what time mends is waited for."""

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ringfence.runtime import NotReady, PoolOptions
from servers.base import Database as FreshDatabase
from servers.base import Server, clean_environment
from servers.process import free_ports
from support import runtime_shop
from support.runtime_shop import PASSWORD, mirror_file, opened

pytestmark = [pytest.mark.runtime_only, pytest.mark.newer]
networked = pytest.mark.requires("networked")


@pytest.fixture
def env(shop_db: FreshDatabase) -> dict[str, str]:
    """The environment of an account that may do what its mirror says."""
    if not shop_db.server.hosts:
        return shop_db.env()
    return shop_db.env(runtime_shop.make_account(shop_db), PASSWORD)


def _state(env: dict[str, str], **changes: object) -> str:
    with opened(env, changes=changes) as shop:
        return shop.readiness().state


def _revoke(shop_db: FreshDatabase, verb: str, table: str, login: str) -> None:
    if shop_db.server.db_type == "postgresql":
        shop_db.execute(f'REVOKE {verb} ON {table} FROM "{login}"')
    else:
        shop_db.execute(f"REVOKE {verb} ON `{shop_db.name}`.{table} FROM '{login}'@'%'")


def test_ready(env: dict[str, str], shop_db: FreshDatabase) -> None:
    shop_db.execute("INSERT INTO item (name, amount) VALUES ('tea', 1)")
    with opened(env) as shop:
        report = shop.wait_until_ready()
        assert report.ready, report
        assert [stage.state for stage in report.stages] == ["ok"] * len(report.stages)
        assert shop.pool.stats().in_use == 0
    assert shop_db.execute("SELECT name, amount FROM item") == [("tea", 1)]  # the probes changed nothing


@networked
def test_unreachable(env: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    (port,) = free_ports(1)
    away = env | {
        "DB_HOST": "127.0.0.1",
        "DB_PORT": str(port),
        "DB_MAX_RETRIES": "3",
        "DB_RETRY_DELAY": "0.05",
        "DB_READY_TIMEOUT": "60",
    }
    with opened(away) as shop, caplog.at_level(logging.WARNING), pytest.raises(NotReady) as raised:
        shop.wait_until_ready()
    assert raised.value.state == "unreachable"
    told = [record for record in caplog.records if "attempt" in record.getMessage()]
    assert len(told) == 4  # DB_MAX_RETRIES more than one, each told once


@networked
def test_a_wrong_password_is_not_waited_for(env: dict[str, str]) -> None:
    wrong = env | {"DB_PASS": "wr0ng", "DB_READY_TIMEOUT": "60", "DB_MAX_RETRIES": "9"}
    started = time.monotonic()
    with opened(wrong) as shop, pytest.raises(NotReady) as raised:
        shop.wait_until_ready()
    assert raised.value.state == "login"
    assert "wr0ng" not in str(raised.value)
    assert time.monotonic() - started < 20


def test_a_table_that_cannot_be_made_is_named_before_it_is_asked_for(env: dict[str, str]) -> None:
    tables = json.loads(json.dumps(runtime_shop.MIRROR["tables"]))
    column = next(iter(tables["item"]["columns"]))
    tables["item"]["columns"][column]["field"] = "class"
    with opened(env, changes={"tables": tables}) as shop:
        stage = shop.readiness().stages[-1]
    assert (stage.name, stage.state) == ("defined", "misconfigured")
    assert stage.detail.startswith("item: PyDAL cannot define this table: SyntaxError: ")


def test_behind_is_waited_for(env: dict[str, str], shop_db: FreshDatabase) -> None:
    shop_db.execute("DELETE FROM ringfence_release")
    assert _state(env) == "behind"
    insert = f"INSERT INTO ringfence_release VALUES (9, '{runtime_shop.REVISION}', 'now')"
    job = threading.Timer(0.5, lambda: shop_db.execute(insert))
    job.start()
    with opened(env | {"DB_READY_TIMEOUT": "60", "DB_RETRY_DELAY": "0.2"}) as shop:
        assert shop.wait_until_ready().ready
    job.join()


def test_the_time_to_wait_is_bounded(env: dict[str, str], shop_db: FreshDatabase) -> None:
    shop_db.execute("DELETE FROM ringfence_release")
    with opened(env | {"DB_READY_TIMEOUT": "0.3"}) as shop:
        started = time.monotonic()
        with pytest.raises(NotReady, match="aaaa") as raised:
            shop.wait_until_ready()
        assert raised.value.state == "behind"
        assert 0.3 <= time.monotonic() - started < 20
        with pytest.raises(NotReady):
            shop.wait_until_ready(timeout=0)


def test_a_database_without_releases_is_behind(env: dict[str, str], db: FreshDatabase) -> None:
    if not db.server.hosts:
        db.execute("CREATE TABLE something (id INTEGER)")
        env = db.env()
    else:
        env = env | {"DB_NAME": db.name}
        if db.server.db_type == "mysql":
            db.execute(f"GRANT SELECT ON `{db.name}`.* TO '{env['DB_USER']}'@'%'")
    assert _state(env) == "behind"


@pytest.mark.parametrize(
    ("row", "state"),
    [
        ("(5, '', 'item', 'name')", "retired"),
        ("(5, NULL, 'part', NULL)", "retired"),
        ("(5, '', 'item', 'gone')", "ready"),
        ("(5, '', 'other', NULL)", "ready"),
        ("(1, '', 'item', 'name')", "ready"),  # before this mirror's revision
    ],
)
def test_retired(env: dict[str, str], shop_db: FreshDatabase, row: str, state: str) -> None:
    quote = "`" if shop_db.server.db_type == "mysql" else '"'
    columns = ", ".join(f"{quote}{name}{quote}" for name in ("seq", "schema", "table", "column"))
    shop_db.execute(f"INSERT INTO ringfence_retired ({columns}) VALUES {row}")
    started = time.monotonic()
    with opened(env | {"DB_READY_TIMEOUT": "60"}) as shop:
        if state == "ready":
            shop.wait_until_ready()
            return
        with pytest.raises(NotReady, match="retired") as raised:
            shop.wait_until_ready()
    assert raised.value.state == state
    assert time.monotonic() - started < 20


@networked
@pytest.mark.parametrize("verb", ["SELECT", "INSERT", "UPDATE", "DELETE"])
def test_a_missing_grant(env: dict[str, str], shop_db: FreshDatabase, verb: str) -> None:
    _revoke(shop_db, verb, "part", env["DB_USER"])
    with opened(env | {"DB_READY_TIMEOUT": "60"}) as shop, pytest.raises(NotReady) as raised:
        shop.wait_until_ready()
    assert raised.value.state == "missing-grant"
    assert verb.lower() in str(raised.value)
    assert "part" in str(raised.value)


@pytest.mark.engines("postgresql")
@pytest.mark.parametrize(
    "right", ["CREATE ON SCHEMA public TO {0}", "CREATE ON DATABASE {1} TO {0}", "ROLE CREATEROLE", "OWNER"]
)
def test_an_account_that_could_alter_the_schema_on_postgresql(
    env: dict[str, str], shop_db: FreshDatabase, right: str
) -> None:
    login = f'"{env["DB_USER"]}"'
    if right == "OWNER":
        shop_db.execute(f"ALTER TABLE hidden OWNER TO {login}")
    elif right == "ROLE CREATEROLE":
        shop_db.execute(f"ALTER ROLE {login} CREATEROLE")
    else:
        shop_db.execute("GRANT " + right.format(login, f'"{shop_db.name}"'))
    try:
        assert _state(env) == "can-alter"
    finally:
        shop_db.execute(f"ALTER TABLE hidden OWNER TO {shop_db.server.admin_user}")


@pytest.mark.engines("mysql", "mariadb", "galera")
@pytest.mark.parametrize(
    "right",
    [
        "ALTER ON `{1}`.item TO '{0}'@'%'",
        "CREATE ON `{1}`.* TO '{0}'@'%'",
        "CREATE USER ON *.* TO '{0}'@'%'",
        "SELECT ON `{1}`.item TO '{0}'@'%' WITH GRANT OPTION",
    ],
)
def test_an_account_that_could_alter_the_schema_on_the_mysql_family(
    env: dict[str, str], shop_db: FreshDatabase, right: str
) -> None:
    shop_db.execute("GRANT " + right.format(env["DB_USER"], shop_db.name))
    assert _state(env) == "can-alter"


@pytest.mark.engines("mysql", "mariadb")
def test_a_role_counts(env: dict[str, str], shop_db: FreshDatabase) -> None:
    login, role = env["DB_USER"], f"{shop_db.prefix}role"
    host = "@'%'" if shop_db.server.engine == "mysql" else ""
    shop_db.execute(
        f"DROP ROLE IF EXISTS '{role}'{host}",
        f"CREATE ROLE '{role}'{host}",
        f"GRANT DROP ON `{shop_db.name}`.* TO '{role}'{host}",
        f"GRANT '{role}'{host} TO '{login}'@'%'",
        f"SET DEFAULT ROLE '{role}'{host} {'TO' if host else 'FOR'} '{login}'@'%'",
    )
    try:
        assert _state(env) == "can-alter"
    finally:
        shop_db.execute(f"DROP ROLE '{role}'{host}")


@networked
def test_a_budget_beyond_the_limits_is_warned_of_by_number(
    env: dict[str, str], shop_db: FreshDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    login = env["DB_USER"]
    if shop_db.server.db_type == "postgresql":
        shop_db.execute(f'ALTER ROLE "{login}" CONNECTION LIMIT 7')
    else:
        shop_db.execute(f"ALTER USER '{login}'@'%' WITH MAX_USER_CONNECTIONS 7")
    big = env | {"DB_WORKERS": "100", "DB_POOL_SIZE": "100"}
    with opened(big) as shop, caplog.at_level(logging.WARNING):
        report = shop.wait_until_ready()
    assert len(report.warnings) == 2
    assert "100 x 100 = 10000" in report.warnings[0]
    assert "the account admits 7" in report.warnings[0]
    assert "the server admits" in report.warnings[1]
    assert report.warnings[0] in caplog.text


def test_a_busy_pool_is_busy_and_the_callers_session_is_left_alone(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ringfence.runtime.readiness.WAIT_SECONDS", 0.1)
    with opened(env, PoolOptions(size=1)) as shop, shop.session() as dal:
        dal.item.insert(name="tea", amount=1)
        assert shop.readiness().state == "busy"
        assert dal(dal.item).count() == 1
    with opened(env, PoolOptions(size=2)) as shop, shop.session(read_only=True) as dal:
        assert dal(dal.item).count() == 1
        assert shop.readiness().ready


@pytest.mark.slow
@pytest.mark.engines("postgresql", "mariadb")
def test_a_server_that_is_starting_is_waited_for(server: Server, own_server: Callable[[str], Server]) -> None:
    own = own_server(server.engine)
    database = own.database()
    runtime_shop.create(database)
    env = database.env(runtime_shop.make_account(database), PASSWORD)
    own.processes[0].stop()
    waiting = env | {"DB_READY_TIMEOUT": "60", "DB_MAX_RETRIES": "100", "DB_RETRY_DELAY": "0.2"}
    with opened(waiting) as shop:
        start = threading.Timer(0.5, own.processes[0].start)
        start.start()
        assert shop.wait_until_ready().ready
        start.join()


def _ready(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ringfence.runtime.ready_command", *arguments]
    return subprocess.run(
        command, env=clean_environment() | env, capture_output=True, text=True, check=False, timeout=90
    )


def test_the_command(env: dict[str, str], shop_db: FreshDatabase, tmp_path: Path) -> None:
    mirror = str(mirror_file(tmp_path))
    done = _ready(env, mirror)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "till: ready"), done
    done = _ready(env, mirror, "--json")
    assert (done.returncode, json.loads(done.stdout)["ready"]) == (0, True)
    shop_db.execute("DELETE FROM ringfence_release")
    done = _ready(env, mirror, "--once", "--json")
    assert (done.returncode, json.loads(done.stdout)["state"]) == (4, "behind")
    done = _ready(env | {"DB_READY_TIMEOUT": "0.1"}, mirror)
    assert (done.returncode, done.stdout.splitlines()[0]) == (4, "till: behind")
    assert "attempt 1" in done.stderr


def test_the_command_reports_what_is_wrong_with_its_environment(
    env: dict[str, str], shop_db: FreshDatabase, tmp_path: Path
) -> None:
    mirror = str(mirror_file(tmp_path))
    assert _ready(env, mirror, "--nonsense").returncode == 3
    done = _ready(env | {"DB_TYPE": ""}, mirror)
    assert done.returncode == 3
    assert "DB_TYPE" in done.stderr
    done = _ready(env, str(tmp_path / "none.json"), "--json")
    assert (done.returncode, json.loads(done.stdout)["state"]) == (3, "misconfigured")
    if shop_db.server.hosts:
        done = _ready(env | {"DB_PASS": "wr0ng"}, mirror, "--json")
        assert (done.returncode, json.loads(done.stdout)["state"]) == (1, "login")
        assert "wr0ng" not in done.stdout + done.stderr


def test_a_mirror_without_a_revision_asks_for_no_release(env: dict[str, str], shop_db: FreshDatabase) -> None:
    shop_db.execute("DELETE FROM ringfence_release")
    assert _state(env, revision=None) == "ready"
