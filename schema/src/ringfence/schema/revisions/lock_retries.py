"""A revision's lock timeout, and the number of its tries and the pauses between them.

The timeout is short, because while an ALTER waits for a lock, every later query on the table waits behind it.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence.runtime.backoff import backoff
from ringfence.schema.errors import BadDeployment, Mistake

_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "": 1.0}
_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|min|)\s*")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0  # seconds


@dataclass(frozen=True)
class LockSettings:
    """A revision's lock settings, given as `lock_timeout = "2s"` and `lock_tries = 10` in its module."""

    timeout: float = 2.0
    """The lock timeout of one statement, in seconds."""
    tries: int = 10
    """How often the revision is started before the job gives up."""


def lock_settings_of(module: Any, path: str) -> LockSettings:
    """Return the lock settings of a revision's module.

    Args:
        module: the revision's module.
        path: its file, for the error.

    Raises:
        BadDeployment: `lock_timeout` is not a positive time, or `lock_tries` is not a positive integer.
    """
    timeout = getattr(module, "lock_timeout", LockSettings.timeout)
    tries = getattr(module, "lock_tries", LockSettings.tries)
    found = _TEXT.fullmatch(timeout) if isinstance(timeout, str) else None
    if found:
        seconds = float(found[1]) * _UNITS[found[2]]
    elif isinstance(timeout, int | float) and not isinstance(timeout, bool):
        seconds = float(timeout)
    else:
        seconds = 0.0
    if seconds <= 0:
        raise _wrong(path, "lock_timeout", timeout, 'a time above nothing, as "500ms", "2s", "1min" or 2')
    if not isinstance(tries, int) or isinstance(tries, bool) or tries < 1:
        raise _wrong(path, "lock_tries", tries, "a count of at least 1")
    return LockSettings(seconds, tries)


def pause(tried: int) -> float:
    """Return how many seconds to wait after that many tries, with jitter, so that jobs do not retry in step.

    Args:
        tried: the number of tries so far, from 1.
    """
    return backoff(tried, 2 * _FIRST_PAUSE, _LONGEST_PAUSE)


def _wrong(path: str, name: str, value: object, wanted: str) -> BadDeployment:
    text = Path(path).read_text(encoding="utf-8").splitlines()
    line = next((number for number, one in enumerate(text, 1) if one.startswith(name)), None)
    return BadDeployment([Mistake(Path(path).name, line, f"{name} = {value!r} is not {wanted}")])
