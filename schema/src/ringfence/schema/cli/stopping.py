"""SIGTERM ends a job in order: locks are given back, and a driver that waits in C is not waited for."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

CODE = 128 + signal.SIGTERM
"""The exit code of a process that SIGTERM ended, as shells have it."""
_GRACE = 5.0  # seconds for the statement under way to notice


class Stopped(KeyboardInterrupt):
    """The process was told to end; like a person's interrupt, nothing catches it on the way."""


@contextlib.contextmanager
def ends_in_order() -> Iterator[None]:
    """Inside, SIGTERM raises Stopped; a process that is the first of a container would ignore it otherwise."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped

    def watch() -> None:
        # The C side of Python writes here at once, whatever the main thread waits for.
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
