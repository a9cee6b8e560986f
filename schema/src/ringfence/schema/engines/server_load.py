"""The load of a server, by which a backfill slows down: flow control of a cluster, lag of replicas."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from ringfence.runtime.errors import AccessDenied, BadSettings, Unavailable
from ringfence.runtime.settings import Host
from ringfence.schema.engines.base import Backend, Server
from ringfence.schema.engines.messages import first_line
from ringfence.schema.text import counted

# The status is the node's own, so that the query need not wait until the node has applied other nodes' writes.
_AT_ONCE = "SET SESSION wsrep_sync_wait = 0"
_FLOW = (
    "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_flow_control_paused_ns', 'wsrep_flow_control_active')"
)
# For a while after a replica has caught up, replay_lag still shows the last lag that was measured.
_LAG = (
    "SELECT concat_ws(' at ', nullif(application_name, ''), host(client_addr)), state IS NULL,"
    " CASE WHEN replay_lsn >= pg_catalog.pg_current_wal_lsn() THEN 0 ELSE extract(epoch FROM replay_lag) END"
    " FROM pg_catalog.pg_stat_replication"
)
# engine -> the statement that reads a replica's status, and the privilege that it needs on the replica.
_LAG_QUERIES = {
    "mysql": ("SHOW REPLICA STATUS", "REPLICATION CLIENT"),
    "mariadb": ("SHOW ALL REPLICAS STATUS", "REPLICA MONITOR"),
    "galera": ("SHOW ALL REPLICAS STATUS", "REPLICA MONITOR"),
}
_LACKS_RIGHT = 1227


@dataclass(frozen=True)
class Lag:
    """How far one replica is behind."""

    replica: str
    seconds: float
    """Infinite for a replica that does not replicate."""
    why: str = ""
    """Why it does not replicate; otherwise empty."""

    def __str__(self) -> str:
        if math.isinf(self.seconds):
            return f"the replica {self.replica} does not replicate: {self.why}"
        return f"the replica {self.replica} is {self.seconds:.1f} s behind"


@dataclass(frozen=True)
class Pressure:
    """What slows a server down now."""

    flow_control_active: bool = False
    """Whether flow control blocks writes on the cluster at this moment."""
    paused: float = 0.0
    """The share of the time since the last reading in which flow control blocked writes, 0 to 1."""
    slowest: Lag | None = None
    """The replica that is farthest behind; None without replicas."""
    lag_unreadable: str = ""
    """Why the lag of some replicas cannot be read, and how to resolve it; otherwise empty."""


class Gauge:
    """Reads the load of one server, and of those replicas that must be asked themselves."""

    def __init__(self, backend: Backend, replicas: Iterable[Host] = (), *, lag: bool = True) -> None:
        """Prepare to read a server and its replicas.

        Args:
            backend: The server.
            replicas: Replicas of MySQL and MariaDB, whose lag the server does not know; the admin logs in to each.
            lag: Whether to read the lag of replicas at all.

        Raises:
            BadSettings: Replicas are named for an engine where they cannot be asked.
        """
        self._backend, self._lag = backend, lag
        self._replicas = [_at(backend, host) for host in replicas]
        if self._replicas and backend.identity.engine not in _LAG_QUERIES:
            raise BadSettings(
                "--replica is for replicas of MySQL and MariaDB: leave it out, for PostgreSQL tells of its replicas"
                " itself, and SQLite has none"
            )
        self._paused: tuple[float, float] | None = None
        self._looked = False

    def read(self, connection: sa.Connection) -> Pressure:
        """Read the load once.

        A replica that was reached before and cannot be reached now counts as one that does not replicate.

        Args:
            connection: A connection of the admin account.

        Raises:
            BadSettings: A named replica is not a replica, or cannot report its lag.
            AccessDenied: A named replica refuses the login or the query.
            Unavailable: A named replica cannot be reached at the first reading.
        """
        engine = self._backend.identity.engine
        lags: list[Lag] = []
        hidden = ""
        if self._lag:
            lags = [lag for replica in self._replicas for lag in self._asked(replica)]
            if look := _KNOWN.get(engine):
                known, hidden = look(connection, self._backend)
                lags += known
        self._looked = True
        still, paused = self._flow(connection) if self._backend.features.is_cluster else (False, 0.0)
        return Pressure(still, paused, max(lags, key=lambda lag: lag.seconds, default=None), hidden)

    def _flow(self, connection: sa.Connection) -> tuple[bool, float]:
        """Read flow control: whether it is active, and its share of the time since the last reading.

        It is computed from nanoseconds since the node started, because `wsrep_flow_control_paused` is the share of all
        the time since then.
        """
        connection.exec_driver_sql(_AT_ONCE)
        said = {name.lower(): value for name, value in connection.exec_driver_sql(_FLOW)}
        now, value = time.monotonic(), float(said.get("wsrep_flow_control_paused_ns", 0))
        before, self._paused = self._paused, (now, value)
        still = str(said.get("wsrep_flow_control_active", "")).lower() == "true"
        if before is None or now <= before[0]:
            return still, 0.0
        return still, min(1.0, max(0.0, (value - before[1]) / 1e9 / (now - before[0])))

    def _asked(self, replica: Server) -> list[Lag]:
        """Return how far a replica of MySQL or MariaDB is behind each of its sources, which only it knows."""
        host = str(replica.settings.hosts[0])
        try:
            rows = _status(replica)
        except Unavailable as error:
            if not self._looked:
                raise
            return [Lag(host, math.inf, str(error))]
        return [_lag(host, row) for row in rows]


def _postgresql(connection: sa.Connection, backend: Server) -> tuple[list[Lag], str]:
    """Read the lag of the replicas from the server.

    A role without `pg_monitor` sees that a replica is connected, and no more.
    """
    rows = connection.exec_driver_sql(_LAG).all()
    hidden = sum(row[1] for row in rows)
    why = (
        f"{backend.settings.user} may not see the lag of {counted(hidden, 'replica')} of this server, and what it"
        f' cannot see is not waited for: GRANT pg_monitor TO "{backend.settings.user}";'
        " --max-lag inf waits for none"
    )
    return [Lag(name, float(lag or 0)) for name, unseen, lag in rows if not unseen], why if hidden else ""


# Engines that know their replicas -> the function that reads the lag.
_KNOWN: Mapping[str, Callable[[sa.Connection, Backend], tuple[list[Lag], str]]] = {"postgresql": _postgresql}


def _at(backend: Backend, host: Host) -> Backend:
    """Return a backend with the same login for another host."""
    made: Backend = type(backend)(replace(backend.settings, hosts=(host,)), backend.identity)  # type: ignore[call-arg]
    return made


def _status(replica: Server) -> Sequence[Mapping[str, Any]]:
    """Return the replication status of a replica, a row for each source; raises what `Gauge.read` documents."""
    statement, right = _LAG_QUERIES[replica.identity.engine]
    settings, login = replica.settings, replica.settings.user
    try:
        with replica.engine().connect() as connection:
            rows = [dict(row) for row in connection.exec_driver_sql(statement).mappings()]
    except sa.exc.DBAPIError as error:
        said = first_line(error)
        if reason := replica.permanent_failure(error):
            raise AccessDenied(f"the replica {settings}: {reason}", account=login) from error
        if error.orig is not None and error.orig.args[0] == _LACKS_RIGHT:
            raise AccessDenied(
                f"{login} may not ask the replica {settings.hosts[0]} how far it is behind ({said}):"
                f" GRANT {right} ON *.* TO '{login}'@… there",
                account=login,
            ) from error
        if isinstance(error, sa.exc.ProgrammingError):
            raise BadSettings(
                f"the replica {settings} does not report how far it is behind: {said}"
            ) from error
        raise Unavailable(f"the replica {settings} cannot be reached: {said}") from error
    if not rows:
        raise BadSettings(f"{settings} replicates from nowhere: --replica names a replica of this database")
    return rows


def _lag(host: str, row: Mapping[str, Any]) -> Lag:
    def said(name: str) -> Any:
        """Return a column by its name on MySQL, or by the older name that MariaDB uses."""
        return row.get(name, row.get(name.replace("Source", "Master").replace("Replica", "Slave")))

    behind = said("Seconds_Behind_Source")
    if behind is not None:
        return Lag(host, float(behind))
    fetches, applies = said("Replica_IO_Running"), said("Replica_SQL_Running")
    return Lag(host, math.inf, f"IO thread running: {fetches}, SQL thread running: {applies}")
