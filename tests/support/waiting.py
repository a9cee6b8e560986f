"""Waiting for a condition, with a timeout that a busy machine does not reach."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")
_PAUSE = 0.02


def eventually(
    condition: Callable[[], Found], seconds: float = 60.0, explain: Callable[[], object] = lambda: ""
) -> Found:
    """Wait until a condition is true, and return its value.

    Args:
        condition: what is asked again and again; an OSError counts as false, because a server may not listen yet.
        seconds: the longest wait.
        explain: called for the message of the failure, such as the log of a process.

    Raises:
        AssertionError: the condition did not become true in time.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            if found := condition():
                return found
            why = ""
        except OSError as error:
            why = f" ({error})"
        assert time.monotonic() < end, f"not true after {seconds:g} s{why}: {explain()}"
        time.sleep(_PAUSE)
