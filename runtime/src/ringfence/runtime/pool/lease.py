"""Leases and bookkeeping of a pool.

A lease is registered before its caller gets anything, so that the pool can recover it after any exception.
"""

import contextlib
import threading
import time
import weakref
from dataclasses import dataclass
from typing import Any

from ringfence.runtime.settings import Host

CLOSING_SECONDS = 10.0
"""How long a thread may take to close a connection before `PoolState.repair` has it closed again."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The name of a connection's holder, and since when it holds it (`time.monotonic`)."""

    name: str
    since: float


@dataclass(frozen=True, slots=True)
class PoolStats:
    """The pool's statistics at one moment; times are in seconds.

    `size` is the limit. `open` connections are `idle` or `in_use`. `waiting` callers wait now; `waits` counts all that
    ever had to wait, and `wait_seconds` is their total waiting time. `oldest_age` is the age of the oldest connection.
    `opened` and `dropped` count connections since the pool was made.
    """

    size: int
    open: int
    idle: int
    in_use: int
    waiting: int
    waits: int
    wait_seconds: float
    oldest_age: float
    opened: int
    dropped: int


class Lease:
    """What one caller has of the pool: a position in the queue, permission to open a connection, or a connection.

    Args:
        name: the holder's name, for the message of `PoolExhausted` to other callers.
        keeper: a weak reference to an object of the caller: when it is collected, the lease counts as lost. None for a
            lease that only `Pool.release` and `Pool.give_up` end.
    """

    __slots__ = ("_wakeup", "busy", "keeper", "name", "over", "pooled", "since")

    def __init__(self, name: str, keeper: "weakref.ref[Any] | None" = None) -> None:
        self.name = name
        self.keeper = keeper
        self.since = 0.0
        self.pooled: Pooled | None = None
        self.over = False
        self.busy = False
        """Whether an exception interrupted the caller while the server may have been running its statement."""
        self._wakeup: Any = None

    @property
    def connection(self) -> Any:
        """The driver's connection; None before it is borrowed and after it is returned."""
        return self.pooled.connection if self.pooled is not None else None

    @property
    def lost(self) -> bool:
        """Whether the lease is over or its caller no longer exists, so that the pool must take back what it holds."""
        return self.over or (self.keeper is not None and self.keeper() is None)

    # A plain lock wakes the waiter: threading.Event is Python code, and an exception inside it leaves its lock held.

    def enter_queue(self) -> None:
        """Prepare to wait in the queue."""
        self._wakeup = threading.Lock()
        self._wakeup.acquire()

    def wait(self, seconds: float) -> bool:
        """Wait for `ring`, at most `seconds`; returns False if it was not called in that time."""
        return bool(self._wakeup.acquire(timeout=max(0.0, seconds)))

    def wake(self) -> None:
        """Wake the waiting caller; a second call before it wakes has no effect."""
        with contextlib.suppress(RuntimeError):
            self._wakeup.release()


@dataclass(slots=True, eq=False)
class Pooled:
    """A connection with the pool's data about it; it is idle while `lease` is None.

    Times are those of `time.monotonic`. `closing` is when a thread began to close it, or 0; `generation` is the login
    that it was opened with.
    """

    connection: Any
    expires: float
    born: float
    generation: int
    host: Host | None
    idle_since: float = 0.0
    lease: Lease | None = None
    closing: float = 0.0

    def mark_closing(self) -> None:
        """Assign the connection to a lease of the pool itself, so that it is not lent again before it is closed."""
        self.closing = time.monotonic()
        lease = Lease("the pool, which closes it")
        lease.over = True
        self.lease = lease


