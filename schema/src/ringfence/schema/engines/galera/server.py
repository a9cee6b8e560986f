"""The backend of MariaDB Galera, where session locks are local to a node, so that the job's lock is a table row."""

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import pymysql
import sqlalchemy as sa

from ringfence.runtime.errors import NotReady
from ringfence.runtime.settings import Settings
from ringfence.schema.engines.base import HeldLock, Identity
from ringfence.schema.engines.galera.nodes import GaleraAccounts, GaleraChecks, GaleraNodes
from ringfence.schema.engines.mariadb.server import MariaDB
from ringfence.schema.engines.mysql.family import MySQLFamily
from ringfence.schema.engines.mysql.sessions import FamilyLocks
from ringfence.schema.errors import LockLost
from ringfence.schema.features.galera import FEATURES
from ringfence.schema.text import MessageCallback

RENEW_SECONDS = 1.0  # seconds between two renewals by the holder
STALE_SECONDS = 10.0  # seconds without a renewal, on the waiter's clock, after which the lease is taken over
_SYNCED = "4"
# Lock wait timeout, and deadlock or failed certification: nothing took effect, and the statement may be sent again.
_AGAIN = frozenset({1205, 1213})
_TABLE = (
    "CREATE TABLE IF NOT EXISTS ringfence_lease ("
    " name VARCHAR(64) NOT NULL PRIMARY KEY, holder VARCHAR(64), heartbeats BIGINT NOT NULL,"
    " fencing_token BIGINT NOT NULL, session VARCHAR(255))"
)


class Galera(MariaDB):
    """Backend of a Galera cluster, through the first of its nodes that answers and is synced."""

    # lc_messages, because nodes compare the text of an error; wsrep_sync_wait, so that a session reads what was written
    # on other nodes.
    session: ClassVar[tuple[str, ...]] = (
        "SET SESSION lc_messages = 'en_US'",
        "SET SESSION wsrep_sync_wait = 7",
    )

    features = FEATURES

    def __init__(self, settings: Settings, identity: Identity) -> None:
        super().__init__(settings, identity)
        self.checks = GaleraChecks(self)
        self.locks = GaleraLocks(self)
        self.nodes = GaleraNodes(self)

    def _accounts(self) -> GaleraAccounts:
        return GaleraAccounts(self)

    def _prepare(self, connection: Any, *, migrating: bool) -> None:
        """Set the session variables of a new connection to a synced node.

        Raises:
            pymysql.OperationalError: the node is not synced.
        """
        with connection.cursor() as cursor:
            cursor.execute("SHOW STATUS LIKE 'wsrep_local_state'")
            row = cursor.fetchone()
        if not row or row[1] != _SYNCED:
            raise pymysql.err.OperationalError(1047, f"this node is not synced (state {row and row[1]})")
        super()._prepare(connection, migrating=migrating)


class GaleraLocks(FamilyLocks):
    """The job's lease, and the timeouts of locks."""

    @contextlib.contextmanager
    def hold(self, *, patience: float, on_message: MessageCallback) -> Iterator[HeldLock]:
        """Hold the job's lease, which a thread renews; one not renewed for `STALE_SECONDS` is taken over.

        Args:
            patience: seconds to wait at most.
            on_message: reports that the job waits, or takes the lease over.

        Yields:
            The held lease.

        Raises:
            NotReady: another job held the lease for longer than that.
        """
        engine = self._backend.engine().execution_options(isolation_level="AUTOCOMMIT")
        lease = _Lease(self._backend, engine)
        lease.acquire(patience, on_message, str(self._backend.settings))
        beating = threading.Thread(target=lease.renew, name="ringfence-lease", daemon=True)
        beating.start()
        try:
            yield lease
        finally:
            lease.stop.set()
            beating.join()
            lease.release()


