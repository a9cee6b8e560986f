"""A backfill beside a cluster that stands still and replicas that lag, stop or are none: each of them a real one."""

import contextlib
import math
import re
import threading

import pytest

from ringfence.runtime.errors import AccessDenied, BadSettings, NotReady, Unavailable
from ringfence.runtime.settings import Host
from ringfence.schema.backfills.run import Pace, run
from ringfence.schema.engines import reach
from ringfence.schema.engines.server_load import Gauge
from servers import galera
from servers.base import Database
from servers.process import free_ports
from support.deployments import lay_out
from support.waiting import eventually

ROWS = 120
RAISE = """
import sqlalchemy as sa
from ringfence.schema.backfills.declared import Backfill

backfill = Backfill("purchase", set={"amount": sa.text("amount + 1")}, where=sa.true(), batch=10)
"""


def stock(root, database, **admin):
    """The shop with rows, and what raises each of them by one."""
    shop = lay_out(root, database)
    shop.run("alembic", "upgrade", "head", **admin)
    database.execute(
        "INSERT INTO customer (id, email, active) VALUES (1, 'a@b', '1')",
        "INSERT INTO purchase (id, customer_id, amount) VALUES "
        + ", ".join(f"({number}, 1, 0)" for number in range(1, ROWS + 1)),
    )
    shop.write("migrations/backfills/raise_amounts.py", RAISE)
    return shop


class Watched:
    """A run to which something happens when forty rows are done, and again when it says that it waits."""

    def __init__(self, shop, press=lambda: None, relieve=lambda: None, login=(None, None)):
        self.shop, self.press, self.relieve = shop, press, relieve
        self.env = shop.database.env(*login)
        self.heard, self.pressed_at, self.waited_at = [], None, None

    def run(self, pace, *, again=False):
        def show(progress):
            if progress.seen >= 40 and self.pressed_at is None:
                self.pressed_at = progress.seen
                self.press()

        def say(text):
            if self.pressed_at is None:
                return  # a replica may lag by itself where the machine is busy
            self.heard.append(text)
            if text.startswith("waiting: "):
                self.waited_at = raised(self.shop.database)
                self.relieve()

        done = run(
            self.shop.load(), "raise_amounts", self.env, pace=pace, again=again, show=show, on_message=say
        )
        assert done.seen == done.changed == ROWS
        return self.heard


@pytest.mark.slow
def test_it_waits_while_flow_control_stands_the_cluster_still(own_server, tmp_path):
    server = own_server("galera")
    shop = stock(tmp_path, server.database())
    slow = shop.database.connect(node=1)

    def paused():
        return int(galera.status(server, 0)["wsrep_flow_control_paused_ns"])

    def let_go_later():
        # The backfill may itself stand still in a COMMIT, so somebody else ends it, when it has lasted for a while.
        try:
            before = paused()
            eventually(lambda: paused() - before > 1e9, 60)
        finally:
            slow.cursor().execute("UNLOCK TABLES")

    helper = threading.Thread(target=let_go_later)

    def press():
        slow.cursor().execute("SET GLOBAL wsrep_provider_options = 'gcs.fc_limit=1'")
        slow.cursor().execute("LOCK TABLES purchase READ")  # what is replicated to this node queues up
        helper.start()

    watched = Watched(shop, press)
    with contextlib.closing(slow):
        heard = watched.run(Pace())
        helper.join(60)
    assert heard[0].startswith("waiting: flow control has paused the cluster")
    assert heard[1].startswith("continuing after ")
    assert watched.pressed_at == 40 < watched.waited_at < ROWS
    assert [raised(shop.database, node) for node in range(3)] == [ROWS] * 3


def raised(database, node=0):
    """How many rows were raised once, as a node has them."""
    with contextlib.closing(database.connect(node=node)) as connection:
        cursor = connection.cursor()
        if len(database.server.hosts) > 1:
            cursor.execute("SET SESSION wsrep_sync_wait = 1")
        cursor.execute("SELECT COUNT(*) FROM purchase WHERE amount = 1")
        return cursor.fetchone()[0]