class PoolState:
    """The pool's bookkeeping: all connections, the idle ones, the waiting callers and those that open a connection.

    One lock protects it. Each change is ordered so that an exception between any two steps leaves a state that `repair`
    can repair: `everyone` contains every open connection, and the lease on each says who holds it.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        # Reentrant, because a signal handler may use the pool while its thread already holds the lock.
        self.lock = threading.RLock()
        self.everyone: set[Pooled] = set()
        self.idle: list[Pooled] = []
        self.waiters: list[Lease] = []
        self.opening: set[Lease] = set()
        self.opened = 0
        self.waits = 0
        self.wait_seconds = 0.0
        self.closed = False

    @property
    def has_capacity(self) -> bool:
        """Whether another connection may be opened. The caller holds the lock."""
        return len(self.everyone) + len(self.opening) < self.size

    def stats(self) -> PoolStats:
        """Return the pool's statistics."""
        now = time.monotonic()
        with self.lock:
            count = len(self.everyone)
            return PoolStats(
                size=self.size,
                open=count,
                idle=len(self.idle),
                in_use=count - len(self.idle),
                waiting=len(self.waiters),
                waits=self.waits,
                wait_seconds=self.wait_seconds,
                oldest_age=max((now - each.born for each in self.everyone), default=0.0),
                opened=self.opened,
                dropped=self.opened - count,
            )

    def holders(self) -> list[Holder]:
        """Return who holds a connection now, longest first."""
        with self.lock:
            leases = [each.lease for each in self.everyone if each.lease]
        return sorted((Holder(lease.name, lease.since) for lease in leases), key=lambda holder: holder.since)

    def claim(self, lease: Lease) -> Pooled | None:
        """Assign the idle connection that was used last to the lease, or return None. The caller holds the lock."""
        idle = self.idle
        for at in range(len(idle) - 1, -1, -1):
            pooled = idle[at]
            if pooled.lease is None:
                pooled.lease = lease
                lease.pooled = pooled
                del idle[at]
                return pooled
        return None

    def make_idle(self, pooled: Pooled, lease: Lease) -> None:
        """Make a connection idle, and serve the first waiting caller. The caller holds the lock."""
        lease.pooled = None
        pooled.lease = None
        self.idle.append(pooled)
        if self.waiters:
            self.serve_waiters()

    def serve_waiters(self) -> None:
        """Give waiting callers, in order, an idle connection or permission to open one. The caller holds the lock."""
        while self.waiters and not self.closed:
            lease = self.waiters[0]
            if lease.pooled is None and lease not in self.opening and self.claim(lease) is None:
                if not self.has_capacity:
                    return
                self.opening.add(lease)
            del self.waiters[0]
            lease.wake()

    def opened_one(self, pooled: Pooled, lease: Lease) -> None:
        """Record a connection that the lease had permission to open. The caller holds the lock."""
        lease.pooled = pooled
        pooled.lease = lease
        self.opened += 1
        self.everyone.add(pooled)
        self.opening.discard(lease)

    def leave(self, lease: Lease) -> Pooled | None:
        """Remove the lease from queue and openers; returns the connection it holds. The caller holds the lock."""
        if lease in self.waiters:
            self.waiters.remove(lease)
        self.opening.discard(lease)
        pooled = lease.pooled or next((each for each in self.everyone if each.lease is lease), None)
        return pooled if pooled is not None and pooled.lease is lease else None

    def remove(self, pooled: Pooled) -> None:
        """Remove a closed connection and serve the first waiting caller. The caller holds the lock."""
        self.everyone.discard(pooled)
        if pooled in self.idle:
            self.idle.remove(pooled)
        self.serve_waiters()

    def repair(self) -> list[Pooled]:
        """Repair the state after exceptions; returns connections of lost leases to close. The caller holds the lock."""
        now = time.monotonic()
        found: list[Pooled] = []
        for pooled in list(self.everyone):
            lease = pooled.lease
            if lease is None:
                if pooled not in self.idle:
                    self.idle.append(pooled)
                continue
            if pooled in self.idle:
                self.idle.remove(pooled)
            if not lease.lost:
                lease.pooled = pooled
            elif now - pooled.closing > CLOSING_SECONDS:
                pooled.closing = now
                found.append(pooled)
        for lease in [each for each in (*self.opening, *self.waiters) if each.lost]:
            self.leave(lease)
        self.serve_waiters()
        return found