class _Lease:
    """The row of the table ringfence_lease that stands for the job's lock."""

    def __init__(self, backend: MySQLFamily, engine: sa.Engine) -> None:
        self._backend = backend
        self._engine = engine
        self._holder = secrets.token_hex(16)
        self._lost = threading.Event()
        self.stop = threading.Event()

    def acquire(self, patience: float, on_message: MessageCallback, where: str) -> None:
        """Take the lease, or wait for it.

        Time is measured on this machine alone, because the clocks of machines differ.

        Args:
            patience: seconds to wait at most.
            on_message: reports waiting and taking over.
            where: the database, for messages.

        Raises:
            NotReady: another job held the lease for longer than that.
        """
        deadline = time.monotonic() + patience
        seen: tuple[str | None, int] | None = None
        since = time.monotonic()
        announced = False
        with self._engine.connect() as connection:
            if not sa.inspect(connection).has_table("ringfence_lease"):
                connection.exec_driver_sql(_TABLE)
        while True:
            now = self._read_row()
            if now is None:
                self._send("INSERT IGNORE INTO ringfence_lease VALUES ('job', NULL, 0, 0, NULL)")
                continue
            if now != seen:
                seen, since = now, time.monotonic()
            holder, heartbeats = now
            stale = time.monotonic() - since > STALE_SECONDS
            if stale and holder is not None:
                self._end_holder()
            if (holder is None or stale) and self._send(
                "UPDATE ringfence_lease SET holder = %s, heartbeats = heartbeats + 1,"
                " fencing_token = fencing_token + 1, session = NULL"
                " WHERE name = 'job' AND holder <=> %s AND heartbeats = %s",
                self._holder,
                holder,
                heartbeats,
            ):
                if stale and holder is not None:
                    on_message(
                        f"the job that held the lock has not renewed it for {STALE_SECONDS:g} s; taking it over"
                    )
                return
            if not announced:
                on_message("another job holds the lock of this database; waiting for it")
                announced = True
            if time.monotonic() > deadline:
                raise NotReady(
                    f"another job has held the lock of {where} for {patience:g} s; it renews the row in"
                    " ringfence_lease",
                    "locked",
                )
            time.sleep(RENEW_SECONDS / 2)

    def register_session(self, connection: sa.Connection) -> None:
        """Record the session that changes the schema, so that a job that takes the lease over can end it first.

        Raises:
            LockLost: another job took the lease over.
        """
        session = self._backend.sessions.identifier(connection)
        sql = "UPDATE ringfence_lease SET session = %s WHERE name = 'job' AND holder = %s"
        while not self._send(sql, session, self._holder):
            self.check()
            time.sleep(RENEW_SECONDS / 10)

    def _end_holder(self) -> None:
        """End the holder's recorded session on its node: the holder may be suspended and resume later."""
        with self._engine.connect() as connection:
            sql = "SELECT session FROM ringfence_lease WHERE name = 'job'"
            session = connection.exec_driver_sql(sql).scalar()
        if session:
            self._backend.sessions.end(session)

    def renew(self) -> None:
        """Renew the lease until `stop` is set.

        The lease is lost when another holder is found in it, or when renewals have failed for longer than
        `STALE_SECONDS`.
        """
        missed = time.monotonic()
        while not self.stop.wait(RENEW_SECONDS):
            try:
                if not self._send(
                    "UPDATE ringfence_lease SET heartbeats = heartbeats + 1 WHERE name = 'job' AND holder = %s",
                    self._holder,
                ):
                    self._lost.set()
                    return
                missed = time.monotonic()
            except sa.exc.DBAPIError:
                if time.monotonic() - missed > STALE_SECONDS:
                    self._lost.set()
                    return

    def check(self) -> None:
        """Check that the lease is still held.

        Raises:
            LockLost: another job took it over.
        """
        if self._lost.is_set():
            raise LockLost(
                "another job took over the deployment's lock, because this one did not renew it; run it again"
            )

    def release(self) -> None:
        """Release the lease, if this job still holds it."""
        with contextlib.suppress(sa.exc.DBAPIError):
            self._send(
                "UPDATE ringfence_lease SET holder = NULL WHERE name = 'job' AND holder = %s", self._holder
            )

    def _read_row(self) -> tuple[str | None, int] | None:
        """Return the holder and the count of renewals; None when the row does not exist."""
        with self._engine.connect() as connection:
            row = connection.exec_driver_sql(
                "SELECT holder, heartbeats FROM ringfence_lease WHERE name = 'job'"
            ).one_or_none()
            return None if row is None else (row[0], int(row[1]))

    def _send(self, sql: str, *parameters: object) -> bool:
        """Run one statement in a transaction of its own, and return whether it changed a row.

        A failed certification changed none.
        """
        try:
            with self._engine.connect() as connection:
                return connection.exec_driver_sql(sql, parameters).rowcount > 0
        except sa.exc.DBAPIError as error:
            if getattr(error.orig, "args", (None,))[0] in _AGAIN:
                return False
            raise
