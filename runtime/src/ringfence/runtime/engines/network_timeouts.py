"""Client-side timeouts against a network that drops packets; a statement that only runs long is not affected."""

import contextlib
import os
import socket
import threading
import time
from types import TracebackType
from typing import Any, Self

from ringfence.runtime.engines.sockets import hang_up
from ringfence.runtime.settings import Host, Settings

GRACE_SECONDS = 3.0
"""How much later than the server the client ends a statement: the server's own timeout is more precise."""

_LONGEST_SECONDS = 1e6  # systems store milliseconds in 31 bits

_NEVER = float("inf")

AVOID_SECONDS = 30.0
"""How long a host that did not answer is tried after the others."""

CANCEL_SECONDS = 2.0
"""How long a cancel request may take before the statement's connection is closed instead."""


def prompt_timeout(settings: Settings) -> float:
    """Return the longest wait, in seconds, for a prompt answer of the server: to a connection, a login or a ping.

    It is `DB_CONNECT_TIMEOUT`, or half of `DB_TCP_TIMEOUT`, so that a dead idle connection is found and replaced within
    `DB_TCP_TIMEOUT`.
    """
    return settings.connect_timeout or max(1.0, settings.tcp_timeout / 2)


def timeout_setting(settings: Settings) -> str:
    """Return which setting the timeout of `prompt_timeout` comes from, for error messages."""
    if settings.connect_timeout:
        return f"DB_CONNECT_TIMEOUT={settings.connect_timeout:g}"
    return f"half of DB_TCP_TIMEOUT={settings.tcp_timeout:g}"


def client_timeout(timeout: float | None) -> float | None:
    """Return how long the client waits for a statement of a session with this `timeout`, in seconds; None for ever."""
    return None if timeout is None else min(timeout + GRACE_SECONDS, _LONGEST_SECONDS)


def keepalives(settings: Settings) -> tuple[int, int, int]:
    """Return the TCP keepalive idle time, interval (both in seconds) and probe count, in all `DB_TCP_TIMEOUT`."""
    seconds = settings.tcp_timeout
    return max(1, round(seconds / 2)), max(1, round(seconds / 6)), 3


def libpq_options(settings: Settings) -> dict[str, int | str]:
    """Return the keepalives as libpq options, and an empty hostaddr: PGHOSTADDR would override every host."""
    idle, interval, count = keepalives(settings)
    return {
        "hostaddr": "",
        "keepalives_idle": idle,
        "keepalives_interval": interval,
        "keepalives_count": count,
        "tcp_user_timeout": round(settings.tcp_timeout * 1000),  # ms
    }


def notice_dead_peers(wire: socket.socket, settings: Settings) -> None:
    """Set socket options that end a connection whose peer acknowledges nothing for `DB_TCP_TIMEOUT`.

    A live peer acknowledges packets however long its statement runs. Options that the system lacks are skipped.

    Args:
        wire: the driver's socket.
        settings: of the service.
    """
    idle, interval, count = keepalives(settings)
    options = [("TCP_KEEPINTVL", interval), ("TCP_KEEPCNT", count)]
    options += [(name, idle) for name in ("TCP_KEEPIDLE", "TCP_KEEPALIVE") if hasattr(socket, name)][:1]
    options.append(("TCP_USER_TIMEOUT", round(settings.tcp_timeout * 1000)))  # ms
    with contextlib.suppress(OSError):  # a Unix socket has no TCP keepalive
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in options:
        with contextlib.suppress(OSError, AttributeError):
            wire.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def no_answer_message(settings: Settings, where: str, *, by_client: bool) -> str:
    """Return the error message for a statement that got no answer.

    Args:
        settings: of the service.
        where: ` on TABLE`, or empty.
        by_client: whether the client ended it, by the session's `timeout`; otherwise the system did, by
            `DB_TCP_TIMEOUT`.
    """
    if by_client:
        why = f" within the session's timeout and {GRACE_SECONDS:g} s more"
    else:
        why = f", and nothing was acknowledged for DB_TCP_TIMEOUT={settings.tcp_timeout:g} s"
    return f"{settings}: no answer{where}{why}: the connection is closed"


