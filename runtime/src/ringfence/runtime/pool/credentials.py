"""Detect that the login from a password file or a credentials callable has changed."""

import logging
import time

from ringfence.runtime.settings import Settings

log = logging.getLogger("ringfence.pool")

LOOK_SECONDS = 1.0
"""The shortest time between two checks of the password file or the callable."""

_LONG_SECONDS = 60.0
"""How long a check that one thread has begun keeps other threads from checking."""


class CredentialsWatch:
    """Compares the login with the one seen last.

    Usually one thread checks at a time, and no other thread waits for it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._looking = -_LONG_SECONDS
        self._looked = 0.0
        self._seen: object = self._look() if self._changes() else None

    def changed(self) -> bool:
        """Check, at most once in `LOOK_SECONDS`, whether the login differs from the last check."""
        now = time.monotonic()
        if not self._changes() or now - self._looked < LOOK_SECONDS or now < self._looking + _LONG_SECONDS:
            return False
        # A timestamp instead of a lock: an asynchronous exception could leave a lock held for ever.
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
            return None  # the file is being replaced; the next check reads it
        except Exception as error:  # noqa: BLE001  # whatever the service's own callable raises
            log.warning("the credentials cannot be had now (%s): the old ones go on", type(error).__name__)
            return None
