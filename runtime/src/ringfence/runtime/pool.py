"""A capped pool of connections: fair waiting, no I/O under its lock, safe across forks and password rotations."""

import dataclasses
import logging
import os
import random
import threading
import time
import weakref
from collections import deque
from typing import Any

from ringfence.runtime.backends import Backend
from ringfence.runtime.credentials import Watch
from ringfence.runtime.errors import Misuse, NotReady, PoolExhausted, RingfenceError, Unavailable
from ringfence.runtime.lending import Figures, Holder, Pooled, PoolOptions, Waiter, keep_evicting, who_holds
from ringfence.runtime.settings import Login, Settings

__all__ = ["Figures", "Holder", "Pool", "PoolOptions", "Pooled"]

log = logging.getLogger("ringfence.pool")

ROTATION_GRACE_SECONDS = 3.0
"""How long a refused login is tried again when it worked before: server and file cannot change at one moment."""


class Pool:
    """Connections of one account of one process.

    Args:
        backend: opens and closes connections.
        settings: hosts and login; the login is read again when it changes.
        options: the cap and the times.
    """

    def __init__(self, backend: Backend, settings: Settings, options: PoolOptions | None = None) -> None:
        self._backend = backend
        self._settings = settings
        options = options or PoolOptions()
        self.options = dataclasses.replace(options, size=options.size or settings.pool_size)
        self._host_index = 0
        self._closed = False
        self._unsafe_fork = False
        self._reset()
        _pools.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._idle: deque[Pooled] = deque()
        self._used: set[Pooled] = set()
        self._waiters: deque[Waiter] = deque()
        self._opening = 0
        self._generation = 0
        self._doubted = 0.0
        self._logged_in = False
        self._waits = 0
        self._wait_seconds = 0.0
        self._opened = 0
        self._dropped = 0
        self._watch = Watch(self._settings)
        self._tending: threading.Event | None = None

    def acquire(self, holder: str, wait: float | None = None) -> Pooled:
        """A verified connection, lent to the caller until `release`.

        Args:
            holder: who asks, for the message when others wait in vain.
            wait: the longest wait, in seconds; the pool's own when None.

        Raises:
            PoolExhausted: when none came free in time; the message says who holds them.
            Unavailable, NotReady: when a new one was needed and could not be opened.
        """
        deadline = time.monotonic() + (self.options.wait if wait is None else wait)
        self._see_rotation()
        pooled = self._take_or_open(deadline)
        pooled.holder = Holder(holder, time.monotonic())
        try:
            fit = self._fit(pooled)
        except BaseException:
            self._drop(pooled)
            raise
        if not fit:
            pooled = self._replace(pooled)
            pooled.holder = Holder(holder, time.monotonic())
        return pooled

    def release(self, pooled: Pooled, *, broken: bool = False) -> None:
        """Give a connection back; it must be outside any transaction, or `broken`."""
        now = time.monotonic()
        if broken:
            self._doubted = (
                now  # what broke one may have broken all: they are asked before they are lent again
            )
        with self._lock:
            if pooled not in self._used:  # lent before a fork
                return
            keep = not (broken or self._closed or self._outdated(pooled, now))
            if keep:
                pooled.holder = None
                pooled.idle_since = now
                if self._waiters:
                    waiter = self._waiters.popleft()
                    waiter.given = pooled
                    waiter.event.set()
                else:
                    self._used.discard(pooled)
                    self._idle.append(pooled)
        if not keep:
            self._drop(pooled)
        elif self._tending is None:
            self._tend()

    def figures(self) -> Figures:
        """How the pool stands."""
        now = time.monotonic()
        with self._lock:
            everyone = [*self._idle, *self._used]
            return Figures(
                size=self.options.size,
                open=len(everyone),
                idle=len(self._idle),
                in_use=len(self._used),
                waiting=len(self._waiters),
                waits=self._waits,
                wait_seconds=self._wait_seconds,
                oldest_age=max((now - each.born for each in everyone), default=0.0),
                opened=self._opened,
                dropped=self._dropped,
            )

    def holders(self) -> list[Holder]:
        """Who holds a connection now, longest first."""
        with self._lock:
            held = [each.holder for each in self._used if each.holder]
        return sorted(held, key=lambda holder: holder.since)

    def close(self, deadline: float = 10.0) -> None:
        """Lend no more, wait for what is lent, and close all.

        Args:
            deadline: how long to wait for sessions that still run, in seconds; after that their statements are
                cancelled and their connections closed as they come back.
        """
        with self._lock:
            self._closed = True
            idle, self._idle = list(self._idle), deque()
            self._used.update(idle)
            waiters, self._waiters = list(self._waiters), deque()
            if self._tending is not None:
                self._tending.set()
        for waiter in waiters:
            waiter.event.set()
        for pooled in idle:
            self._drop(pooled)
        until = time.monotonic() + deadline
        while (self._used or self._opening) and time.monotonic() < until:
            time.sleep(0.01)
        with self._lock:
            left = list(self._used)
        for pooled in left:
            held = pooled.holder
            log.warning(
                "the pool is closed while %s still holds a connection: its statement is cancelled",
                held.name if held else "someone",
            )
            self._backend.cancel(pooled.connection)

    # -- lending

    def _take_or_open(self, deadline: float) -> Pooled:
        with self._lock:
            if self._unsafe_fork:
                raise Misuse(
                    "this process was forked while a session was open, which SQLite does not survive: fork outside "
                    "sessions, or make a new process instead"
                )
            if self._closed:
                raise Misuse("the database is closed: make a new Database")
            if self._idle and not self._waiters:
                pooled = self._idle.pop()
                self._used.add(pooled)
                return pooled
            if self._room() and not self._waiters:
                self._opening += 1
                waiter = None
            else:
                waiter = Waiter()
                self._waiters.append(waiter)
                self._waits += 1
        if waiter is not None:
            given = self._wait(waiter, deadline)
            if given is not None:
                return given
        return self._open()

    def _wait(self, waiter: Waiter, deadline: float) -> Pooled | None:
        """The connection that came free, or None when there is room to open one."""
        started = time.monotonic()
        try:
            waiter.event.wait(max(0.0, deadline - started))
        except BaseException:  # an interrupt, or a time limit of the program's own
            self._resign(waiter)
            raise
        with self._lock:
            self._wait_seconds += time.monotonic() - started
            if waiter.given is not None:
                return waiter.given
            if waiter.may_open:
                return None
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif self._closed:
                raise Misuse("the database was closed while this session waited for a connection")
        raise PoolExhausted(who_holds(self.holders(), self.options.size, time.monotonic() - started))

    def _resign(self, waiter: Waiter) -> None:
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            if waiter.may_open:
                self._opening -= 1
                self._invite()
        if waiter.given is not None:
            self.release(waiter.given)

    def _room(self) -> bool:
        return len(self._idle) + len(self._used) + self._opening < self.options.size

    def _invite(self) -> None:
        """Room has come free: the first in line may open a connection. The lock is held."""
        if not self._closed and self._waiters and self._room():
            self._opening += 1
            waiter = self._waiters.popleft()
            waiter.may_open = True
            waiter.event.set()

    # -- opening and closing

    def _open(self) -> Pooled:
        """Open a connection for which `_opening` has been counted; no lock is held meanwhile."""
        try:
            pooled = self._connect()
        except BaseException:
            with self._lock:
                self._opening -= 1
                self._invite()
            raise
        with self._lock:
            self._opening -= 1
            self._opened += 1
            self._logged_in = True
            self._used.add(pooled)
        return pooled

    def _connect(self) -> Pooled:
        """Open a connection; a login that worked before and is refused now may be a rotation under way."""
        until = time.monotonic() + ROTATION_GRACE_SECONDS
        while True:
            generation, login = self._generation, self._settings.login()
            try:
                return self._connect_as(login, generation)
            except NotReady as error:
                if error.state != "login" or not self._logged_in:
                    raise
                while self._settings.login() == login:
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.05)

    def _connect_as(self, login: Login, generation: int) -> Pooled:
        """Try each host in turn, starting with the one that answered last."""
        hosts = self._backend.hosts()
        failures: list[RingfenceError] = []
        secret = login.password.reveal() if login.password else None
        for step in range(len(hosts)):
            index = (self._host_index + step) % len(hosts)
            try:
                connection = self._backend.connect(hosts[index], login.user, secret)
            except (Unavailable, NotReady) as error:
                failures.append(error)
                continue
            self._host_index = index
            now = time.monotonic()
            # Jitter, so that those opened together do not all end together.
            lifetime = self.options.max_lifetime * random.uniform(0.9, 1.0)
            return Pooled(connection, now + lifetime, now, generation, hosts[index], idle_since=now)
        # What waiting cannot mend is the more important news, and a node that answers the next.
        answered = [each for each in failures if isinstance(each, NotReady)]
        lasting = [each for each in answered if each.state not in ("joining", "starting")]
        raise (lasting or answered or failures)[0]

    def _fit(self, pooled: Pooled) -> bool:
        if pooled.idle_since == pooled.born:  # just opened
            return True
        now = time.monotonic()
        if self._outdated(pooled, now) or not self._backend.usable(pooled.connection):
            return False
        if now - pooled.idle_since < self.options.check_after_idle and pooled.idle_since > self._doubted:
            return True
        if self._backend.alive(pooled.connection):
            return True
        self._doubted = now
        return False

    def _outdated(self, pooled: Pooled, now: float) -> bool:
        return now >= pooled.expires or pooled.generation != self._generation

    def _replace(self, pooled: Pooled) -> Pooled:
        """A new connection in the place of one that is no longer fit; its holder keeps his place."""
        self._backend.close(pooled.connection)
        with self._lock:
            self._used.discard(pooled)
            self._dropped += 1
            self._opening += 1
        return self._open()

    def _drop(self, pooled: Pooled) -> None:
        # Closed before its room is given away, so that the server never sees one more than the cap.
        self._backend.close(pooled.connection)
        with self._lock:
            if pooled in self._used:
                self._used.discard(pooled)
                self._dropped += 1
                self._invite()

    # -- what stands idle

    def _tend(self) -> None:
        """Have a thread look after idle connections; it ends with the pool."""
        with self._lock:
            if self._tending is not None or self._closed:
                return
            self._tending = threading.Event()
        pause = max(0.05, min(30.0, self.options.max_idle / 4, self.options.max_lifetime / 4))
        arguments = (weakref.ref(self), self._tending, pause)
        threading.Thread(target=keep_evicting, args=arguments, name="ringfence-pool", daemon=True).start()

    def evict(self) -> None:
        """Close what has been idle for too long, is too old, or logged in with an older password."""
        self._see_rotation()
        now = time.monotonic()
        with self._lock:
            out = [
                each
                for each in self._idle
                if now - each.idle_since >= self.options.max_idle or self._outdated(each, now)
            ]
            for pooled in out:
                self._idle.remove(pooled)
                self._used.add(pooled)
        for pooled in out:
            self._drop(pooled)

    def _see_rotation(self) -> None:
        """Drain the connections of an older login once another has come."""
        if self._watch.changed():
            log.info("the credentials of %s have changed: its old connections are drained", self._settings)
            self._generation += 1
            self.evict()

    # -- forks

    def before_fork(self) -> None:
        """Close what a fork would break: SQLite's files know their process."""
        if self._backend.survives_fork:
            return
        with self._lock:
            idle, self._idle = list(self._idle), deque()
            self._used.update(idle)
        for pooled in idle:
            self._drop(pooled)

    def after_fork(self) -> None:
        """In the child: leave the parent's connections alone, and begin anew."""
        _inherited.append((self._idle, self._used))
        if self._used and not self._backend.survives_fork:
            self._unsafe_fork = True
        self._reset()


_pools: "weakref.WeakSet[Pool]" = weakref.WeakSet()
# Connections that a fork copied belong to the parent; closing them here would end its sessions, so they are kept.
_inherited: list[Any] = []


def _before_fork() -> None:
    for pool in list(_pools):
        pool.before_fork()


def _after_fork() -> None:
    for pool in list(_pools):
        pool.after_fork()


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
