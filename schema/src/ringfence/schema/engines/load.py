"""How hard a server is pressed, so that a backfill can slow down: flow control of a cluster, lag of replicas."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from ringfence.runtime.errors import AccessDenied, BadSettings, Unavailable
from ringfence.runtime.settings import Host
from ringfence.schema.engines.base import Backend
from ringfence.schema.engines.messages import first_line
from ringfence.schema.text import counted

# What it tells is this node's own: it need not first apply what other nodes have written.
_AT_ONCE = "SET SESSION wsrep_sync_wait = 0"
_FLOW = (
    "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_flow_control_paused_ns', 'wsrep_flow_control_active')"
)
# The server goes on showing the last lag that it measured for a while after a replica has caught up.
_LAG = (
    "SELECT concat_ws(' at ', nullif(application_name, ''), host(client_addr)), state IS NULL,"
    " CASE WHEN replay_lsn >= pg_catalog.pg_current_wal_lsn() THEN 0 ELSE extract(epoch FROM replay_lag) END"
    " FROM pg_catalog.pg_stat_replication"
)
# engine -> how a replica is asked, and the right that this takes there.
_ASKED = {
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
    """Infinite for one that does not replicate."""
    why: str = ""

    def __str__(self) -> str:
        if math.isinf(self.seconds):
            return f"the replica {self.replica} does not replicate: {self.why}"
        return f"the replica {self.replica} is {self.seconds:.1f} s behind"


@dataclass(frozen=True)
class Pressure:
    """What slows a server down, now."""

    still: bool = False
    """Whether flow control stands the cluster still at this moment."""
    paused: float = 0.0
    """The part of the time since the last look in which flow control stood the cluster still, 0 to 1."""
    slowest: Lag | None = None
    """The replica that is farthest behind, if there is one."""
    hidden: str = ""
    """Why the lag of some replicas cannot be told, and the way out; else empty."""


class Gauge:
    """Asks one server, and its replicas where they must be asked themselves."""

    def __init__(self, backend: Backend, replicas: Iterable[Host] = (), *, lag: bool = True) -> None:
        """Take a server and its replicas.

        Args:
            backend: of the server.
            replicas: those of MySQL and MariaDB, which the server does not know; logged in to as the admin.
            lag: whether the lag is of any interest.

        Raises:
            BadSettings: replicas are named where they cannot be asked.
        """
        self._backend, self._lag = backend, lag
        self._replicas = [_at(backend, host) for host in replicas]
        if self._replicas and backend.identity.engine not in _ASKED:
            raise BadSettings(
                "--replica is for replicas of MySQL and MariaDB: leave it out, for PostgreSQL tells of its replicas"
                " itself, and SQLite has none"
            )
        self._paused: tuple[float, float] | None = None
        self._looked = False

    def read(self, connection: sa.Connection) -> Pressure:
        """Look once. A replica that was seen before and cannot be reached now counts as one that has stopped.

        Raises:
            BadSettings: a named replica is none, or cannot say how far it is behind.
            AccessDenied: a named replica refuses the login, or what is asked.
            Unavailable: at the first look, a named replica cannot be reached.
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
        still, paused = self._flow(connection) if engine in _FLOWING else (False, 0.0)
        return Pressure(still, paused, max(lags, key=lambda lag: lag.seconds, default=None), hidden)

    def _flow(self, connection: sa.Connection) -> tuple[bool, float]:
        """Nanoseconds since the node started: `wsrep_flow_control_paused` itself is their share of all that time."""
        connection.exec_driver_sql(_AT_ONCE)
        said = {name.lower(): value for name, value in connection.exec_driver_sql(_FLOW)}
        now, value = time.monotonic(), float(said.get("wsrep_flow_control_paused_ns", 0))
        before, self._paused = self._paused, (now, value)
        still = str(said.get("wsrep_flow_control_active", "")).lower() == "true"
        if before is None or now <= before[0]:
            return still, 0.0
        return still, min(1.0, max(0.0, (value - before[1]) / 1e9 / (now - before[0])))

    def _asked(self, replica: Backend) -> list[Lag]:
        """How far a replica of MySQL or MariaDB is behind each server it follows: it alone knows."""
        host = str(replica.settings.hosts[0])
        try:
            rows = _status(replica)
        except Unavailable as error:
            if not self._looked:
                raise
            return [Lag(host, math.inf, str(error))]
        return [_lag(host, row) for row in rows]


def _postgresql(connection: sa.Connection, backend: Backend) -> tuple[list[Lag], str]:
    """The server knows its replicas, and shows a role without the right that they are there and nothing else."""
    rows = connection.exec_driver_sql(_LAG).all()
    hidden = sum(row[1] for row in rows)
    why = (
        f"{backend.settings.user} may not see the lag of {counted(hidden, 'replica')} of this server, and what it"
        f' cannot see is not waited for: GRANT pg_monitor TO "{backend.settings.user}";'
        " --max-lag inf waits for none"
    )
    return [Lag(name, float(lag or 0)) for name, unseen, lag in rows if not unseen], why if hidden else ""


# Engines that know their replicas -> who reads their lag.
_KNOWN: Mapping[str, Callable[[sa.Connection, Backend], tuple[list[Lag], str]]] = {"postgresql": _postgresql}
_FLOWING = frozenset({"galera"})


def _at(backend: Backend, host: Host) -> Backend:
    """The same login at another host."""
    made: Backend = type(backend)(replace(backend.settings, hosts=(host,)), backend.identity)  # type: ignore[call-arg]
    return made


def _status(replica: Backend) -> Sequence[Mapping[str, Any]]:
    """What a replica says of itself, for each server it follows. Raises as Gauge.read does."""
    statement, right = _ASKED[replica.identity.engine]
    settings, login = replica.settings, replica.settings.user
    try:
        with replica.engine().connect() as connection:
            rows = [dict(row) for row in connection.exec_driver_sql(statement).mappings()]
    except sa.exc.DBAPIError as error:
        said = first_line(error)
        if reason := replica.refused(error):
            raise AccessDenied(f"the replica {settings}: {reason}", account=login) from error
        if error.orig is not None and error.orig.args[0] == _LACKS_RIGHT:
            raise AccessDenied(
                f"{login} may not ask the replica {settings.hosts[0]} how far it is behind ({said}):"
                f" GRANT {right} ON *.* TO '{login}'@… there",
                account=login,
            ) from error
        if isinstance(error, sa.exc.ProgrammingError):
            raise BadSettings(f"the replica {settings} cannot say how far it is behind: {said}") from error
        raise Unavailable(f"the replica {settings} cannot be reached: {said}") from error
    if not rows:
        raise BadSettings(f"{settings} replicates from nowhere: --replica names a replica of this database")
    return rows


def _lag(host: str, row: Mapping[str, Any]) -> Lag:
    def said(name: str) -> Any:
        """A column by the name that MySQL gives it, or the older one of MariaDB."""
        return row.get(name, row.get(name.replace("Source", "Master").replace("Replica", "Slave")))

    behind = said("Seconds_Behind_Source")
    if behind is not None:
        return Lag(host, float(behind))
    fetches, applies = said("Replica_IO_Running"), said("Replica_SQL_Running")
    return Lag(host, math.inf, f"IO thread running: {fetches}, SQL thread running: {applies}")
