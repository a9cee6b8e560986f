"""Decide whether a failed transaction is repeated, for example after a deadlock, and after which pause.

`Database.run` and `AsyncDatabase.run` ask it after each failed attempt.
"""

import logging

from ringfence.runtime.backoff import backoff
from ringfence.runtime.errors import CommitUnknown, Conflict, ConnectionLost, InterfaceError, RingfenceError

log = logging.getLogger("ringfence.database")

_LONGEST_PAUSE = 10.0  # seconds between two attempts of a transaction


def retry_delay(error: RingfenceError, attempt: int, attempts: int, *, idempotent: bool) -> float | None:
    """Return how many seconds to wait before a transaction is repeated, or None if it must not be.

    An `InterfaceError` counts as its cause: a session that is used after a conflict raises one caused by the conflict.

    Args:
        error: the error of the attempt.
        attempt: its number, from 1.
        attempts: the maximum number of attempts.
        idempotent: whether to repeat it also if the outcome of COMMIT is unknown.
    """
    if isinstance(error, InterfaceError) and isinstance(error.__cause__, RingfenceError):
        error = error.__cause__
    again = (Conflict, ConnectionLost, CommitUnknown) if idempotent else (Conflict, ConnectionLost)
    if not isinstance(error, again) or attempt >= attempts:
        return None
    pause = backoff(attempt, 0.02, _LONGEST_PAUSE)
    log.info(
        "attempt %d of %d met %s (%s): again in %.3f s", attempt, attempts, type(error).__name__, error, pause
    )
    return pause
