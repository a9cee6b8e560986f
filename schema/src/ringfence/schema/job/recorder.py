"""Record releases and retired columns while Alembic runs, in each revision's own transaction where DDL has one."""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import ScriptDirectory

from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend, HeldLock
from ringfence.schema.errors import JobFailed
from ringfence.schema.job.journal import Journal
from ringfence.schema.revisions.contract import contract_of
from ringfence.schema.revisions.modelled_columns import modelled_columns
from ringfence.schema.sql.table_keys import split_key
from ringfence.schema.state import releases
from ringfence.schema.state.columns import ColumnPath
from ringfence.schema.text import MessageCallback, counted


class Recorder:
    """Keeps `ringfence_release` and `ringfence_retired` up to date; Alembic calls it after each step.

    Args:
        deployment: the deployment.
        backend: its database.
        script: the migrations.
        lock: the job's lock, checked before each commit; None for a command that only reads.
        applied: called with each revision that was applied or reverted.
        journal: the journal, from which finished revisions are removed.
    """

    def __init__(
        self,
        deployment: Deployment,
        backend: Backend,
        script: ScriptDirectory,
        lock: HeldLock | None,
        applied: MessageCallback,
        journal: Journal,
    ) -> None:
        self._deployment = deployment
        self._backend = backend
        self._script = script
        self._lock = lock
        self._applied = applied
        self._journal = journal
        self._schemas = {table.schema for table in deployment.tables.values()} | {None}
        self._columns: frozenset[ColumnPath] | None = None
        self._broken: Mapping[str, int] = {}

    def begin(self, connection: sa.Connection, heads: tuple[str, ...]) -> None:
        """Create Ringfence's tables, and record the revisions that were applied before Ringfence was used.

        Args:
            connection: the connection that runs the migrations; it is committed.
            heads: the database's current revisions.
        """
        releases.ensure(connection)
        connection.commit()
        known = {revision.revision for revision in self._script.walk_revisions()}
        if set(heads) <= known:  # otherwise Alembic reports the unknown revision
            releases.reconcile(connection, releases.ancestors(self._script, heads))
        self._journal.read(connection)
        connection.commit()

    def before(self, connection: sa.Connection, revision: str, direction: str) -> frozenset[ColumnPath]:
        """Return the columns of the deployment's schemas as they are before a revision.

        Args:
            connection: the connection that runs the revision.
            revision: the revision's name.
            direction: `up` or `down`.
        """
        # The models may have no other table in the schema of a table that is dropped.
        retires = contract_of(self._script.get_revision(revision)).retires
        schemas = {split_key(key)[0] for key in retires}
        if self._columns is None or not schemas <= self._schemas:
            self._schemas |= schemas
            self._columns = self._read_columns(connection)
            self._broken = self._backend.introspection.broken_references(connection)
        # A resumed revision may have dropped columns in its earlier run: the journal has them.
        self._columns = self._journal.before(revision, direction) or self._columns
        return self._columns

    def __call__(
        self, ctx: MigrationContext, step: MigrationInfo, heads: Collection[Any], run_args: Mapping[str, Any]
    ) -> None:
        """Record the step in its transaction, before Alembic commits it.

        Raises:
            JobFailed: there is no connection, or the revision leaves broken foreign keys.
        """
        connection = ctx.connection
        if connection is None:
            raise JobFailed("releases are recorded on a connection; offline, their statements are printed")
        if self._lock is not None:
            self._lock.check()
        seq = releases.reconcile(connection, releases.ancestors(self._script, heads))
        if self._columns is not None and not step.is_stamp:
            self._refuse_broken(connection, step)
            columns = self._read_columns(connection)
            if seq is not None and step.is_upgrade:
                releases.retire(connection, seq, self._columns, columns)
            self._columns = columns
        self._journal.finish(connection, () if step.is_stamp else step.up_revision_ids)
        for revision in step.up_revision_ids:
            self._applied(revision)

    def _read_columns(self, connection: sa.Connection) -> frozenset[ColumnPath]:
        """Return the present columns of the deployment's schemas; other schemas are ignored."""
        return frozenset(
            item
            for item in modelled_columns(self._deployment, self._backend.introspection, connection)
            if item[0] in self._schemas
        )

    def _refuse_broken(self, connection: sa.Connection, step: MigrationInfo) -> None:
        """Refuse a revision that leaves more rows with a broken foreign key than it found.

        Raises:
            JobFailed: it does; its transaction is rolled back.
        """
        broken = self._backend.introspection.broken_references(connection)
        worse = [
            f"{table} ({counted(count, 'row')})"
            for table, count in sorted(broken.items())
            if count > self._broken.get(table, 0)
        ]
        if worse:
            raise JobFailed(
                f"revision {step.up_revision_id} leaves foreign keys that point nowhere in {', '.join(worse)};"
                " it was rolled back: correct or delete those rows in the revision"
            )
