"""The servers of the tests are real, private, guarded by passwords, and gone when they should be."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from servers import galera
from servers.base import Database, clean_environment
from support.waiting import eventually

pytestmark = pytest.mark.newer

TESTS = Path(__file__).parents[2]


def test_a_fresh_database_is_empty_and_takes_rows(db: Database) -> None:
    rows = db.execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (7)", "SELECT id FROM t"
    )
    assert [tuple(row) for row in rows] == [(7,)]


def test_two_databases_do_not_see_each_other(server) -> None:
    with server.database() as one, server.database() as other:
        one.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        assert one.name != other.name
        assert one.prefix != other.prefix
        other.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")


def test_a_dropped_database_is_gone_despite_open_connections(server) -> None:
    with server.database() as database:
        database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        lingering = database.connect()
        lingering.cursor().execute("BEGIN")
        lingering.cursor().execute("SELECT * FROM t")
    lingering.close()
    if server.hosts:
        with pytest.raises(Exception, match=r"Unknown database|does not exist"):
            database.connect()
    else:
        assert not Path(database.name).parent.exists()


@pytest.mark.requires("accounts")
def test_a_wrong_password_is_refused(db: Database) -> None:
    with pytest.raises(Exception, match=r"authentication failed|Access denied"):
        db.connect(db.server.admin_user, "wrong")
    with pytest.raises(Exception, match=r"authentication failed|Access denied|no password supplied"):
        db.connect(db.prefix + "nobody", "")


@pytest.mark.requires("definer_views")
def test_no_anonymous_account_shadows_a_service(db: Database) -> None:
    assert not db.execute("SELECT user, host FROM mysql.user WHERE user = ''")
    login = db.prefix + "service"
    db.execute(
        f"CREATE USER '{login}'@'%' IDENTIFIED BY 'word'", f"GRANT SELECT ON `{db.name}`.* TO '{login}'@'%'"
    )
    db.connect(login, "word").close()


@pytest.mark.engines("postgresql")
def test_the_accounts_of_a_database_go_with_it(server) -> None:
    with server.database() as database, server.database() as other:
        login = database.prefix + "service"
        database.execute(
            f"CREATE ROLE \"{login}\" LOGIN PASSWORD 'word'", f'CREATE SCHEMA s AUTHORIZATION "{login}"'
        )
        other.execute(f'GRANT CREATE ON SCHEMA public TO "{login}"')
        database.connect(login, "word").close()
        other.execute(f'REVOKE CREATE ON SCHEMA public FROM "{login}"')
        database.drop()
        assert not other.execute(f"SELECT 1 FROM pg_roles WHERE rolname = '{login}'")


@pytest.mark.requires("definer_views")
def test_the_accounts_of_a_database_go_with_it_on_mysql(server) -> None:
    with server.database() as database, server.database() as other:
        login = database.prefix + "service"
        database.execute(f"CREATE USER '{login}'@'%' IDENTIFIED BY 'word'")
        database.drop()
        assert not other.execute(f"SELECT 1 FROM mysql.user WHERE user = '{login}'")


def test_the_environment_leads_to_the_database(db: Database) -> None:
    environment = db.env()
    assert environment["DB_TYPE"] == db.server.db_type
    assert environment["DB_NAME"] == db.name
    if len(db.server.hosts) > 1:
        assert environment["DB_HOST"].count(",") == len(db.server.hosts) - 1
    elif db.server.hosts:
        assert (environment["DB_HOST"], int(environment["DB_PORT"])) == db.server.hosts[0]
        assert db.env("someone", "word")["DB_USER"] == "someone"


def test_no_password_is_in_a_repr(server) -> None:
    if server.processes:  # the password of a server given by URL may be any word
        assert server.admin_password not in repr(server) + repr(server.processes)


def test_a_private_servers_password_is_in_no_command_line(server) -> None:
    for process in server.processes:
        assert server.admin_password not in Path(f"/proc/{process.pid}/cmdline").read_text()


def test_a_template_is_built_once_and_cloned(server, from_template) -> None:
    built = []

    def build(database: Database) -> None:
        built.append(database)
        database.execute(
            "CREATE TABLE parent (id INTEGER PRIMARY KEY, name VARCHAR(20) DEFAULT 'x')",
            "CREATE TABLE child (id INTEGER PRIMARY KEY, p INTEGER, FOREIGN KEY (p) REFERENCES parent (id))",
            "CREATE VIEW named AS SELECT name FROM parent",
            "INSERT INTO parent VALUES (1, 'one')",
            "INSERT INTO child VALUES (1, 1)",
        )

    one, two = from_template("family", build), from_template("family", build)
    assert len(built) == 1
    one.execute("INSERT INTO parent (id) VALUES (2)")
    assert [tuple(row) for row in one.execute("SELECT name FROM named ORDER BY name")] == [("one",), ("x",)]
    assert [tuple(row) for row in two.execute("SELECT name FROM named")] == [("one",)]
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        two.execute("INSERT INTO child VALUES (2, 9)")


@pytest.mark.engines("mysql", "mariadb")
def test_a_clone_has_triggers_routines_and_generated_columns(db: Database) -> None:
    db.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, n INT, twice INT AS (n * 2) STORED)",
        "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.n = NEW.n + 1",
        "CREATE PROCEDURE p() SELECT 1",
        "INSERT INTO t (id, n) VALUES (1, 1)",
    )
    with db.clone() as copy:
        rows = copy.execute("CALL p()", "INSERT INTO t (id, n) VALUES (2, 1)", "SELECT n, twice FROM t")
        assert [tuple(row) for row in rows] == [(2, 4), (2, 4)]


@pytest.mark.engines("galera")
def test_the_cluster_has_three_synced_nodes_that_share_data_and_accounts(db: Database) -> None:
    assert len(db.server.hosts) == 3
    db.execute("CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    for node in range(3):
        assert galera.status(db.server, node)["wsrep_cluster_size"] == "3"
        connection = db.connect(node=node)
        cursor = connection.cursor()
        cursor.execute("SET SESSION wsrep_sync_wait = 1")
        cursor.execute("SELECT id FROM t")
        assert cursor.fetchall() == ((1,),)
        connection.close()


@pytest.mark.engines("galera")
def test_a_change_of_an_account_holds_on_every_node_when_execute_returns(db: Database) -> None:
    account = f"'{db.prefix}service'@'%'"
    db.execute(f"CREATE USER {account} IDENTIFIED BY 'word'", f"GRANT SELECT ON `{db.name}`.* TO {account}")
    slow, released = db.connect(node=1), threading.Event()
    # Until this lock is released, the node applies no account statement.
    slow.cursor().execute("LOCK TABLES mysql.global_priv READ")

    def release() -> None:
        time.sleep(0.5)
        released.set()
        slow.close()

    thread = threading.Thread(target=release)
    thread.start()
    db.execute(f"ALTER USER {account} ACCOUNT LOCK")
    assert released.is_set()
    thread.join()
    for node in range(3):
        with pytest.raises(Exception, match="account is locked"):
            db.connect(db.prefix + "service", "word", node)


def test_pgbouncer_lends_its_connections_for_a_transaction_only(postgres_server, pgbouncer) -> None:
    with postgres_server.database() as database:
        login = database.prefix + "service"
        database.execute(f"CREATE ROLE \"{login}\" LOGIN PASSWORD 'word'")
        through = database.through(pgbouncer)
        with pytest.raises(Exception, match=r"(?i)password|authentication|failed"):
            through.connect(login, "wrong")
        connections = [through.connect(login, "word") for _ in range(5)]
        seen = set()
        for connection in connections:
            cursor = connection.cursor()
            cursor.execute("SELECT pg_backend_pid()")
            seen.add(cursor.fetchone()[0])
        for connection in connections:
            connection.close()
        assert len(seen) == 1


def test_redis_checks_its_password(redis_server) -> None:
    assert redis_server.command("PING") == "+PONG"
    if redis_server.password:
        with pytest.raises(RuntimeError, match="WRONGPASS"):
            redis_server.command("PING", user="default", password="wrong")


@pytest.mark.parametrize("engine", ["postgresql", "mariadb"])
def test_a_private_server_comes_back_after_a_crash_with_its_data(engine, own_server) -> None:
    server = own_server(engine)
    (process,) = server.processes
    database = server.database()
    database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    process.kill()
    with pytest.raises(Exception, match=r"(?i)refused|can't connect"):
        database.connect()
    process.start()
    process.wait_until(lambda: database.connect().close())
    process.stop()
    process.start()
    process.wait_until(lambda: database.connect().close())
    assert [tuple(row) for row in database.execute("SELECT id FROM t")] == [(1,)]


@pytest.mark.slow
def test_a_galera_node_that_was_killed_joins_again(own_server) -> None:
    server = own_server("galera")
    with server.database() as database:
        database.execute("CREATE TABLE t (id INT PRIMARY KEY)")
        process = server.processes[0]
        process.kill()
        connection = database.connect(node=1)
        eventually(lambda: galera.status(server, 1)["wsrep_cluster_size"] == "2")
        connection.cursor().execute("INSERT INTO t VALUES (1)")
        connection.close()
        process.start()
        process.wait_until(lambda: galera.expect_synced(server, 0, 3))
        assert database.execute("SELECT id FROM t") == [(1,)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_owner_leaves_no_server_and_no_folder(number, postgres_server, tmp_path) -> None:
    document = tmp_path / "server.json"
    owner = subprocess.Popen(
        [sys.executable, "-m", "servers", "run", "postgresql", "--json", str(document)],
        cwd=TESTS,
        env=clean_environment(),
    )
    eventually(document.exists)
    assert document.stat().st_mode & 0o777 == 0o600
    folders, processes = _descendants(owner.pid)
    assert len(processes) > 3
    assert all(folder.exists() for folder in folders)
    owner.send_signal(number)
    owner.wait(30)
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes))
    eventually(lambda: not any(folder.exists() for folder in folders))


def _descendants(pid: int) -> tuple[set[Path], set[int]]:
    """The working folders and the ids of all processes below one."""
    folders, found, open_ends = set(), set(), [pid]
    while open_ends:
        parent = open_ends.pop()
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for child in map(int, children):
            found.add(child)
            open_ends.append(child)
            folder = Path(f"/proc/{child}/cwd").readlink()
            folders |= {folder} & {f for f in [folder, *folder.parents] if f.name.startswith("ringfence-")}
    return folders, found
