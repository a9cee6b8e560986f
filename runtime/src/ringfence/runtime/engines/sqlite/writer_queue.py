"""A fair queue of the writers of one SQLite file in this process: first come, first served."""

import contextlib
import os
import threading
import time
from pathlib import Path


class Flag:
    """Set or not; an Event takes a lock of its own, which an exception in its midst would leave held."""

    def __init__(self) -> None:
        self._up = False

    def set(self) -> None:
        """From here on it is set."""
        self._up = True

    def clear(self) -> None:
        """From here on it is not."""
        self._up = False

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._up


class _Waiting:
    """One in the queue."""

    def __init__(self, who: object) -> None:
        self.who = who
        self._bell = threading.Lock()
        self._bell.acquire()

    def wait(self, seconds: float) -> None:
        """Until somebody rings, at most so long."""
        self._bell.acquire(timeout=max(0.0, seconds))

    def ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # it rings already
            self._bell.release()


class Turnstile:
    """Lets one in at a time, in order of arrival; SQLite's own busy handler would let any waiter win.

    Whoever leaves gives up his turn or his place in the line, whichever he has: an exception may have come before he
    could know.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._waiting: list[_Waiting] = []
        self._inside: object = None

    def enter(self, who: object, seconds: float, cancelled: Flag) -> bool:
        """Wait for the turn; `leave` comes after it, whatever comes of it.

        Args:
            who: a connection.
            seconds: the longest wait.
            cancelled: nothing is waited for once this is set, and `wake` was called.

        Returns:
            Whether the turn came.
        """
        until = time.monotonic() + seconds
        with self._lock:
            if self._inside is None:
                self._inside = who
                return True
            mine = _Waiting(who)
            self._waiting.append(mine)
        while self._inside is not who and not cancelled.is_set() and (left := until - time.monotonic()) > 0:
            mine.wait(left)
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
            return self._inside is who

    def wake(self) -> None:
        """Have those who wait look whether they were cancelled."""
        with self._lock:
            for each in self._waiting:
                each.ring()

    def leave(self, who: object) -> None:
        """Give the turn to the next in line, or go out of the line; who is neither within nor in line does nothing."""
        with self._lock:
            for each in [each for each in self._waiting if each.who is who]:
                self._waiting.remove(each)
            if self._inside is not who:
                return
            following = self._waiting[0] if self._waiting else None
            self._inside = following.who if following else None
            if following is not None:
                following.ring()


_turnstiles: dict[Path, Turnstile] = {}
_guard = threading.RLock()


def turnstile_for(path: Path) -> Turnstile:
    """The queue of this file, one per process."""
    with _guard:
        return _turnstiles.setdefault(path.resolve(), Turnstile())


def _after_fork() -> None:
    # Whoever held a turn, or the guard, stayed behind in the parent.
    global _guard
    _guard = threading.RLock()
    for turnstile in _turnstiles.values():
        turnstile.__init__()  # type: ignore[misc]  # back to the state of a new one, in place: backends hold it


os.register_at_fork(after_in_child=_after_fork)
