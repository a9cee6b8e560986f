"""What one caller has of a pool, written down before he has it, so that it is found again whatever cuts him off."""

import contextlib
import threading
import time
import weakref
from dataclasses import dataclass
from typing import Any

from ringfence.runtime.settings import Host

CLOSING_SECONDS = 10.0
"""How long a connection that a thread began to close is left to that thread."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a connection, and since when (`time.monotonic`)."""

    name: str
    since: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The pool at one moment; times are in seconds.

    `open` connections are `idle` or `in_use`; `waiting` callers wait now; `waits` is how many ever had to, and
    `wait_seconds` how long in all; `oldest_age` is the age of the oldest connection; `opened` and `dropped` count
    connections since the start.
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
    """A place in the line, the room to open a connection, or a connection: whatever one caller has of the pool.

    Args:
        name: who asks, for the message when others wait in vain.
        keeper: what stands for the caller: once that is no more, neither is the lease. None for a lease that only
            `Pool.release` and `Pool.give_up` end.
    """

    __slots__ = ("_bell", "busy", "keeper", "name", "over", "pooled", "since")

    def __init__(self, name: str, keeper: "weakref.ref[Any] | None" = None) -> None:
        self.name = name
        self.keeper = keeper
        self.since = 0.0
        self.pooled: Pooled | None = None
        self.over = False
        self.busy = False
        """Whether the caller was cut off while the server may have been at work on a statement of his."""
        self._bell: Any = None

    @property
    def connection(self) -> Any:
        """The driver's connection; None before it was lent and after it was given back."""
        return self.pooled.connection if self.pooled is not None else None

    @property
    def lost(self) -> bool:
        """Whether nobody is there any more who could give back what it has."""
        return self.over or (self.keeper is not None and self.keeper() is None)

    # A bare lock rings: an Event is Python, and an exception in its midst leaves the lock within it held.

    def join(self) -> None:
        """Prepare for waiting in the line."""
        self._bell = threading.Lock()
        self._bell.acquire()

    def wait(self, seconds: float) -> bool:
        """Wait until somebody rings, at most so many seconds; False when nobody did."""
        return bool(self._bell.acquire(timeout=max(0.0, seconds)))

    def ring(self) -> None:
        """Wake who waits; ringing twice is ringing once."""
        with contextlib.suppress(RuntimeError):
            self._bell.release()


@dataclass(slots=True, eq=False)
class Pooled:
    """A connection with what the pool must remember of it; it is idle where no lease has it.

    `closing` is when a thread began to close it (`time.monotonic`), or 0.
    """

    connection: Any
    expires: float
    born: float
    generation: int
    host: Host | None
    idle_since: float = 0.0
    lease: Lease | None = None
    closing: float = 0.0

    def retire(self) -> None:
        """Have it out of everybody's reach, to be closed."""
        self.closing = time.monotonic()
        lease = Lease("the pool, which closes it")
        lease.over = True
        self.lease = lease


class Books:
    """Which connections there are, which of them are idle, who waits and who opens one; all under one lock.

    Each change is written so that an exception between any two of its steps leaves a state that `mend` sets right:
    `everyone` has every open connection, and the lease on each says whose it is.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        # One that its thread may take again: a signal's handler may use the pool in the midst of the pool's own work.
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
    def room(self) -> bool:
        """Whether another connection may be opened. The lock is held."""
        return len(self.everyone) + len(self.opening) < self.size

    def figures(self) -> Figures:
        """How the pool stands."""
        now = time.monotonic()
        with self.lock:
            count = len(self.everyone)
            return Figures(
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
        """Who holds a connection now, longest first."""
        with self.lock:
            leases = [each.lease for each in self.everyone if each.lease]
        return sorted((Holder(lease.name, lease.since) for lease in leases), key=lambda holder: holder.since)

    def claim(self, lease: Lease) -> Pooled | None:
        """An idle connection, now the lease's: the one used last; None where there is none. The lock is held."""
        idle = self.idle
        for at in range(len(idle) - 1, -1, -1):
            pooled = idle[at]
            if pooled.lease is None:
                pooled.lease = lease
                lease.pooled = pooled
                del idle[at]
                return pooled
        return None

    def rest(self, pooled: Pooled, lease: Lease) -> None:
        """Make a connection idle, and give it to the first in line. The lock is held."""
        lease.pooled = None
        pooled.lease = None
        self.idle.append(pooled)
        if self.waiters:
            self.serve()

    def serve(self) -> None:
        """Give the first in line what there is: an idle connection, or the room to open one. The lock is held."""
        while self.waiters and not self.closed:
            lease = self.waiters[0]
            if lease.pooled is None and lease not in self.opening and self.claim(lease) is None:
                if not self.room:
                    return
                self.opening.add(lease)
            del self.waiters[0]
            lease.ring()

    def opened_one(self, pooled: Pooled, lease: Lease) -> None:
        """A connection is open for which the lease had the room. The lock is held."""
        lease.pooled = pooled
        pooled.lease = lease
        self.opened += 1
        self.everyone.add(pooled)
        self.opening.discard(lease)

    def leave(self, lease: Lease) -> Pooled | None:
        """Take the lease from the line and its room from it; returns the connection that it has. The lock is held."""
        if lease in self.waiters:
            self.waiters.remove(lease)
        self.opening.discard(lease)
        pooled = lease.pooled or next((each for each in self.everyone if each.lease is lease), None)
        return pooled if pooled is not None and pooled.lease is lease else None

    def strike(self, pooled: Pooled) -> None:
        """A connection is closed: its room goes to the first in line. The lock is held."""
        self.everyone.discard(pooled)
        if pooled in self.idle:
            self.idle.remove(pooled)
        self.serve()

    def mend(self) -> list[Pooled]:
        """Find again what an exception cut loose; returns the connections that are to be closed. The lock is held."""
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
        self.serve()
        return found
