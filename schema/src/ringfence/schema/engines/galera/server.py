"""MariaDB Galera: a cluster in which session locks are local to a node, so the lock is a row of a table."""

import contextlib
import secrets
import threading
import time
from collections.abc import Collection, Iterator
from typing import Any, ClassVar

import pymysql
import sqlalchemy as sa

from ringfence.runtime.errors import NotReady
from ringfence.schema.engines.base import Findings, Held, Say
from ringfence.schema.engines.galera.nodes import GaleraAccounts, compare, look_at_cluster
from ringfence.schema.engines.galera.schema_shape import Events, shape
from ringfence.schema.engines.mariadb.server import MariaDB
from ringfence.schema.errors import LockLost

_BEAT = 1.0  # seconds between two heartbeats of the holder
_STALE = 10.0  # seconds without one, by the waiter's own clock, after which the lease is taken over
_SYNCED = "4"
# Certification lost to another node, or waited for it: nothing happened, and the statement may be sent again.
_AGAIN = frozenset({1205, 1213})
_TABLE = (
    "CREATE TABLE IF NOT EXISTS ringfence_lease ("
    " name VARCHAR(64) NOT NULL PRIMARY KEY, holder VARCHAR(64), beat BIGINT NOT NULL, fence BIGINT NOT NULL,"
    " session VARCHAR(255))"
)


class Galera(MariaDB):
    """A node of a cluster, whichever answers and is synced."""

    # The text of an error is compared between nodes; a session that waits for the others reads what they wrote.
    session: ClassVar[tuple[str, ...]] = (
        "SET SESSION lc_messages = 'en_US'",
        "SET SESSION wsrep_sync_wait = 7",
    )

    def _accounts(self) -> GaleraAccounts:
        return GaleraAccounts(self)

    def _prepare(self, connection: Any, *, migrating: bool) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SHOW STATUS LIKE 'wsrep_local_state'")
            row = cursor.fetchone()
        if not row or row[1] != _SYNCED:
            raise pymysql.err.OperationalError(1047, f"this node is not synced (state {row and row[1]})")
        super()._prepare(connection, migrating=migrating)

    def circumstances(self, connection: sa.Connection) -> Findings:
        """See Backend."""
        found, cluster = super().circumstances(connection), look_at_cluster(connection)
        return Findings(found.errors + cluster.errors, found.warnings + cluster.warnings)

    def disagreeing(
        self, connection: sa.Connection, schemas: Collection[str | None]
    ) -> tuple[list[str], list[str]]:
        """See Backend: a node cannot tell whether the others could do what it did."""
        events = Events()

        def state(node: sa.Connection) -> set[str]:
            events.add(node, schemas)
            return shape(node, schemas)

        wrong, unproven = compare(self, connection, state)
        return wrong + ([] if unproven else events.wrong()), unproven

    @contextlib.contextmanager
    def lock(self, *, patience: float, say: Say) -> Iterator[Held]:
        """See Backend. A lease that its holder renews; one that stands still for long is taken over."""
        engine = self.engine().execution_options(isolation_level="AUTOCOMMIT")
        lease = _Lease(self, engine)
        lease.acquire(patience, say, str(self.settings))
        beating = threading.Thread(target=lease.beat, name="ringfence-lease", daemon=True)
        beating.start()
        try:
            yield lease
        finally:
            lease.stop.set()
            beating.join()
            lease.release()


class _Lease:
    def __init__(self, backend: Galera, engine: sa.Engine) -> None:
        self._backend = backend
        self._engine = engine
        self._holder = secrets.token_hex(16)
        self._lost = threading.Event()
        self.stop = threading.Event()

    def acquire(self, patience: float, say: Say, where: str) -> None:
        """Take the lease, or wait for it. Time is measured here alone: clocks of different machines differ."""
        deadline = time.monotonic() + patience
        seen: tuple[str | None, int] | None = None
        since = time.monotonic()
        told = False
        with self._engine.connect() as connection:
            if not sa.inspect(connection).has_table("ringfence_lease"):
                connection.exec_driver_sql(_TABLE)
        while True:
            now = self._look()
            if now is None:
                self._send("INSERT IGNORE INTO ringfence_lease VALUES ('job', NULL, 0, 0, NULL)")
                continue
            if now != seen:
                seen, since = now, time.monotonic()
            holder, beat = now
            stale = time.monotonic() - since > _STALE
            if stale and holder is not None:
                self._end_holder()
            if (holder is None or stale) and self._send(
                "UPDATE ringfence_lease SET holder = %s, beat = beat + 1, fence = fence + 1, session = NULL"
                " WHERE name = 'job' AND holder <=> %s AND beat = %s",
                self._holder,
                holder,
                beat,
            ):
                if stale and holder is not None:
                    say(f"the job that held the lock has not been heard of for {_STALE:g} s; taking it over")
                return
            if not told:
                say("another job holds the lock of this database; waiting for it")
                told = True
            if time.monotonic() > deadline:
                raise NotReady(
                    f"another job has held the lock of {where} for {patience:g} s; it renews the row in"
                    " ringfence_lease",
                    "locked",
                )
            time.sleep(_BEAT / 2)

    def guard(self, connection: sa.Connection) -> None:
        """See Held."""
        session = self._backend.session_of(connection)
        sql = "UPDATE ringfence_lease SET session = %s WHERE name = 'job' AND holder = %s"
        while not self._send(sql, session, self._holder):
            self.check()
            time.sleep(_BEAT / 10)

    def _end_holder(self) -> None:
        """End the connection with which the holder changes the schema, on its node: it may have slept, and not died."""
        with self._engine.connect() as connection:
            sql = "SELECT session FROM ringfence_lease WHERE name = 'job'"
            session = connection.exec_driver_sql(sql).scalar()
        if session:
            self._backend.end(session)

    def beat(self) -> None:
        """Renew the lease until told to stop; a renewal that finds another holder means that it is lost."""
        missed = time.monotonic()
        while not self.stop.wait(_BEAT):
            try:
                if not self._send(
                    "UPDATE ringfence_lease SET beat = beat + 1 WHERE name = 'job' AND holder = %s",
                    self._holder,
                ):
                    self._lost.set()
                    return
                missed = time.monotonic()
            except sa.exc.DBAPIError:
                if time.monotonic() - missed > _STALE:
                    self._lost.set()
                    return

    def check(self) -> None:
        """Raise LockLost when another job took the lease over."""
        if self._lost.is_set():
            raise LockLost(
                "another job took over the deployment's lock, for this one was not heard of; run it again"
            )

    def release(self) -> None:
        """Give the lease back, if it is still ours."""
        with contextlib.suppress(sa.exc.DBAPIError):
            self._send(
                "UPDATE ringfence_lease SET holder = NULL WHERE name = 'job' AND holder = %s", self._holder
            )

    def _look(self) -> tuple[str | None, int] | None:
        with self._engine.connect() as connection:
            row = connection.exec_driver_sql(
                "SELECT holder, beat FROM ringfence_lease WHERE name = 'job'"
            ).one_or_none()
            return None if row is None else (row[0], int(row[1]))

    def _send(self, sql: str, *parameters: object) -> bool:
        """Run one statement as its own transaction; whether it changed a row. A lost certification changed none."""
        try:
            with self._engine.connect() as connection:
                return connection.exec_driver_sql(sql, parameters).rowcount > 0
        except sa.exc.DBAPIError as error:
            if getattr(error.orig, "args", (None,))[0] in _AGAIN:
                return False
            raise
