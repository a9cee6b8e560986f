"""The steps of one Alembic command, each recorded in the journal and retried after lock timeouts."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext, RevisionStep

from ringfence.schema.engines import Backend, first_line
from ringfence.schema.engines.dependent_views import explanation
from ringfence.schema.errors import JobFailed
from ringfence.schema.job.journal import Journal, RestartRevision
from ringfence.schema.job.prerequisites import unrecorded
from ringfence.schema.job.recorder import Recorder
from ringfence.schema.revisions.lock_retries import LockSettings, lock_settings_of, pause
from ringfence.schema.text import MessageCallback

if TYPE_CHECKING:
    from ringfence.schema.job.environment import AlembicRun


class LockRetries:
    """Context around one run of the steps; it suppresses a lock timeout after a pause, and the caller tries again.

    Args:
        backend: the database.
        on_message: called with a line of text before each pause.
    """

    def __init__(self, backend: Backend, on_message: MessageCallback) -> None:
        self._backend = backend
        self._on_message = on_message
        self._tried: Counter[str] = Counter()
        self.revision: str | None = None
        """The revision that is running."""
        self.file = ""
        """Its file."""
        self.lock_settings = LockSettings()

    def __enter__(self) -> None:
        self.revision = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Return whether the steps are to be run again.

        Raises:
            JobFailed: the revision failed; the message leaves out the statement's parameters.
        """
        if isinstance(error, RestartRevision):
            return True
        if isinstance(error, sa.exc.PendingRollbackError):
            raise JobFailed(
                f"a migration failed, {self.revision} ({self.file}): it continues after an error that had ended its"
                " transaction, and nothing of it is stored: let the error end the revision"
            ) from error
        if not isinstance(error, sa.exc.DBAPIError):
            return False
        statement = " ".join((error.statement or "").split())
        if self.revision is not None and self._backend.locks.is_conflict(error):
            self._wait(self.revision, error, statement)
            return True
        what = "the database's current revision could not be read"
        if self.revision is not None:
            what = f"a migration failed, {self.revision} ({self.file})"
        raise JobFailed(f"{what}: {first_line(error)}\n  in: {statement}{explanation(error)}") from error

    def _wait(self, revision: str, error: sa.exc.DBAPIError, statement: str) -> None:
        self._tried[revision] += 1
        tried, settings = self._tried[revision], self.lock_settings
        if tried >= settings.tries:
            way = "".join(f"\n  blocking: {one}" for one in self._blocking_sessions())
            raise JobFailed(
                f"revision {revision} did not get a lock in {tried} tries of {settings.timeout:g} s:"
                f" {first_line(error)}\n  in: {statement}{way}\n  run the job again when there is less load, or set"
                " `lock_timeout` and `lock_tries` in the revision"
            ) from error
        seconds = pause(tried)
        self._on_message(
            f"revision {revision} did not get a lock within {settings.timeout:g} s (try {tried} of {settings.tries});"
            f" trying again in {seconds:.1f} s"
        )
        time.sleep(seconds)

    def _blocking_sessions(self) -> list[str]:
        with self._backend.engine().connect() as connection:
            return self._backend.sessions.long_transactions(connection)


class Steps:
    """The function from which Alembic gets the steps of a command: it wraps each revision.

    A wrapped revision gets its lock timeout, its access changes, its journal and its record.

    Args:
        job: the run.
        recorder: records the applied revisions.
        journal: records the statements of each revision.
        retries: retries after lock timeouts; it is told which revision runs.
        original: the function of the command.
    """

    def __init__(
        self,
        job: "AlembicRun",
        recorder: Recorder,
        journal: Journal,
        retries: LockRetries,
        original: Callable[[Any, Any], Iterable[Any]],
    ) -> None:
        self._job = job
        self._recorder = recorder
        self._journal = journal
        self._retries = retries
        self._original = original

    def __call__(self, heads: tuple[str, ...], migration: MigrationContext) -> Iterator[Any]:
        """Check all steps before the first one runs, then yield them."""
        steps = list(self._original(heads, migration))
        revisions = [step for step in steps if isinstance(step, RevisionStep)]
        for step in revisions:
            lock_settings_of(step.revision.module, step.revision.path)
        if len(revisions) == len(steps):  # a stamp is allowed even while a revision is half-finished
            self._journal.check((step.revision.revision, _direction(step)) for step in revisions)
        if revisions and not heads and not self._journal.half_finished:
            with self._job.backend.engine().connect() as connection:
                if found := unrecorded(self._job.deployment, self._job.backend, connection):
                    raise JobFailed(f"{found}; none of them was touched")
        for step in steps:
            if isinstance(step, RevisionStep):
                self._wrap(migration, step)
            yield step

    def _wrap(self, migration: MigrationContext, step: RevisionStep) -> None:
        run = step.migration_fn
        script = step.revision
        direction = _direction(step)

        def surrounded(**arguments: Any) -> None:
            connection = migration.connection
            if connection is None:
                raise JobFailed("a migration needs a connection")
            self._retries.revision = script.revision
            self._retries.file = self._job.deployment.display_path(Path(script.path).resolve())
            self._retries.lock_settings = lock_settings_of(script.module, script.path)
            self._job.backend.locks.set_timeout(connection, self._retries.lock_settings.timeout)
            before = self._recorder.before(connection, script.revision, direction)
            access = self._job.access if direction == "up" else None
            if access is not None:
                access.before(connection, script.revision)
            with self._journal.revision(migration, script.revision, direction, script.path, lambda: before):
                run(**arguments)
            if access is not None:
                access.after(migration.connection or connection, script.revision)

        step.migration_fn = surrounded


def _direction(step: RevisionStep) -> str:
    return "up" if step.is_upgrade else "down"
