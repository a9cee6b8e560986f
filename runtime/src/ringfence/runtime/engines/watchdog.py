"""Ends a statement that runs too long, where the engine has no time limit of its own."""

import threading
from collections.abc import Callable


class Watchdog:
    """Bites when its time is up, and never after `stop`.

    Args:
        bite: stops the running statement, from another thread.
        seconds: the time it has.
    """

    def __init__(self, bite: Callable[[], object], seconds: float) -> None:
        self._lock = threading.Lock()
        self._running = True
        self._bitten = False
        self._bite = bite
        self._timer = threading.Timer(seconds, self._wake)
        self._timer.daemon = True
        self._timer.start()

    def _wake(self) -> None:
        with self._lock:
            if self._running:
                self._bitten = True
                self._bite()

    def stop(self) -> bool:
        """The statement is over. Returns whether it had been bitten; waits while a bite is under way."""
        self._timer.cancel()
        with self._lock:
            self._running = False
            return self._bitten