@pytest.mark.slow
def test_it_waits_for_a_standby_that_lags_and_must_see_it(own_replicated, tmp_path):
    primary, standby = own_replicated("postgresql")
    database = primary.database()
    # An admin with the least rights does not see the lag, and would take it for none.
    boss = f"{database.prefix}boss"
    database.execute(
        f"CREATE ROLE \"{boss}\" LOGIN CREATEROLE PASSWORD 'x'",
        f'ALTER DATABASE "{database.name}" OWNER TO "{boss}"',
    )
    shop = stock(tmp_path, database, DB_USER=boss, DB_PASS="x")
    streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
    eventually(lambda: database.execute(streaming) == [(1,)], 60)
    watched = Watched(shop, login=(boss, "x"))
    with pytest.raises(BadSettings, match=f'lag of 1 replica .*GRANT pg_monitor TO "{boss}"'):
        watched.run(Pace())
    assert raised(shop.database) == 0
    assert watched.run(Pace(lag=math.inf)) == []

    database.execute(f'GRANT pg_monitor TO "{boss}"')
    lags = "SELECT count(*) FROM pg_stat_replication WHERE replay_lag > '1.1 s'"
    others = []
    with contextlib.closing(Database(standby, "postgres", "").connect()) as behind:

        def press():
            behind.cursor().execute("SELECT pg_wal_replay_pause()")
            eventually(lambda: database.execute("UPDATE customer SET email = 'a@b'", lags) == [(1,)], 60)

        def run_another():
            # It must see that the one that waits is alive; only then the standby goes on.
            try:
                others.append(Watched(shop, login=(boss, "x")).run(Pace(lag=math.inf)))
            except NotReady as error:
                others.append(str(error))
            finally:
                behind.cursor().execute("SELECT pg_wal_replay_resume()")

        other = threading.Thread(target=run_another)
        database.execute("UPDATE purchase SET amount = 0")
        watched = Watched(shop, press, other.start, login=(boss, "x"))
        heard = watched.run(Pace(lag=1.0), again=True)
        other.join(60)
    assert others == ["another run of the backfill raise_amounts is still running; wait for it, or stop it"]
    assert re.fullmatch(r"waiting: the replica walreceiver at 127\.0\.0\.1 is \d+\.\d s behind", heard[0])
    assert heard[1].startswith("continuing after ")
    assert watched.pressed_at == watched.waited_at == 40
    assert raised(database) == ROWS


@pytest.mark.slow
def test_it_waits_for_a_replica_that_lags_or_has_stopped(own_replicated, tmp_path):
    primary, replica = own_replicated("mariadb")
    shop = stock(tmp_path, primary.database())
    host = Host(*replica.hosts[0])
    copy = Database(replica, shop.database.name, shop.database.prefix)

    def arrived():
        with contextlib.suppress(Exception):  # the table is not there yet
            return copy.execute("SELECT COUNT(*) FROM purchase") == [(ROWS,)]

    eventually(arrived, 60)
    gauge = Gauge(reach(shop.settings()), [host])
    with (
        contextlib.closing(copy.connect()) as behind,
        reach(shop.settings()).engine().connect() as connection,
    ):

        def hold():
            behind.cursor().execute("LOCK TABLES customer READ, purchase READ")
            shop.database.execute("UPDATE customer SET email = 'c@d'")
            eventually(lambda: gauge.read(connection).slowest.seconds > 1, 60)

        watched = Watched(shop, hold, lambda: behind.cursor().execute("UNLOCK TABLES"))
        heard = watched.run(Pace(lag=1.0, replicas=(host,)))
        assert re.fullmatch(rf"waiting: the replica {host} is \d+\.0 s behind", heard[0])
        assert heard[1].startswith("continuing after ")
        assert watched.waited_at == 40

        shop.database.execute("UPDATE purchase SET amount = 0")
        applier = behind.cursor()
        watched = Watched(
            shop,
            lambda: applier.execute("STOP SLAVE SQL_THREAD"),
            lambda: applier.execute("START SLAVE SQL_THREAD"),
        )
        heard = watched.run(Pace(replicas=(host,)), again=True)
        assert heard[0] == (
            f"waiting: the replica {host} does not replicate: IO thread running: Yes, SQL thread running: No"
        )
        assert watched.waited_at == 40
        eventually(lambda: raised(copy) == ROWS)

        replica.close()
        found = gauge.read(connection).slowest
        assert str(found).startswith(f"the replica {host} does not replicate: ")
        assert "cannot be reached" in found.why


def test_what_is_no_replica_or_may_not_be_asked_is_named_before_anything_is_changed(db, tmp_path):
    shop = stock(tmp_path, db)
    if db.server.db_type != "mysql":
        done = shop.run("ringfence", "backfill", "raise_amounts", "--replica", "127.0.0.1")
        assert done.returncode == 3
        assert "--replica is for replicas of MySQL and MariaDB: leave it out" in done.stdout + done.stderr
        assert raised(db) == 0
        return
    here, nowhere = Host(*db.server.hosts[0]), Host("127.0.0.1", free_ports(1)[0])
    login = shop.login("boss")
    db.execute(f"CREATE USER '{login}'@'%' IDENTIFIED BY 'x'", f"GRANT ALL ON `{db.name}`.* TO '{login}'@'%'")
    # The last of them may ask as soon as it has the right that it was told of.
    for user, password, host, kind, told in (
        (None, None, here, BadSettings, "replicates from nowhere"),
        (None, None, nowhere, Unavailable, f"the replica .*{nowhere}.* cannot be reached"),
        (login, "x", here, AccessDenied, f"{login} may not ask the replica {here} .*GRANT REPLICA"),
        (login, "x", here, BadSettings, "replicates from nowhere"),
    ):
        with pytest.raises(kind, match=told) as refused:
            Watched(shop, login=(user, password)).run(Pace(replicas=(host,)))
        if right := re.search(r"GRANT (.+) ON \*\.\* TO", str(refused.value)):
            db.execute(f"GRANT {right[1]} ON *.* TO '{login}'@'%'")
    assert raised(db) == 0


@pytest.mark.slow
def test_a_server_that_crashes_between_two_batches_is_waited_for(own_server, tmp_path):
    server = own_server("postgresql")
    shop = stock(tmp_path, server.database())
    (process,) = server.processes

    def crash():
        process.kill()
        process.start()

    Watched(shop, crash).run(Pace())
    assert raised(shop.database) == ROWS
