"""A job in a process of its own that dies at a statement of our choice: killed, ended, or with its connection cut."""

import contextlib
import io
import os
import re
import signal
import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

HOWS = ("kill", "cut", "end")
_LOOKS = re.compile(
    r"\s*(SELECT|SHOW|SET|PRAGMA|BEGIN|DESCRIBE)\b|.*ringfence_lease", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True)
class End:
    """How the process ended."""

    died: bool
    """Whether it reached the statement at which it was to die."""
    failed: str
    """What it raised; empty when it did not."""

    @property
    def whole(self) -> bool:
        """Whether it did all of its work."""
        return not self.died and not self.failed


def run_dying(work: Callable[[], object], at: int, how: str, when: str, only: str = "") -> End:
    """Fork, and do the work until the statement with that number, from 1, that is no mere look.

    Args:
        work: what is done.
        at: the statement's number.
        how: one of HOWS.
        when: before or after the statement.
        only: count the statements alone that hold this.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            _work(work, _Counter(at, how, when, only, writing), writing)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    died, _, failed = told.partition("\n")
    return End(died == "died", failed)


def _work(work: Callable[[], object], counter: "_Counter", writing: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    event.listen(sa.Engine, "before_cursor_execute", counter.before)
    event.listen(sa.Engine, "after_cursor_execute", counter.after)
    failed = ""
    try:
        work()
    except BaseException as error:  # told to the parent, which judges it
        text = io.StringIO()
        traceback.print_exception(error, file=text)
        failed = text.getvalue()[-3000:]
    if not counter.died:
        os.write(writing, b"lived\n")
    os.write(writing, failed.encode())


class _Counter:
    """Counts the statements that are no mere looks, and dies at one."""

    def __init__(self, at: int, how: str, when: str, only: str, writing: int) -> None:
        self.died = False
        self._counted = 0
        self._open: list[int] = []
        self._at = at
        self._how, self._when, self._only = how, when, only
        self._writing = writing

    def before(self, connection: sa.Connection, cursor: Any, statement: str, *more: Any) -> None:
        if self._counts(statement):
            self._counted += 1
            self._open.append(self._counted)  # the journal sends its own statements inside others
            if self._counted == self._at and self._when == "before":
                self._die(connection)

    def after(self, connection: sa.Connection, cursor: Any, statement: str, *more: Any) -> None:
        if self._counts(statement) and self._open.pop() == self._at and self._when == "after":
            self._die(connection)

    def _counts(self, statement: str) -> bool:
        return not _LOOKS.match(statement) and self._only in statement

    def _die(self, connection: sa.Connection) -> None:
        self.died = True
        os.write(self._writing, b"died\n")
        if self._how == "cut":
            _cut(connection.connection.dbapi_connection)
        else:
            os.kill(os.getpid(), signal.SIGKILL if self._how == "kill" else signal.SIGTERM)


def _cut(connection: Any) -> None:
    """End the TCP connection under the driver; a file has none, and there the process is killed."""
    if hasattr(connection, "_sock"):
        connection._sock.shutdown(socket.SHUT_RDWR)  # noqa: SLF001 - PyMySQL has no public name for it
    elif hasattr(connection, "fileno"):
        with socket.socket(fileno=os.dup(connection.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)
    else:
        os.kill(os.getpid(), signal.SIGKILL)
