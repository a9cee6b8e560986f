"""How hard a server is pressed, so that a backfill can slow down: flow control of a cluster, lag of replicas."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import sqlalchemy as sa

from ringfence.runtime.errors import BadSettings
from ringfence.runtime.settings import Host
from ringfence.schema.backends.base import Backend

_NEVER = 10**6
"""Seconds of lag that stand for a replica that has stopped."""
_FLOW = "SHOW GLOBAL STATUS LIKE 'wsrep_flow_control_paused_ns'"
_LAG = "SELECT max(extract(epoch FROM replay_lag)) FROM pg_catalog.pg_stat_replication"


@dataclass(frozen=True)
class Pressure:
    """What slows a server down, now."""

    paused: float = 0.0
    """The part of the time since the last look in which flow control stood the cluster still, 0 to 1."""
    lag: float = 0.0
    """Seconds by which the slowest replica is behind."""


class Gauge:
    """Asks one server, and its replicas where they must be asked themselves."""

    def __init__(self, backend: Backend, replicas: Iterable[Host] = ()) -> None:
        self._backend = backend
        self._look = _LOOKS.get(backend.identity.engine)
        self._replicas = [_at(backend, host) for host in replicas]
        self._paused: tuple[float, float] | None = None

    def read(self, connection: sa.Connection) -> Pressure:
        """Look once. Raises BadSettings for a replica that is none."""
        lag = max((_replica_lag(replica) for replica in self._replicas), default=0.0)
        if self._look is None:
            return Pressure(0.0, lag)
        kind, value = self._look(connection)
        if kind == "lag":
            return Pressure(0.0, max(lag, value))
        now = time.monotonic()
        before, self._paused = self._paused, (now, value)
        if before is None or now <= before[0]:
            return Pressure(0.0, lag)
        return Pressure(min(1.0, max(0.0, (value - before[1]) / 1e9 / (now - before[0]))), lag)


def _postgresql(connection: sa.Connection) -> tuple[str, float]:
    """The server knows its replicas; a role without pg_monitor sees no lag of theirs."""
    return "lag", float(connection.exec_driver_sql(_LAG).scalar() or 0)


def _galera(connection: sa.Connection) -> tuple[str, float]:
    """Nanoseconds since the node started: `wsrep_flow_control_paused` itself is their share of all that time."""
    row = connection.exec_driver_sql(_FLOW).first()
    return "paused", float(row[1]) if row else 0.0


_LOOKS: Mapping[str, Callable[[sa.Connection], tuple[str, float]]] = {
    "postgresql": _postgresql,
    "galera": _galera,
}


def _at(backend: Backend, host: Host) -> Backend:
    """The same login at another host."""
    made: Backend = type(backend)(replace(backend.settings, hosts=(host,)), backend.identity)  # type: ignore[call-arg]
    return made


def _replica_lag(replica: Backend) -> float:
    """Seconds by which a replica of MySQL or MariaDB is behind: it alone knows."""
    with replica.engine().connect() as connection:
        row = None
        with suppress(sa.exc.DBAPIError):  # a server that knows no replicas
            row = connection.exec_driver_sql("SHOW REPLICA STATUS").mappings().first()
    if row is None:
        raise BadSettings(
            f"{replica.settings} replicates from nowhere: --replica names a replica of this database"
        )
    behind = row.get("Seconds_Behind_Source", row.get("Seconds_Behind_Master"))
    return float(_NEVER if behind is None else behind)
