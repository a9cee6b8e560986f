"""A connection pool of limited size: fair waiting, no I/O under its lock, safe for forks, rotations and interrupts."""

import dataclasses
import logging
import os
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ringfence.runtime.engines import Backend
from ringfence.runtime.errors import InterfaceError, PoolClosed, PoolExhausted
from ringfence.runtime.pool.credentials import CredentialsWatch
from ringfence.runtime.pool.lease import Holder, Lease, Pooled, PoolState, PoolStats
from ringfence.runtime.pool.opening import Opener
from ringfence.runtime.settings import Settings

__all__ = ["Holder", "Lease", "Pool", "PoolOptions", "PoolStats"]

log = logging.getLogger("ringfence.pool")

LOOK_SECONDS = 1.0
"""How often waiting callers check for connections that an interrupt left behind, even if nothing wakes them."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """The limits of a pool; times are in seconds.

    Args:
        size: the maximum number of connections of this process; 0 takes `DB_POOL_SIZE`.
        wait: the longest wait for a connection.
        check_after_idle: a connection that was idle for longer is tested before it is lent.
        max_lifetime: the age at which a connection is replaced, less up to a tenth at random.
        max_idle: how long a connection may be idle before it is closed.
    """

    size: int = 0
    wait: float = 30.0
    check_after_idle: float = 1.0
    max_lifetime: float = 3600.0
    max_idle: float = 600.0


class Pool:
    """The connections of one account in one process.

    A signal handler may raise an exception at any point. A caller therefore has a lease before it gets anything else,
    and what it held is recovered: at once if the exception passes through the pool, otherwise when the session is
    collected, or when another caller has to wait.

    Args:
        backend: opens and closes connections.
        settings: hosts and login; the login is read again when it changes.
        options: the size and the times; the defaults when None.
    """

    def __init__(self, backend: Backend, settings: Settings, options: PoolOptions | None = None) -> None:
        self._backend = backend
        self._settings = settings
        options = options or PoolOptions()
        self.options = dataclasses.replace(options, size=options.size or settings.pool_size)
        self._opener = Opener(backend, settings, self.options.max_lifetime)
        self._unsafe_fork = False
        self._reset()
        _pools.add(self)

    def _reset(self) -> None:
        self._state = PoolState(self.options.size)
        self._verify_before = 0.0
        self._watch = CredentialsWatch(self._settings)
        self._evictor_stop: Any = None

    def acquire(self, holder: str, wait: float | None = None) -> Lease:
        """Borrow a tested connection until `release`.

        Args:
            holder: the caller's name, for the message of `PoolExhausted` to other callers.
            wait: the longest wait, in seconds; the pool's own when None.

        Returns:
            The lease with the connection.

        Raises:
            PoolExhausted: no connection came free in time; the message says who holds them.
            Unavailable: a new connection was needed, and no server can be reached.
            NotReady: a new connection was needed, and the server refused it.
            PoolClosed: the pool is closed.
            InterfaceError: the process was forked while a session was open, on an engine that does not survive that.
        """
        lease = Lease(holder)
        self.lend(lease, wait)
        return lease

    def lend(self, lease: Lease, wait: float | None = None) -> Any:
        """Borrow a connection on a lease that the caller has made; raises like `acquire`.

        Args:
            lease: a new lease; after an exception it holds nothing.
            wait: the longest wait, in seconds; the pool's own when None.

        Returns:
            The driver's connection.
        """
        lease.since = now = time.monotonic()
        try:
            self._see_rotation()
            pooled = self._claim_or_queue(lease)
            if pooled is None:
                pooled = self._wait_or_open(lease, now + (self.options.wait if wait is None else wait))
            if not self._is_usable(pooled):
                pooled = self._replace(pooled, lease)
            return pooled.connection
        except BaseException:
            self.give_up(lease)
            raise

    def release(self, lease: Lease, *, broken: bool = False) -> None:
        """Return a connection to the pool; a second call does nothing.

        Args:
            lease: the lease that holds the connection.
            broken: whether to close the connection; required if it may still be in a transaction.
        """
        pooled, state = lease.pooled, self._state
        if pooled is None or lease.over:
            return
        now = time.monotonic()
        if broken:
            # The same cause may have broken the others, so they are tested before they are lent again.
            self._verify_before = now
        try:
            with state.lock:
                if pooled.lease is not lease or pooled not in state.everyone:  # borrowed before a fork
                    return
                keep = not (broken or state.closed or self._opener.outdated(pooled, now))
                if keep:
                    pooled.idle_since = now
                    state.make_idle(pooled, lease)
                else:
                    pooled.mark_closing()
            if not keep:
                self._close(pooled)
            elif self._evictor_stop is None:
                self._start_evictor()
        except BaseException:
            self.repair()
            raise

    def give_up(self, lease: Lease) -> None:
        """Take back whatever a lease holds; its connection is aborted, because its state is unknown."""
        lease.over = True
        with self._state.lock:
            pooled = self._state.leave(lease)
            self._state.serve_waiters()
        if pooled is not None:
            pooled.closing = time.monotonic()
            self._abort(pooled, lease)

    def give_up_async(self, lease: Lease) -> None:
        """Do as `give_up`; safe at any point of the program, such as during garbage collection."""
        lease.over = True
        lock: Any = self._state.lock
        if not lock._is_owned():  # otherwise `repair` recovers the lease
            self.give_up(lease)

    def break_connection(self, lease: Lease) -> None:
        """Break the connection of a lease from another thread, so that a caller waiting on it gets an error at once."""
        with self._state.lock:
            pooled = lease.pooled
            if pooled is not None and pooled.lease is lease:
                self._backend.shut_down_socket(pooled.connection)

    def repair(self) -> None:
        """Repair the state after interrupts, and close connections whose holder no longer exists."""
        with self._state.lock:
            found = self._state.repair()
        for pooled in found:
            log.warning("a connection was left behind by an exception: it is closed")
            self._abort(pooled, pooled.lease)

    def stats(self) -> PoolStats:
        """Return the pool's statistics."""
        self.repair()
        return self._state.stats()

    def holders(self) -> list[Holder]:
        """Return who holds a connection now, longest first."""
        return self._state.holders()

    def close(self, deadline: float = 10.0) -> None:
        """Close the pool: lend no more connections, wait for those in use, and close them.

        Args:
            deadline: how long to wait for running sessions, in seconds; after that their statements are cancelled, and
                their connections are closed when they are returned.
        """
        state = self._state
        with state.lock:
            state.closed = True
            for lease in state.waiters:
                lease.wake()
            state.waiters.clear()
            if self._evictor_stop is not None and self._evictor_stop.locked():
                self._evictor_stop.release()
        self._close_idle()
        until = time.monotonic() + deadline
        while (state.everyone or state.opening) and time.monotonic() < until:
            time.sleep(0.01)
            self.repair()
        with state.lock:
            left = list(state.everyone)
        for pooled in left:
            log.warning(
                "the pool is closed while %s still holds a connection: its statement is cancelled",
                pooled.lease.name if pooled.lease else "someone",
            )
            if not self._backend.cancel(pooled.connection):
                self._backend.shut_down_socket(pooled.connection)

    # -- borrowing

    def _claim_or_queue(self, lease: Lease) -> Pooled | None:
        """Return an idle connection; or None after giving permission to open one, or a position in the queue."""
        state = self._state
        with state.lock:
            if self._unsafe_fork:
                raise InterfaceError(
                    "this process was forked while a session was open, which SQLite does not survive: fork outside "
                    "sessions, or make a new process instead"
                )
            if state.closed:
                raise PoolClosed("the database is closed: make a new Database")
            if not state.waiters and (pooled := state.claim(lease)) is not None:
                return pooled
            if not state.waiters and state.has_capacity:
                state.opening.add(lease)
                return None
            lease.enter_queue()
            state.waiters.append(lease)
            state.waits += 1
        return None

    def _wait_or_open(self, lease: Lease, deadline: float) -> Pooled:
        if lease not in self._state.opening:
            given = self._wait(lease, deadline)
            if given is not None:
                return given
        return self._open(lease)

    def _wait(self, lease: Lease, deadline: float) -> Pooled | None:
        """Wait for a connection and return it, or None if the lease may open one instead."""
        state, started = self._state, time.monotonic()
        self.repair()
        while True:
            rung = lease.wait(min(LOOK_SECONDS, deadline - time.monotonic()))
            if not rung:
                self.repair()
            now = time.monotonic()
            with state.lock:
                if lease.pooled is not None or lease in state.opening:
                    state.wait_seconds += now - started
                    return lease.pooled
                if state.closed:
                    raise PoolClosed("the database was closed while this session waited for a connection")
                if now >= deadline:
                    state.wait_seconds += now - started
                    state.leave(lease)
                    break
        raise PoolExhausted(who_holds(state.holders(), state.size, now - started))

    # -- opening and closing

    def _open(self, lease: Lease) -> Pooled:
        """Open a connection that the lease has permission to open; no lock is held meanwhile."""
        pooled = self._opener.open(lease)
        with self._state.lock:
            self._state.opened_one(pooled, lease)
        self._opener.logged_in = True
        return pooled

    def _is_usable(self, pooled: Pooled) -> bool:
        if pooled.idle_since == pooled.born:  # just opened
            return True
        now = time.monotonic()
        if self._opener.outdated(pooled, now) or not self._backend.usable(pooled.connection):
            return False
        if (
            now - pooled.idle_since < self.options.check_after_idle
            and pooled.idle_since > self._verify_before
        ):
            return True
        if not self._backend.recently_unresponsive(pooled.host) and self._backend.alive(pooled.connection):
            return True
        self._verify_before = now
        return False

    def _replace(self, pooled: Pooled, lease: Lease) -> Pooled:
        """Replace a connection that is no longer usable by a new one; the lease keeps its share of the limit."""
        self._backend.close(pooled.connection)
        state = self._state
        with state.lock:
            state.opening.add(lease)
            state.everyone.discard(pooled)
            lease.pooled = None
        return self._open(lease)

    def _close(self, pooled: Pooled) -> None:
        # Close before another caller may open one, so that the server never has more connections than the limit.
        try:
            self._backend.close(pooled.connection)
        finally:
            with self._state.lock:
                self._state.remove(pooled)

    def _abort(self, pooled: Pooled, lease: Lease | None) -> None:
        """Close without the protocol's farewell; if a statement may still run, a thread cancels it first."""
        if lease is not None and lease.busy and self._backend.features.interruptible:
            try:
                threading.Thread(
                    target=self._stop, args=(pooled,), name="ringfence-stop", daemon=True
                ).start()
            except RuntimeError:  # the interpreter is shutting down
                pass
            else:
                return
        self._abort_now(pooled)

    def _stop(self, pooled: Pooled) -> None:
        try:
            self._backend.cancel(pooled.connection)
        finally:
            self._abort_now(pooled)

    def _abort_now(self, pooled: Pooled) -> None:
        try:
            self._backend.abort(pooled.connection)
        finally:
            with self._state.lock:
                self._state.remove(pooled)

    # -- idle connections

    def _start_evictor(self) -> None:
        """Start the thread that closes idle connections; it ends with the pool."""
        with self._state.lock:
            if self._evictor_stop is not None or self._state.closed:
                return
            self._evictor_stop = end = threading.Lock()
            end.acquire()
        pause = max(0.05, min(30.0, self.options.max_idle / 4, self.options.max_lifetime / 4))
        try:
            arguments = (weakref.ref(self), end, pause)
            threading.Thread(target=keep_evicting, args=arguments, name="ringfence-pool", daemon=True).start()
        except BaseException:  # the next `release` tries again
            if self._evictor_stop is end:
                self._evictor_stop = None
            if end.locked():
                end.release()
            raise

    def evict(self) -> None:
        """Close connections that were idle too long, have expired, or were opened with an earlier login."""
        self._see_rotation()
        self.repair()
        self._close_idle(self.options.max_idle)

    def _close_idle(self, seconds: float = 0.0) -> None:
        """Close idle connections: those idle for `seconds` or outdated, or all if the pool is closed."""
        now, state = time.monotonic(), self._state
        out: list[Pooled] = []
        try:
            with state.lock:
                out += [
                    each
                    for each in state.idle
                    if state.closed or now - each.idle_since >= seconds or self._opener.outdated(each, now)
                ]
                for pooled in out:
                    pooled.mark_closing()
                    state.idle.remove(pooled)
            for pooled in out:
                self._close(pooled)
        except BaseException:
            for pooled in out:
                self._abort_now(pooled)
            raise

    def _see_rotation(self) -> None:
        """Retire the connections of the earlier login when the login has changed."""
        if self._watch.changed():
            log.info("the credentials of %s have changed: its old connections are drained", self._settings)
            with self._state.lock:  # a lost increment would keep connections of a login between two changes
                self._opener.generation += 1
            self.evict()

    # -- forks

    def before_fork(self) -> None:
        """Close idle connections that do not survive a fork; SQLite's must not be used in another process."""
        if not self._backend.features.survives_fork:
            self._close_idle()

    def after_fork(self) -> None:
        """Start with an empty pool in the child, without touching the parent's connections."""
        _inherited.append(self._state)
        if any(each.lease for each in self._state.everyone) and not self._backend.features.survives_fork:
            self._unsafe_fork = True
        self._opener.fork()
        self._reset()