class UnresponsiveHosts:
    """Remembers which hosts recently did not answer, so that other hosts are tried first."""

    def __init__(self) -> None:
        self._until: dict[Host, float] = {}

    def note(self, host: Host | None) -> None:
        """Record that this host did not answer."""
        if host is not None:
            self._until[host] = time.monotonic() + AVOID_SECONDS

    def clear(self, host: Host | None) -> None:
        """Record that this host answered."""
        if host is not None:
            self._until.pop(host, None)

    def holds(self, host: Host | None) -> bool:
        """Return whether the host failed to answer within the last `AVOID_SECONDS`."""
        return host is not None and self._until.get(host, 0.0) > time.monotonic()


class Bounded:
    """A `with` block that limits the wait for a server; after that the connection's socket is shut down.

    For psycopg2, which has no such timeout. `passed` is True afterwards if the limit was reached.

    Args:
        connection: psycopg2's connection.
        seconds: the longest wait; None for no limit.
    """

    __slots__ = ("at", "connection", "descriptor", "passed", "seconds")

    def __init__(self, connection: Any, seconds: float | None) -> None:
        self.connection = connection
        self.seconds = seconds
        self.passed = False
        self.at = 0.0
        self.descriptor = -1

    def __enter__(self) -> Self:
        if self.seconds is not None and not self.connection.closed:
            self.descriptor = self.connection.fileno()
            self.at = time.monotonic() + self.seconds
            _watcher.begin(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.seconds is None:
            return
        _watcher.end(self)
        if self.passed:
            if error is not None:
                error.ringfence_timed_out = True  # type: ignore[attr-defined]  # read by `translate`
            else:  # the answer arrived as the socket was shut down: the connection cannot be used again
                self.connection.close()

    def expire(self) -> None:
        """Shut the socket down; the watcher's lock is held, so the socket still belongs to the block's connection."""
        self.passed = True
        with contextlib.suppress(OSError):  # already closed
            if not self.connection.closed:
                hang_up(self.descriptor)


class _Watcher:
    """One thread per process that sleeps until the first running block reaches its limit.

    Every statement of a session with a timeout passes through here, so registering takes no lock: adding to a dict and
    popping from it are single atomic steps, and the thread that pops a block decides whether it is ended. Plain locks
    instead of a Condition, which is written in Python: an exception from a signal handler inside it would leave its
    lock held.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Return to the initial state; also used in a forked child."""
        self._lock = threading.RLock()
        self._bell = threading.Lock()
        self._running: dict[Bounded, float] = {}
        self._wakes = _NEVER
        self._thread: threading.Thread | None = None

    def begin(self, block: Bounded) -> None:
        """Watch a block."""
        self._running[block] = block.at
        if block.at < self._wakes:
            self._stir()

    def end(self, block: Bounded) -> None:
        """Stop watching a block."""
        if self._running.pop(block, None) is None:
            with self._lock:  # wait for the shutdown: once the socket is closed, its number may be reused
                pass

    def _stir(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="ringfence-bounds", daemon=True)
                self._thread.start()
        with contextlib.suppress(RuntimeError):  # it is already released
            self._bell.release()

    def _watch(self) -> None:
        try:
            while True:
                self._wakes = (
                    _NEVER  # a block that begins from here on wakes this thread: the loop below may miss it
                )
                now = time.monotonic()
                for block, at in list(self._running.items()):
                    if at <= now:
                        self._end_one(block)
                wakes = self._wakes = min(list(self._running.values()), default=_NEVER)
                self._bell.acquire(timeout=-1 if wakes == _NEVER else max(0.0, wakes - now))
        finally:  # the next block starts a new thread
            self._thread, self._wakes = None, _NEVER

    def _end_one(self, block: Bounded) -> None:
        with self._lock:
            if self._running.pop(block, None) is not None:
                block.expire()


_watcher = _Watcher()
os.register_at_fork(after_in_child=_watcher.reset)
