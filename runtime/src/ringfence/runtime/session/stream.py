"""Rows of a SELECT that are read in batches while the session runs other statements."""

import functools
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from ringfence.runtime.engines import Backend, RowSource, StatementContext
from ringfence.runtime.errors import InterfaceError

if TYPE_CHECKING:
    from ringfence.runtime.session.session import Session

_STORED_AT_ONCE = 5_000


class Stream:
    """The rows of one SELECT of a session, which closes the stream at its end.

    Args:
        session: the session in whose transaction the rows are read.
        source: the engine's cursor.
        depth: how many nested sessions were open when it began.
        context: the verb and tables of the SELECT.
    """

    def __init__(self, session: "Session", source: RowSource, depth: int, context: StatementContext) -> None:
        self.depth = depth
        self._reader: weakref.ref[Any] | None = None
        self._discarded = False
        self._session = session
        self._source = source
        self._context = context
        self._run = functools.partial(session.execute, context=context)
        self._transaction_number = session.transaction_number
        self._stored: deque[Any] | None = None
        self._read = False
        self._over: str | None = None

    def start(self, sql: str, count: int) -> list[Any]:
        """Run the SELECT.

        Args:
            sql: the SELECT.
            count: the number of rows to read.

        Returns:
            The first rows, fewer than `count` if these are all.

        Raises:
            RingfenceError: as for any statement.
        """
        rows = self._session.reading(lambda: self._source.start(self._run, sql, count), self._context)
        return self._noted(rows, count)

    def fetch(self, count: int) -> list[Any]:
        """Read the next rows, fewer than `count` if these are the last.

        Raises:
            InterfaceError: the transaction of the rows has ended, or another thread or task owns it.
            RingfenceError: as for any statement.
        """
        stored = self._stored
        if self._read and not stored:
            return []
        self._session.check_rows()
        if self._over is None and self._transaction_number != self._session.transaction_number:
            self._over = "their transaction is over"
        if self._over is not None:
            raise InterfaceError(
                f"the rest of these rows cannot be read, for {self._over}: select() gives rows to keep"
            )
        if stored is not None:
            return [stored.popleft() for _ in range(min(count, len(stored)))]
        return self._next(count)

    def _next(self, count: int) -> list[Any]:
        rows = self._session.reading(lambda: self._source.fetch(self._run, count), self._context)
        return self._noted(rows, count)

    def _noted(self, rows: list[Any], count: int) -> list[Any]:
        self._read = len(rows) < count
        return rows

    @property
    def done(self) -> bool:
        """Whether the engine's cursor is no longer needed."""
        unread = self._reader is not None and self._reader() is None
        return self._read or self._discarded or unread or self._stored is not None

    def read_by(self, reader: object) -> None:
        """Let the session's next statement close the engine's cursor once the reader is collected."""
        # A weak reference and not `__del__`, because Python drops exceptions that are raised in `__del__`.
        self._reader = weakref.ref(reader)

    def discard(self) -> None:
        """Give up the remaining rows: the session's next statement closes the engine's cursor."""
        self._discarded = True

    def conflicts_with(self, sql: str) -> bool:
        """Whether the remaining rows must be read before this statement runs."""
        return self._source.conflicts_with(sql)

    def store(self) -> None:
        """Read the remaining rows into memory."""
        stored: deque[Any] = deque()
        while not self._read:
            stored.extend(self._next(_STORED_AT_ONCE))
        self._stored = stored

    def end(self, why: str) -> str:
        """Close the engine's cursor; may raise a driver's error.

        Args:
            why: the reason to report if the remaining rows are asked for.

        Returns:
            SQL to put before the session's next statement, or an empty text.
        """
        if not self._read:
            self._over = why
        return self._source.end()


class Streams:
    """The open streams of one session."""

    def __init__(self, session: "Session") -> None:
        self.open: list[Stream] = []
        self._session = session
        self._count = 0

    def start(
        self, backend: Backend, connection: Any, sql: str, count: int, context: StatementContext
    ) -> tuple[Stream, list[Any]]:
        """Run a SELECT whose rows are read in batches; see `Session.stream`."""
        session = self._session
        self._count += 1
        source = backend.stream(connection, session.mode, self._count)
        stream = Stream(session, source, session.depth, context)
        first = stream.start(sql, count)
        self.open.append(stream)
        return stream, first

    def prepare_for(self, sql: str) -> str:
        """Prepare the open streams for a statement: store rows that it would disturb, and close finished streams.

        Args:
            sql: the statement that is about to run.

        Returns:
            SQL to put before the statement, or an empty text.
        """
        before = ""
        for stream in list(self.open):
            if not stream.done and stream.conflicts_with(sql):
                stream.store()
            if stream.done:
                self.open.remove(stream)
                before += self._session.reading(functools.partial(stream.end, "they were let go"))
        return before

    def end(self, why: str, depth: int = 0) -> None:
        """Close the streams that began at nesting level `depth` or deeper; may raise a driver's error.

        Args:
            why: the reason to report if their remaining rows are asked for.
            depth: 0 for the outermost session, and thus all streams.
        """
        for stream in [each for each in self.open if each.depth >= depth]:
            self.open.remove(stream)
            stream.end(why)
