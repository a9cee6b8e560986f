"""End a job in order on SIGTERM: locks are released, and a driver that blocks in C code is not waited for."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

CODE = 128 + signal.SIGTERM
"""The exit code by which shells report a process that SIGTERM ended."""
_GRACE = 5.0  # seconds for a running statement to notice


class Stopped(KeyboardInterrupt):
    """The process received SIGTERM; a KeyboardInterrupt, so that `except Exception` does not catch it."""


@contextlib.contextmanager
def stop_on_sigterm() -> Iterator[None]:
    """Raise Stopped on SIGTERM inside the block; outside it, the first process of a container ignores SIGTERM.

    If the main thread has not left the block `_GRACE` seconds later, the process exits with `CODE`. Does nothing in
    other threads than the main one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped

    def watch() -> None:
        # Python's C signal handler writes to the pipe at once, even while the main thread blocks in C code.
        while byte := os.read(reading, 1):
            if byte[0] == signal.SIGTERM and not done.wait(_GRACE):
                os._exit(CODE)
        os.close(reading)

    done = threading.Event()
    before = signal.signal(signal.SIGTERM, stop)
    woken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=watch, name="ringfence-stopping", daemon=True).start()
    try:
        yield
    finally:
        done.set()
        signal.set_wakeup_fd(woken)
        signal.signal(signal.SIGTERM, before)
        os.close(writing)