_pools: "weakref.WeakSet[Pool]" = weakref.WeakSet()
# Connections copied by a fork belong to the parent; closing them here would end its sessions, so they stay referenced.
_inherited: list[Any] = []


def _before_fork() -> None:
    for pool in list(_pools):
        pool.before_fork()


def _after_fork() -> None:
    for pool in list(_pools):
        pool.after_fork()


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def who_holds(holders: Sequence[Holder], size: int, waited: float) -> str:
    """Return the message of an exhausted pool: its size, and who holds each connection for how long.

    Args:
        holders: the holders of connections.
        size: the maximum number of connections.
        waited: how long the caller waited, in seconds.
    """
    now = time.monotonic()
    held = [f"{holder.name} for {now - holder.since:.1f} s" for holder in holders]
    return f"no connection came free within {waited:.1f} s; the cap is {size} (DB_POOL_SIZE), held by: " + (
        "; ".join(held) or "connections that are being opened"
    )


def keep_evicting(pool: "weakref.ref[Pool]", end: Any, pause: float) -> None:
    """Close idle connections periodically, until the pool is closed or collected.

    Args:
        pool: a weak reference to the pool.
        end: a lock that is held until the pool is closed.
        pause: the time between two runs, in seconds.
    """
    while not end.acquire(timeout=pause):
        found = pool()
        if found is None:
            return
        try:
            found.evict()
        except Exception:
            log.exception("the maintenance of idle connections failed")
        del found
