"""Export the pool's statistics to Prometheus, from one process or several."""

import os
import threading
from dataclasses import dataclass
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from ringfence.runtime.pool import Pool, PoolStats

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"


@dataclass(frozen=True, slots=True)
class _Instruments:
    """The Prometheus metrics, made once for the process; each service has its own label."""

    size: Gauge
    connections: Gauge
    waiting: Gauge
    oldest: Gauge
    counters: dict[str, Counter]


def _make() -> _Instruments:
    def gauge(name: str, says: str, *labels: str, mode: Any = "livesum") -> Gauge:
        return Gauge(f"ringfence_pool_{name}", says, ("service", *labels), multiprocess_mode=mode)

    def counter(name: str, says: str) -> Counter:
        return Counter(f"ringfence_pool_{name}", says, ("service",))

    return _Instruments(
        size=gauge("size", "The cap of connections."),
        connections=gauge("connections", "Open connections.", "state"),
        waiting=gauge("waiting", "Callers that wait for a connection now."),
        oldest=gauge("oldest_connection_seconds", "Age of the oldest connection.", mode="livemax"),
        counters={
            "waits": counter("waits", "Callers that had to wait for a connection."),
            "wait_seconds": counter("wait_seconds", "How long they waited in all."),
            "opened": counter("opened", "Connections opened."),
            "dropped": counter("dropped", "Connections closed: old, idle or broken."),
        },
    )


_instruments: _Instruments | None = None
_guard = threading.Lock()


class PoolMetrics:
    """Copies a pool's statistics into the Prometheus metrics at each `refresh`.

    Args:
        pool: the pool to read.
        service: the value of the label `service`.
    """

    def __init__(self, pool: Pool, service: str) -> None:
        global _instruments
        with _guard:
            _instruments = _instruments or _make()
        self._instruments = _instruments
        self._pool = pool
        self._service = service
        self._lock = threading.Lock()
        self._reported: dict[str, float] = {}
        self._process = os.getpid()

    def refresh(self) -> None:
        """Copy the pool's present statistics into the metrics."""
        with self._lock:
            stats, made, service = self._pool.stats(), self._instruments, self._service
            made.size.labels(service).set(stats.size)
            made.connections.labels(service, "idle").set(stats.idle)
            made.connections.labels(service, "in_use").set(stats.in_use)
            made.waiting.labels(service).set(stats.waiting)
            made.oldest.labels(service).set(stats.oldest_age)
            self._count(stats)

    def _count(self, stats: PoolStats) -> None:
        if self._process != os.getpid():  # the pool counts from zero after a fork
            self._process, self._reported = os.getpid(), {}
        for name, counter in self._instruments.counters.items():
            now = float(getattr(stats, name))
            counter.labels(self._service).inc(max(0.0, now - self._reported.get(name, 0.0)))
            self._reported[name] = now

    def page(self) -> bytes:
        """Return all metrics of the process's registry as text; with PROMETHEUS_MULTIPROC_DIR, those of all workers."""
        self.refresh()
        if _MULTIPROCESS not in os.environ:
            return generate_latest(REGISTRY)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # has no annotations
        return generate_latest(registry)
