"""The options of a pool, the message of an exhausted pool, and the thread that closes idle connections."""

import contextlib
import logging
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringfence.runtime.pool.lease import Holder

if TYPE_CHECKING:
    from ringfence.runtime.pool.pool import Pool

log = logging.getLogger("ringfence.pool")

_OWN = (str(Path(__file__).parents[1]), contextlib.__file__)  # this library, and what stands between


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """The limits of a pool; times are in seconds.

    Args:
        size: the maximum number of connections of this process; 0 takes `DB_POOL_SIZE`.
        wait: the longest wait for a connection.
        check_after_idle: a connection that was idle for longer is tested before it is lent.
        max_lifetime: the age at which a connection is replaced, less up to a tenth at random.
        max_idle: how long a connection may be idle before it is closed.
    """

    size: int = 0
    wait: float = 30.0
    check_after_idle: float = 1.0
    max_lifetime: float = 3600.0
    max_idle: float = 600.0


def caller() -> str:
    """Return the thread's name and the program's line that called into this library."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OWN):
        frame = frame.f_back
    code = frame.f_code
    return f"{threading.current_thread().name} at {code.co_filename}:{frame.f_lineno} in {code.co_name}"


def who_holds(holders: Sequence[Holder], size: int, waited: float) -> str:
    """Return the message of an exhausted pool: its size, and who holds each connection for how long.

    Args:
        holders: the holders of connections.
        size: the maximum number of connections.
        waited: how long the caller waited, in seconds.
    """
    now = time.monotonic()
    held = [f"{holder.name} for {now - holder.since:.1f} s" for holder in holders]
    return f"no connection came free within {waited:.1f} s; the cap is {size} (DB_POOL_SIZE), held by: " + (
        "; ".join(held) or "connections that are being opened"
    )


def keep_evicting(pool: "weakref.ref[Pool]", end: Any, pause: float) -> None:
    """Close idle connections periodically, until the pool is closed or collected.

    Args:
        pool: a weak reference to the pool.
        end: a lock that is held until the pool is closed.
        pause: the time between two runs, in seconds.
    """
    while not end.acquire(timeout=pause):
        found = pool()
        if found is None:
            return
        try:
            found.evict()
        except Exception:
            log.exception("looking after idle connections failed")
        del found
