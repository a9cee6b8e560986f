"""Notices that a password file or a callable gives another login than before."""

import logging
import time

from ringfence.runtime.settings import Settings

log = logging.getLogger("ringfence.pool")

LOOK_SECONDS = 1.0
"""How often the source is looked at, at most."""

_LONG_SECONDS = 60.0
"""How long one thread's look keeps the others from looking."""


class Watch:
    """Remembers the login that was last seen; one thread looks at a time, or few, and none waits for it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._looking = -_LONG_SECONDS
        self._looked = 0.0
        self._seen: object = self._look() if self._changes() else None

    def changed(self) -> bool:
        """Whether the login is another one than at the last look."""
        now = time.monotonic()
        if not self._changes() or now - self._looked < LOOK_SECONDS or now < self._looking + _LONG_SECONDS:
            return False
        # A mark and no lock: an exception from outside would leave that held, and nobody would look any more.
        self._looking = now
        try:
            seen = self._look()
            before, self._seen = self._seen, seen or self._seen
        finally:
            self._looking = -_LONG_SECONDS
        return seen is not None and before is not None and seen != before

    def _changes(self) -> bool:
        return self._settings.credentials is not None or self._settings.password_file is not None

    def _look(self) -> object:
        self._looked = time.monotonic()
        try:
            if self._settings.credentials is not None:
                return self._settings.login()
            path = self._settings.password_file
            stat = path.stat() if path else None
            return stat and (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except OSError:
            return None  # being replaced; the next look will see it
        except Exception as error:  # noqa: BLE001  # whatever the service's own callable raises
            log.warning("the credentials cannot be had now (%s): the old ones go on", type(error).__name__)
            return None
