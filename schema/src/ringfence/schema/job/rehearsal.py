"""Runs the pending revisions and rolls them back, to record the exact statements that a job will send."""

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
from ringfence.schema.job.description import RevisionDescription
from ringfence.schema.job.environment import AlembicRun
from ringfence.schema.job.revision_access import RevisionAccess
from ringfence.schema.lint.pending import Pending

_SESSION = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "START")

# CREATE INDEX CONCURRENTLY cannot run in a transaction. Without CONCURRENTLY the result is the same, and in an empty
# database nobody waits for the lock.
_CONCURRENTLY = re.compile(r"^(\s*(?:CREATE|DROP)\s+(?:UNIQUE\s+)?INDEX\s+)CONCURRENTLY\s+", re.IGNORECASE)


@dataclass
class StatementGroup:
    """Statements of a job that belong together, each with its semicolon."""

    what: str
    """`records` (Ringfence's own tables), `revision` or `access`."""
    revision: str | None = None
    sql: list[str] = field(default_factory=list)


@dataclass
class Rehearsed:
    """The statements that the revisions sent, and the connection whose open transaction still has their result."""

    connection: sa.Connection
    parts: list[StatementGroup]


@contextlib.contextmanager
def rehearsal(
    deployment: Deployment, backend: Backend, pending: Pending, descriptions: list[RevisionDescription]
) -> Iterator[Rehearsed]:
    """Run the pending revisions on an empty database, and leave it as it was.

    On a server they run in a transaction that is rolled back; for a database file they run on a temporary file.

    Args:
        deployment: the deployment.
        backend: a database whose DDL can be rolled back.
        pending: the pending revisions, beginning with the first: existing tables would stay locked meanwhile.
        descriptions: the descriptions of these revisions.

    Yields:
        The statements and the connection; the connection is closed afterwards.

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
        recorder = _StatementRecorder(descriptions)
        recorder.listen(engine, is_a_file(backend.settings))
        connection = stack.enter_context(engine.connect())
        if not is_a_file(backend.settings):
            # Every commit goes through the dialect; from here on it does nothing, so that all can be rolled back.
            vars(engine.dialect)["do_commit"] = lambda connection: None
            stack.callback(connection.connection.rollback)
            event.listen(engine, "do_connect", _refuse)
        access = _RecordingAccess(deployment, backend, pending.scripts, pending.revisions, lambda text: None)
        access.recorder = recorder
        job = AlembicRun(
            deployment,
            backend,
            _Unlocked(),
            on_message=lambda text: None,
            access=access,
            connection=connection,
        )
        with job.current() as config:
            command.upgrade(config, "head")
        recorder.listening = False
        yield Rehearsed(connection, recorder.parts)


def _refuse(*args: Any) -> None:
    """Refuse a new connection, because what a revision does on its own connection cannot be rolled back.

    Raises:
        JobFailed: always.
    """
    raise JobFailed("a revision opens a connection of its own")


class _Unlocked:
    """Stands for the job's lock: a rehearsal keeps nothing and needs no lock."""

    def check(self) -> None:
        """Do nothing: no lock is held that could be lost."""

    def register_session(self, connection: sa.Connection) -> None:
        """Do nothing: no other job takes this lock over."""


class _StatementRecorder:
    """Records the statements of an engine, except for queries and transaction control."""

    def __init__(self, descriptions: list[RevisionDescription]) -> None:
        self.parts = [StatementGroup("records")]
        self.listening = True
        self._queries = {
            description.revision: {comparable_sql(sql) for sql in description.sql}
            for description in descriptions
        }

    def begin(self, revision: str) -> None:
        """Assign the following statements to a revision."""
        self.parts.append(StatementGroup("revision", revision))

    def listen(self, engine: sa.Engine, file: bool) -> None:
        """Record each statement as the server gets it; for a database file SQLite's trace callback reports them."""

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
        # SQLite's trace also reports, as a comment, the statements of a trigger.
        inside = text.startswith("--") and "\n" not in text
        if not self.listening or inside or text.upper().startswith(_SESSION):
            return
        part = self.parts[-1]
        asked = recovery.kind(text, None) is recovery.Kind.QUERY
        # A SELECT of the revision itself is kept, because it may change something: SELECT setval(…).
        if not asked or comparable_sql(text) in self._queries.get(part.revision or "", ()):
            part.sql.append(text if text.endswith(";") else f"{text};")


class _RecordingAccess(RevisionAccess):
    """Assigns the recorded statements to the revision that is running."""

    recorder: _StatementRecorder

    def before(self, connection: sa.Connection, revision: str) -> None:
        """Start recording for the revision, then prepare access as in a job."""
        self.recorder.begin(revision)
        super().before(connection, revision)


def comparable_sql(sql: str) -> str:
    """Return a statement as it is compared with another: without IF NOT EXISTS, the semicolon and repeated blanks.

    Args:
        sql: one statement.
    """
    return " ".join(sql.replace("IF NOT EXISTS ", "").split()).rstrip("; ")
