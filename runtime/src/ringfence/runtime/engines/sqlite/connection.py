"""A connection to an SQLite file that knows its authorizer, its time limit and its turn to write."""

import sqlite3
import time
from typing import Any

from ringfence.runtime.engines.sqlite.authorizer import Authorizer
from ringfence.runtime.engines.sqlite.writer_queue import Flag, Turnstile

_PROGRESS_STEPS = 5_000  # of SQLite's machine, between two looks at the clock: well under a millisecond


UNDECODED = "Could not decode to UTF-8"


class Cursor(sqlite3.Cursor):
    """A cursor that reads a select again when it holds text that is no UTF-8, and gives that as bytes."""

    sent: tuple[str, Any] = ("", ())

    def fetchall(self) -> list[Any]:
        """The rows; the codecs say which of them holds what is no text."""
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
    """What the runtime must remember of a connection stands on it."""

    authorizer: Authorizer
    unfenced: bool = False
    """Whether a table with a scope was not there yet when the views and guards were made."""
    file: tuple[int, int] | None = None
    """Device and number of the file that was opened."""
    turn: Turnstile | None = None
    broken: bool = False
    dropped: BaseException | None = None
    """What came while SQLite asked whether the time is up."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cancelled = Flag()
        self._limited = False

    def cursor(self, factory: Any = Cursor) -> Any:
        """A cursor of ours."""
        return super().cursor(factory)

    def own(self, sql: str) -> None:
        """Run a statement of the runtime itself: past the authorizer, without a time limit."""
        self.limit(None)
        self.authorizer.trusted = True
        try:
            self.execute(sql)
        finally:
            self.authorizer.trusted = False

    def limit(self, seconds: float | None) -> None:
        """The time that the next statement has, the reading of its rows included; None for no limit."""
        if seconds is None:
            if self._limited:
                self.set_progress_handler(None, 0)
                self._limited = False
            return
        until = time.monotonic() + seconds

        def spent() -> bool:
            try:
                return time.monotonic() > until
            except BaseException as error:  # noqa: BLE001  # SQLite would drop it
                self.dropped = error
                return True

        self.set_progress_handler(spent, _PROGRESS_STEPS)
        self._limited = True

    def end_turn(self) -> None:
        """Let the next writer in, if the turn is this connection's."""
        if self.turn is not None:
            self.turn.leave(self)
            self.turn = None
