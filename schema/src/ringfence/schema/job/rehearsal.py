"""Runs the pending revisions where nothing is kept of it, and listens: what a job will send, to the word."""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from sqlalchemy import event

from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend, is_a_file, reach, scratch
from ringfence.schema.errors import JobFailed
from ringfence.schema.job import recovery
from ringfence.schema.job.description import Chapter
from ringfence.schema.job.environment import Job
from ringfence.schema.job.revision_access import Around
from ringfence.schema.lint.pending import Pending

_SESSION = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "START")

# What runs in no transaction does the same in one without that word: nobody uses the tables of an empty database.
_CONCURRENTLY = re.compile(r"^(\s*(?:CREATE|DROP)\s+(?:UNIQUE\s+)?INDEX\s+)CONCURRENTLY\s+", re.IGNORECASE)


@dataclass
class Part:
    """Statements of a job that belong together, each with its semicolon."""

    what: str
    """`records` for the tables of our own, `revision`, or `access`."""
    revision: str | None = None
    sql: list[str] = field(default_factory=list)


@dataclass
class Rehearsed:
    """What the revisions sent, and the connection that still sees what they made."""

    connection: sa.Connection
    parts: list[Part]


@contextlib.contextmanager
def rehearsal(
    deployment: Deployment, backend: Backend, pending: Pending, chapters: list[Chapter]
) -> Iterator[Rehearsed]:
    """Run the pending revisions of an empty database; afterwards it is as it was.

    On a server in a transaction that is rolled back; in the place of a file, on another one that is removed.

    Args:
        deployment: the deployment.
        backend: of an engine whose DDL can be rolled back.
        pending: the revisions, from the first on: what is there already would be locked.
        chapters: what they say that they do.

    Raises:
        SchemaError: a revision fails.
    """
    with contextlib.ExitStack() as stack:
        if is_a_file(backend.settings):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            settings = scratch(deployment.engines, folder)
            backend = backend if settings is None else reach(settings, lambda text: None)
        engine = backend.engine(migrating=True)
        stack.callback(engine.dispose)
        ear = _Ear(chapters)
        ear.listen(engine, is_a_file(backend.settings))
        connection = stack.enter_context(engine.connect())
        if not is_a_file(backend.settings):
            # What commits says so to the dialect: from here on it waits for the rollback.
            vars(engine.dialect)["do_commit"] = lambda connection: None
            stack.callback(connection.connection.rollback)
            event.listen(engine, "do_connect", _refuse)
        around = _Heard(deployment, backend, pending.scripts, pending.revisions, lambda text: None)
        around.ear = ear
        job = Job(
            deployment, backend, _Unlocked(), say=lambda text: None, around=around, connection=connection
        )
        command.upgrade(job.config(), "head")
        ear.listening = False
        yield Rehearsed(connection, ear.parts)


def _refuse(*args: Any) -> None:
    """What a revision does on a connection of its own is not taken back. Raises JobFailed."""
    raise JobFailed("a revision opens a connection of its own")


class _Unlocked:
    """In the place of the lock: what is not kept needs none."""

    def check(self) -> None:
        """Nothing is held, and so nothing is lost."""

    def guard(self, connection: sa.Connection) -> None:
        """Nobody takes it over."""


class _Ear:
    """Writes down what an engine sends, looks at the database and words about the session aside."""

    def __init__(self, chapters: list[Chapter]) -> None:
        self.parts = [Part("records")]
        self.listening = True
        self._queries = {chapter.revision: {_plain(sql) for sql in chapter.sql} for chapter in chapters}

    def begin(self, revision: str) -> None:
        """What follows is of this revision."""
        self.parts.append(Part("revision", revision))

    def listen(self, engine: sa.Engine, file: bool) -> None:
        """Hear each statement as the server gets it; of a file the driver itself tells that."""

        def connected(connection: Any, record: Any) -> None:
            connection.set_trace_callback(self._hear)

        def executed(
            connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
        ) -> tuple[str, Any]:
            for one in parameters if many else (parameters,):
                text = cursor.mogrify(statement, one)
                self._hear(text.decode() if isinstance(text, bytes) else text)
            return _CONCURRENTLY.sub(r"\1", statement), parameters

        if file:
            event.listen(engine, "connect", connected)
        else:
            event.listen(engine, "before_cursor_execute", executed, retval=True)

    def _hear(self, statement: str) -> None:
        text = statement.strip()
        # SQLite also tells, as a comment, what a statement does inside.
        inside = text.startswith("--") and "\n" not in text
        if not self.listening or inside or text.upper().startswith(_SESSION):
            return
        part = self.parts[-1]
        asked = recovery.kind(text, None) is recovery.Kind.QUERY
        # A revision's own SELECT may change something: SELECT setval(…).
        if not asked or _plain(text) in self._queries.get(part.revision or "", ()):
            part.sql.append(text if text.endswith(";") else f"{text};")


class _Heard(Around):
    """Tells the ear which revision it hears."""

    ear: _Ear

    def before(self, connection: sa.Connection, revision: str) -> None:
        """See Around."""
        self.ear.begin(revision)
        super().before(connection, revision)


def _plain(sql: str) -> str:
    return " ".join(sql.split()).rstrip("; ")
