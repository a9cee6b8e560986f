"""The connection to an SQLite file, with its authorizer, time limit and turn in the queue of writers."""

import sqlite3
import time
from typing import Any

from ringfence.runtime.engines.sqlite.authorizer import Authorizer
from ringfence.runtime.engines.sqlite.writer_queue import Flag, WriterQueue

_PROGRESS_STEPS = (
    5_000  # virtual machine instructions between two checks of the clock: well under a millisecond
)


UNDECODED = "Could not decode to UTF-8"


class Cursor(sqlite3.Cursor):
    """A cursor that repeats a select whose result contains invalid UTF-8, and returns such text as bytes."""

    sent: tuple[str, Any] = ("", ())

    def fetchall(self) -> list[Any]:
        """Return the rows; the codecs report the row with invalid text."""
        try:
            return super().fetchall()
        except sqlite3.OperationalError as error:
            if UNDECODED not in str(error) or not self.sent[0].lstrip().upper().startswith("SELECT"):
                raise
        self.connection.text_factory = _text_or_bytes
        try:
            return self.execute(*self.sent).fetchall()
        finally:
            self.connection.text_factory = str


def _text_or_bytes(stored: bytes) -> str | bytes:
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored


class Connection(sqlite3.Connection):
    """An SQLite connection with the state that the runtime keeps for it."""

    authorizer: Authorizer
    scopes_incomplete: bool = False
    """Whether a scoped table did not exist when the views and guard triggers were created."""
    file: tuple[int, int] | None = None
    """Device and inode number of the opened file."""
    turn: WriterQueue | None = None
    broken: bool = False
    swallowed: BaseException | None = None
    """An exception raised in the progress handler, which SQLite swallows."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cancelled = Flag()
        self._limited = False

    def cursor(self, factory: Any = Cursor) -> Any:
        """Return a cursor of our class."""
        return super().cursor(factory)

    def run_internal(self, sql: str) -> None:
        """Run a statement of the runtime itself, without the authorizer and a time limit."""
        self.limit(None)
        self.authorizer.trusted = True
        try:
            self.execute(sql)
        finally:
            self.authorizer.trusted = False

    def limit(self, seconds: float | None) -> None:
        """Set the time limit, in seconds, of the next statement and the fetching of its rows; None for no limit."""
        if seconds is None:
            if self._limited:
                self.set_progress_handler(None, 0)
                self._limited = False
            return
        until = time.monotonic() + seconds

        def spent() -> bool:
            try:
                return time.monotonic() > until
            except BaseException as error:  # noqa: BLE001  # SQLite would swallow it
                self.swallowed = error
                return True

        self.set_progress_handler(spent, _PROGRESS_STEPS)
        self._limited = True

    def end_turn(self) -> None:
        """Let the next writer in, if it is this connection's turn."""
        if self.turn is not None:
            self.turn.leave(self)
            self.turn = None
