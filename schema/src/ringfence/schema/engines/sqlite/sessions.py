"""The job's lock on SQLite, and its sessions, which are no more than the processes that open the file."""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from ringfence.runtime.errors import NotReady
from ringfence.schema.engines.base import HeldLock, Server
from ringfence.schema.text import MessageCallback

_POLL = 0.2


class SQLiteSessions:
    """A statement runs in the process of its client, and ends with it."""

    def identifier(self, connection: sa.Connection) -> str:
        """Return an empty text: a statement runs in the client's process, and ends with it."""
        return ""

    def is_busy(self, session: str) -> bool:
        """Return False: a statement ends with the process that runs it."""
        return False

    def long_transactions(self, connection: sa.Connection) -> list[str]:
        """Return nothing: SQLite keeps no list of the connections to a file."""
        return []


class SQLiteLocks:
    """The lock of a file beside the database, and the locks of the database.

    Args:
        server: the database.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    @contextlib.contextmanager
    def hold(self, *, patience: float, on_message: MessageCallback) -> Iterator[HeldLock]:
        """Take the lock of a file beside the database; the operating system releases it when the process ends."""
        path = Path(f"{self._server.settings.name}.ringfence-lock")
        with path.open("w") as file:
            deadline = time.monotonic() + patience
            announced = False
            while not _taken(file.fileno()):
                if not announced:
                    on_message("another job holds the lock of this database; waiting for it")
                    announced = True
                if time.monotonic() > deadline:
                    raise NotReady(f"another job has held {path} for {patience:g} s", "locked")
                time.sleep(_POLL)
            yield _Lock()

    def set_timeout(self, connection: sa.Connection, seconds: float) -> None:
        """Do nothing: a writer waits when its transaction begins, and readers do not block it."""

    def is_conflict(self, error: sa.exc.DBAPIError) -> bool:
        """Return whether SQLite reported that the database is locked."""
        return "database is locked" in str(error.orig)


class _Lock:
    """The lock of the file while it is held."""

    def register_session(self, connection: sa.Connection) -> None:
        """Do nothing: no other job can take the lock of a file over while this process lives."""

    def check(self) -> None:
        """Do nothing: the lock of a file is not lost while this process lives."""


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
