"""How long to wait before something is tried again: exponential backoff with jitter."""

import random


def backoff(attempt: int, first: float, longest: float) -> float:
    """Return how many seconds to wait after an attempt that failed.

    The upper bound doubles with each attempt, and the result is drawn from its upper half ("equal jitter"), so that
    processes that failed together do not try again together.

    Args:
        attempt: the number of the attempt that failed, from 1.
        first: the upper bound after the first attempt, in seconds.
        longest: the upper bound after any attempt, in seconds.
    """
    bound = min(longest, first * 2.0 ** min(attempt - 1, 32))
    return random.uniform(bound / 2, bound)
