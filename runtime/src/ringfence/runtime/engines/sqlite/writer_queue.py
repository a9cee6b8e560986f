"""A fair, process-wide queue of the writers of one SQLite file: first come, first served."""

import contextlib
import os
import threading
import time
from pathlib import Path


class Flag:
    """A boolean flag; an Event has a lock of its own, which an exception from a signal handler could leave held."""

    def __init__(self) -> None:
        self._up = False

    def set(self) -> None:
        """Set the flag."""
        self._up = True

    def clear(self) -> None:
        """Clear the flag."""
        self._up = False

    def is_set(self) -> bool:
        """Return whether the flag is set."""
        return self._up


class _Waiting:
    """One waiter in the queue."""

    def __init__(self, who: object) -> None:
        self.who = who
        self._wakeup = threading.Lock()
        self._wakeup.acquire()

    def wait(self, seconds: float) -> None:
        """Wait until `wake` is called, at most this many seconds."""
        self._wakeup.acquire(timeout=max(0.0, seconds))

    def wake(self) -> None:
        """Wake the waiter."""
        with contextlib.suppress(RuntimeError):  # it is already woken
            self._wakeup.release()


class WriterQueue:
    """Admits one writer at a time, in order of arrival; SQLite's busy handler would admit any waiter.

    `leave` gives up the turn or the position in the queue, whichever the caller has: an exception may have prevented it
    from learning which.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._waiting: list[_Waiting] = []
        self._inside: object = None

    def enter(self, who: object, seconds: float, cancelled: Flag) -> bool:
        """Wait for the turn; the caller must call `leave` afterwards in any case.

        Args:
            who: the connection.
            seconds: the longest wait.
            cancelled: ends the wait once it is set and `wake` is called.

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
        """Make all waiters check whether they were cancelled."""
        with self._lock:
            for each in self._waiting:
                each.wake()

    def leave(self, who: object) -> None:
        """Pass the turn to the next waiter, or leave the queue; does nothing for a connection that has neither."""
        with self._lock:
            for each in [each for each in self._waiting if each.who is who]:
                self._waiting.remove(each)
            if self._inside is not who:
                return
            following = self._waiting[0] if self._waiting else None
            self._inside = following.who if following else None
            if following is not None:
                following.wake()


_queues: dict[Path, WriterQueue] = {}
_guard = threading.RLock()


def writer_queue_for(path: Path) -> WriterQueue:
    """Return the queue of a file, one per process."""
    with _guard:
        return _queues.setdefault(path.resolve(), WriterQueue())


def _after_fork() -> None:
    # The threads that held a turn or the lock exist only in the parent.
    global _guard
    _guard = threading.RLock()
    for queue in _queues.values():
        queue.__init__()  # type: ignore[misc]  # reset in place, as backends refer to it


os.register_at_fork(after_in_child=_after_fork)
