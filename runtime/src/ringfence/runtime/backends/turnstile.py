"""A fair queue of the writers of one SQLite file in this process: first come, first served."""

import os
import threading
import time
from collections import deque
from pathlib import Path


class _Waiting:
    """One in the queue; `called` when it is his turn."""

    def __init__(self) -> None:
        self.called = False
        self.stirred = threading.Event()


class Turnstile:
    """Lets one in at a time, in order of arrival; SQLite's own busy handler would let any waiter win."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._busy = False

    def enter(self, seconds: float, cancelled: threading.Event) -> bool:
        """Wait for the turn, at most so many seconds and not once cancelled; False when it did not come."""
        until = time.monotonic() + seconds
        with self._lock:
            if not self._busy:
                self._busy = True
                return True
            mine = _Waiting()
            self._waiting.append(mine)
        try:
            while not mine.called and not cancelled.is_set() and (left := until - time.monotonic()) > 0:
                mine.stirred.wait(left)
                mine.stirred.clear()
        except BaseException:
            if not self._give_up(mine):
                self.leave()
            raise
        return not self._give_up(mine)

    def wake(self) -> None:
        """Have those who wait look whether they were cancelled."""
        with self._lock:
            for each in self._waiting:
                each.stirred.set()

    def leave(self) -> None:
        """Give the turn to the next in line."""
        with self._lock:
            if self._waiting:
                following = self._waiting.popleft()
                following.called = True
                following.stirred.set()
            else:
                self._busy = False

    def _give_up(self, mine: _Waiting) -> bool:
        """Leave the queue, unless the turn has come."""
        with self._lock:
            if mine.called:
                return False
            self._waiting.remove(mine)
            return True


_turnstiles: dict[Path, Turnstile] = {}
_guard = threading.Lock()


def turnstile_for(path: Path) -> Turnstile:
    """The queue of this file, one per process."""
    with _guard:
        return _turnstiles.setdefault(path.resolve(), Turnstile())


def _after_fork() -> None:
    # Whoever held a turn, or the guard, stayed behind in the parent.
    global _guard
    _guard = threading.Lock()
    for turnstile in _turnstiles.values():
        turnstile.__init__()  # type: ignore[misc]  # back to the state of a new one, in place: backends hold it


os.register_at_fork(after_in_child=_after_fork)
