"""How long a network that swallows packets is waited for; an honest statement that takes long is none of that."""

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
"""How much later than the server the client ends a statement: the server's own time limit says more."""

_LONGEST_SECONDS = 1e6  # systems count milliseconds in 31 bits

_NEVER = float("inf")

AVOID_SECONDS = 30.0
"""How long a host that was silent comes after the others."""

CANCEL_SECONDS = 2.0
"""How long a request to stop a statement may take, before the statement's connection is closed instead."""


def asking(settings: Settings) -> float:
    """The longest wait, in seconds, for what a server answers at once: a connection, a login, a ping.

    `DB_CONNECT_TIMEOUT`, or half of `DB_TCP_TIMEOUT`, so that an idle connection is found dead, and replaced, within
    the whole of it.
    """
    return settings.connect_timeout or max(1.0, settings.tcp_timeout / 2)


def limit_of(settings: Settings) -> str:
    """Where `asking` has it from."""
    if settings.connect_timeout:
        return f"DB_CONNECT_TIMEOUT={settings.connect_timeout:g}"
    return f"half of DB_TCP_TIMEOUT={settings.tcp_timeout:g}"


def bound(timeout: float | None) -> float | None:
    """The longest wait, in seconds, for a statement of a session with this `timeout`; None for none."""
    return None if timeout is None else min(timeout + GRACE_SECONDS, _LONGEST_SECONDS)


def keepalives(settings: Settings) -> tuple[int, int, int]:
    """After how many seconds a silent peer is asked, how often then, and how many times: `DB_TCP_TIMEOUT` in all."""
    seconds = settings.tcp_timeout
    return max(1, round(seconds / 2)), max(1, round(seconds / 6)), 3


def libpq_options(settings: Settings) -> dict[str, int | str]:
    """The same, in the words of libpq, and no PGHOSTADDR: an address of the environment goes before every host."""
    idle, interval, count = keepalives(settings)
    return {
        "hostaddr": "",
        "keepalives_idle": idle,
        "keepalives_interval": interval,
        "keepalives_count": count,
        "tcp_user_timeout": round(settings.tcp_timeout * 1000),  # ms
    }


def notice_dead_peers(wire: socket.socket, settings: Settings) -> None:
    """Have the system end a connection whose peer acknowledges nothing for `DB_TCP_TIMEOUT`, as far as it can.

    A peer that is alive acknowledges, however long it computes.
    """
    idle, interval, count = keepalives(settings)
    options = [("TCP_KEEPINTVL", interval), ("TCP_KEEPCNT", count)]
    options += [(name, idle) for name in ("TCP_KEEPIDLE", "TCP_KEEPALIVE") if hasattr(socket, name)][:1]
    options.append(("TCP_USER_TIMEOUT", round(settings.tcp_timeout * 1000)))  # ms
    with contextlib.suppress(OSError):  # a Unix socket has no network that could be silent
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in options:
        with contextlib.suppress(OSError, AttributeError):
            wire.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def unanswered(settings: Settings, where: str, *, by_client: bool) -> str:
    """The message of a statement that nobody answered.

    Args:
        settings: of the service.
        where: the end of the first words, as ` on table`.
        by_client: whether the client ended it, by the session's `timeout`, and not the system, by `DB_TCP_TIMEOUT`.
    """
    if by_client:
        why = f" within the session's timeout and {GRACE_SECONDS:g} s more"
    else:
        why = f", and nothing was acknowledged for DB_TCP_TIMEOUT={settings.tcp_timeout:g} s"
    return f"{settings}: no answer{where}{why}: the connection is closed"


class SilentHosts:
    """Which hosts did not answer lately: there is no use in trying them before others."""

    def __init__(self) -> None:
        self._until: dict[Host, float] = {}

    def note(self, host: Host | None) -> None:
        """This one kept silent just now."""
        if host is not None:
            self._until[host] = time.monotonic() + AVOID_SECONDS

    def clear(self, host: Host | None) -> None:
        """This one answered."""
        if host is not None:
            self._until.pop(host, None)

    def holds(self, host: Host | None) -> bool:
        """Whether it kept silent within the last `AVOID_SECONDS`."""
        return host is not None and self._until.get(host, 0.0) > time.monotonic()


class Bounded:
    """A `with` block that waits for a server no longer than so many seconds: then its connection is severed.

    For a driver that has no such limit itself. `passed` says afterwards whether that happened.

    Args:
        connection: psycopg2's.
        seconds: the longest wait; None for none.
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
                error.ringfence_silent = True  # type: ignore[attr-defined]  # for `translate`
            else:  # the answer and the end met: it is of no further use
                self.connection.close()

    def bite(self) -> None:
        """The time is up. Called under the watcher's lock, so the connection is still the block's."""
        self.passed = True
        with contextlib.suppress(OSError):  # it has ended by itself
            if not self.connection.closed:
                hang_up(self.descriptor)


class _Watcher:
    """One thread of the process, which sleeps until the first of all blocks is due.

    Each statement of a session with a timeout passes here, so no lock is taken on its way: to enter a dict, and to be
    taken out of it, is one step each, and whoever takes a block out decides what becomes of it. Bare locks, and no
    Condition, which is Python: a signal's exception in its midst would leave its lock held.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """As at the beginning; in a forked child, too."""
        self._lock = threading.RLock()
        self._bell = threading.Lock()
        self._running: dict[Bounded, float] = {}
        self._wakes = _NEVER
        self._thread: threading.Thread | None = None

    def begin(self, block: Bounded) -> None:
        self._running[block] = block.at
        if block.at < self._wakes:
            self._stir()

    def end(self, block: Bounded) -> None:
        if self._running.pop(block, None) is None:
            with self._lock:  # its socket is being shut down, whose number may be another's once it is closed
                pass

    def _stir(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="ringfence-bounds", daemon=True)
                self._thread.start()
        with contextlib.suppress(RuntimeError):  # it is rung already
            self._bell.release()

    def _watch(self) -> None:
        try:
            while True:
                self._wakes = (
                    _NEVER  # whoever begins from here on rings: he may have come too late to be seen
                )
                now = time.monotonic()
                for block, at in list(self._running.items()):
                    if at <= now:
                        self._end_one(block)
                wakes = self._wakes = min(list(self._running.values()), default=_NEVER)
                self._bell.acquire(timeout=-1 if wakes == _NEVER else max(0.0, wakes - now))
        finally:  # the next block starts another thread
            self._thread, self._wakes = None, _NEVER

    def _end_one(self, block: Bounded) -> None:
        with self._lock:
            if self._running.pop(block, None) is not None:
                block.bite()


_watcher = _Watcher()
os.register_at_fork(after_in_child=_watcher.reset)
