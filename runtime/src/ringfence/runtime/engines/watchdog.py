"""A timer that ends a statement which runs too long, for engines without a time limit of their own."""

import threading
from collections.abc import Callable


class Watchdog:
    """Calls `bite` when the time is up, unless `stop` was called before.

    Args:
        bite: stops the running statement; called from another thread.
        seconds: the time limit.
    """

    def __init__(self, on_timeout: Callable[[], object], seconds: float) -> None:
        self._lock = threading.Lock()
        self._running = True
        self._fired = False
        self._on_timeout = on_timeout
        self._timer = threading.Timer(seconds, self._fire)
        self._timer.daemon = True
        self._timer.start()

    def _fire(self) -> None:
        with self._lock:
            if self._running:
                self._fired = True
                self._on_timeout()

    def stop(self) -> bool:
        """Disarm the timer after the statement; waits for a `bite` in progress.

        Returns:
            Whether `bite` was called.
        """
        self._timer.cancel()
        with self._lock:
            self._running = False
            return self._fired
