"""The job among other jobs, with data in the tables, and when something fails in the middle."""

import json
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ringfence.runtime.errors import AccessDenied, NotReady, Unavailable
from ringfence.schema.engines import reach
from ringfence.schema.errors import AccessDrift, Drift, JobFailed, LockLost
from ringfence.schema.grants.difference import batches
from ringfence.schema.job import job
from ringfence.schema.job.job import MigrateOptions, migrate
from ringfence.schema.privileges.apply import apply
from ringfence.schema.privileges.plan import make_plan
from servers.base import clean_environment
from support.deployments import lay_out
from support.waiting import eventually


@pytest.fixture
def shop(db, tmp_path):
    return lay_out(tmp_path, db)


def fill(shop):
    shop.database.execute(
        "INSERT INTO customer (id, email, active) VALUES (1, 'a@b', '1')",
        "INSERT INTO purchase (id, customer_id, amount) VALUES (1, 1, 5)",
    )


def start(shop, *arguments):
    program = [sys.executable, "-c", "from ringfence.schema.cli import main; main()"]
    env = clean_environment() | shop.env()
    return subprocess.Popen(
        [*program, *arguments],
        cwd=shop.root,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_the_report_says_what_was_done(shop):
    seen = []
    report = shop.migrate(on_message=seen.append)
    assert report.applied == ["a1", "b2"]
    assert (report.revision, report.releases, report.accounts) == ("b2", 2, 3)
    assert report.engine == shop.database.server.engine
    assert json.loads(json.dumps(report.as_dict()))["applied"] == ["a1", "b2"]
    assert "applied b2" in seen


def test_of_jobs_started_at_once_one_works_and_the_others_find_nothing_to_do(shop):
    shop.migrate()  # writes the mirrors
    for name in ("ringfence_release", "ringfence_retired", "ringfence_account", "ringfence_format"):
        shop.database.execute(f"DROP TABLE {name}")
    shop.database.execute("DROP TABLE purchase", "DROP TABLE customer", "DROP TABLE alembic_version")
    assert shop.run("ringfence", "mirror").returncode == 0
    with ThreadPoolExecutor(4) as pool:
        jobs = list(pool.map(lambda _: shop.run("ringfence", "migrate", "--json", "--adopt"), range(4)))
    assert [one.returncode for one in jobs] == [0] * 4, [one.stdout + one.stderr for one in jobs]
    documents = [json.loads(one.stdout) for one in jobs]
    assert sorted(len(document["applied"]) for document in documents) == [0, 0, 0, 2]
    assert shop.migrate().access.statements == []


@pytest.mark.engines("galera")
def test_of_ten_jobs_on_three_nodes_one_works_and_nine_find_nothing_to_do(shop):
    assert shop.run("ringfence", "mirror").returncode == 0
    hosts = [f"{host}:{port}" for host, port in shop.database.server.hosts]

    def run(number):
        first = number % len(hosts)
        where = ",".join(hosts[first:] + hosts[:first])
        return shop.run("ringfence", "migrate", "--json", DB_HOST=where, DB_READY_TIMEOUT="200")

    with ThreadPoolExecutor(10) as pool:
        jobs = list(pool.map(run, range(10)))
    assert not [one.stdout + one.stderr for one in jobs if one.returncode]
    documents = [json.loads(one.stdout) for one in jobs]
    assert sorted(document["applied"] for document in documents) == [[]] * 9 + [["a1", "b2"]]
    changed = [bool(document["access"]["statements"]) for document in documents]
    assert sorted(changed) == [False] * 9 + [True]


@pytest.mark.requires("accounts")
def test_accounts_that_were_changed_are_reported(shop, monkeypatch):
    def weaken(backend, deployment, secrets, **options):
        done = apply(backend, deployment, secrets, **options)
        with backend.engine().connect() as connection:
            held = make_plan(connection, backend, deployment, None).held
            (batch, *_) = batches([right for right in held if right.kind == "table"][:1], many_objects=False)
            connection.exec_driver_sql(backend.accounts.privileges.revoke(batch).sql)
            connection.commit()
        return done

    monkeypatch.setattr(job, "apply", weaken)
    with pytest.raises(AccessDrift, match=r"(?s)would be left to do:.*GRANT"):
        shop.migrate()
    monkeypatch.undo()
    assert shop.migrate().access.granted == 1


def test_a_job_waits_for_the_lock_and_says_so(shop):
    backend = reach(shop.settings())
    heard = []
    with backend.locks.hold(patience=0, on_message=heard.append):
        with pytest.raises(NotReady, match="another job has held") as raised:
            shop.migrate(shop.env(DB_READY_TIMEOUT="1"), on_message=heard.append)
        assert raised.value.state == "locked"
    assert sum("waiting" in text for text in heard) == 1
    shop.migrate()


def test_plain_alembic_waits_for_the_same_lock(shop):
    backend = reach(shop.settings())
    with backend.locks.hold(patience=0, on_message=print):
        done = shop.run("alembic", "upgrade", "head", DB_READY_TIMEOUT="1")
        assert done.returncode != 0
        assert "another job has held" in done.stderr
    assert shop.run("alembic", "upgrade", "head").returncode == 0


HOLD = """
import time
from ringfence.runtime.settings import Settings
from ringfence.schema.engines import reach

with reach(Settings.from_env()).locks.hold(patience=0, on_message=print):
    print("held", flush=True)
    time.sleep(600)
"""


def test_the_lock_of_a_killed_job_comes_free(shop):
    env = clean_environment() | shop.database.env()
    holder = subprocess.Popen([sys.executable, "-c", HOLD], env=env, text=True, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == "held\n"
    finally:
        holder.kill()
        holder.communicate()
    began = time.monotonic()
    shop.migrate()
    assert time.monotonic() - began < 25


@pytest.mark.engines("galera")
def test_a_lease_that_was_taken_over_stops_its_holder(shop):
    backend = reach(shop.settings())
    with backend.locks.hold(patience=0, on_message=print) as lock:
        lock.check()
        shop.database.execute("UPDATE ringfence_lease SET holder = 'another', heartbeats = heartbeats + 1")
        deadline = time.monotonic() + 10
        with pytest.raises(LockLost, match="took over"):
            while time.monotonic() < deadline:
                lock.check()
                time.sleep(0.1)


@pytest.mark.engines("galera")
def test_the_lock_holds_across_nodes(shop):
    hosts = shop.database.server.hosts
    holders, most = [], []

    def work(host):
        env = shop.database.env() | {"DB_HOST": f"{host[0]}:{host[1]}"}
        from ringfence.runtime.settings import Settings

        backend = reach(Settings.from_env(env))
        for _ in range(3):
            with backend.locks.hold(patience=60, on_message=lambda text: None):
                holders.append(host)
                most.append(len(holders))
                time.sleep(0.05)
                holders.remove(host)

    threads = [threading.Thread(target=work, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 9


def test_rows_survive_up_down_and_up_again(shop):
    shop.migrate()
    fill(shop)
    assert shop.run("alembic", "downgrade", "-1").returncode == 0
    shop.migrate()
    assert [tuple(row) for row in shop.database.execute("SELECT id, customer_id, amount FROM purchase")] == [
        (1, 1, 5)
    ]


@pytest.mark.requires("transactional_ddl")
def test_a_revision_that_fails_is_rolled_back_whole(shop):
    shop.migrate()
    shop.write(
        "migrations/versions/c3.py",
        """
        revision = "c3"
        down_revision = "b2"
        import sqlalchemy as sa
        from alembic import op


        def upgrade():
            op.create_table("half", sa.Column("id", sa.Integer, primary_key=True))
            op.execute("INSERT INTO nowhere VALUES (1)")
        """,
    )
    with pytest.raises(JobFailed, match="INSERT INTO nowhere"):
        shop.migrate()
    with pytest.raises(Exception, match="half"):
        shop.database.execute("SELECT * FROM half")
    (shop.root / "migrations/versions/c3.py").unlink()
    assert shop.migrate().applied == []


@pytest.mark.engines("sqlite")
def test_a_rebuild_does_not_empty_the_child_tables(shop):
    shop.run("alembic", "upgrade", "a1")
    shop.database.execute(
        "INSERT INTO customer (id, email) VALUES (1, 'a@b')",
        "INSERT INTO purchase (id, customer_id, amount) VALUES (1, 1, 5)",
    )
    shop.migrate()
    assert shop.database.execute("SELECT COUNT(*) FROM purchase") == [(1,)]
    assert shop.database.execute("PRAGMA foreign_key_list(purchase)")[0][2] == "customer"


@pytest.mark.engines("sqlite")
def test_a_revision_that_breaks_references_is_rolled_back(shop):
    shop.migrate()
    fill(shop)
    shop.write(
        "migrations/versions/c3.py",
        """
        revision = "c3"
        down_revision = "b2"
        from alembic import op


        def upgrade():
            op.execute("DELETE FROM customer")
        """,
    )
    with pytest.raises(JobFailed, match=r"c3 leaves foreign keys that point nowhere in purchase \(1 row\)"):
        shop.migrate()
    assert shop.database.execute("SELECT COUNT(*) FROM customer") == [(1,)]


@pytest.mark.engines("sqlite")
def test_references_that_were_broken_before_do_not_stop_a_revision(shop):
    shop.run("alembic", "upgrade", "a1")
    shop.database.execute(
        "PRAGMA foreign_keys = OFF", "INSERT INTO purchase (id, customer_id, amount) VALUES (1, 77, 5)"
    )
    assert shop.migrate().applied == ["b2"]


def test_mirrors_that_disagree_are_drift_before_anything_is_done(shop):
    shop.migrate()
    access = (shop.root / "access.yaml").read_text()
    shop.write("access.yaml", access.replace("purchase: ro", "purchase: {select: [id]}"))
    with pytest.raises(Drift, match=r"nothing was done: report.json \(stale\).*ringfence mirror"):
        migrate(shop.load(), shop.env())
    report = migrate(shop.load(), shop.env(), MigrateOptions(write_mirrors=True))
    assert report.mirrors_written == ["report"]
    assert bool(report.access.statements) == (shop.database.server.engine != "sqlite")
    assert migrate(shop.load(), shop.env()).access.statements == []


def test_several_heads_are_explained(shop):
    first = (shop.root / "migrations/versions/b2.py").read_text()
    shop.migrate()
    shop.write("migrations/versions/b3.py", first.replace('"b2"', '"b3"'))
    with pytest.raises(Exception, match=r"several heads.*alembic merge heads"):
        migrate(shop.load(), shop.env())


@pytest.mark.requires("accounts")
def test_a_wrong_password_fails_at_once(shop):
    heard = []
    with pytest.raises(AccessDenied, match=r"(?i)password|denied"):
        migrate(shop.load(), shop.env(DB_PASS="wrong", DB_MAX_RETRIES="50"), on_message=heard.append)
    with pytest.raises(AccessDenied, match=r"(?i)exist|unknown"):
        migrate(
            shop.load(), shop.env(DB_NAME="no_such_database", DB_MAX_RETRIES="50"), on_message=heard.append
        )
    assert not [text for text in heard if "does not answer yet" in text]


@pytest.mark.engines("postgresql")
def test_a_password_that_was_forgotten_is_asked_for(shop):
    env = {name: value for name, value in shop.env().items() if name not in ("DB_PASS", "DB_PASS_FILE")}
    with pytest.raises(AccessDenied, match="neither DB_PASS nor DB_PASS_FILE is set"):
        migrate(shop.load(), env)


@pytest.mark.engines("postgresql", "mariadb")
def test_a_server_that_does_not_listen_yet_is_waited_for(shop):
    heard = []
    env = shop.env(DB_HOST="127.0.0.1", DB_PORT="1", DB_MAX_RETRIES="3", DB_RETRY_DELAY="0.1")
    with pytest.raises(Unavailable, match="in 4 attempts"):
        migrate(shop.load(), env, on_message=heard.append)
    assert sum("does not answer yet" in text for text in heard) == 3


@pytest.mark.engines("postgresql", "mariadb", "galera")
def test_the_second_of_several_hosts_is_used_when_the_first_is_down(shop):
    host, port = shop.database.server.hosts[-1]
    shop.migrate(shop.env(DB_HOST=f"127.0.0.1:1,{host}:{port}"))


@pytest.mark.every_case
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_job_that_is_stopped_in_a_revision_leaves_the_next_one_free(shop, number):
    shop.migrate()
    shop.write(
        "migrations/versions/c3.py",
        f"""
        revision = "c3"
        down_revision = "b2"
        import pathlib, time
        import sqlalchemy as sa
        from alembic import op


        def upgrade():
            again = pathlib.Path({str(shop.root / "again")!r})  # the lint runs this too, in this process and folder
            if not again.exists():
                again.touch()
                time.sleep(600)
            op.create_table("whole", sa.Column("id", sa.Integer, primary_key=True))


        def downgrade():
            op.drop_table("whole")
        """,
    )
    running = start(shop, "migrate")
    eventually((shop.root / "again").exists)
    running.send_signal(number)
    running.communicate(timeout=30)
    assert running.returncode == (143 if number == signal.SIGTERM else -number)
    assert shop.run("ringfence", "migrate").returncode == 0
    assert shop.migrate().applied == []
