"""Runs a revision's functions with operations that are recorded instead of executed; no database is used."""

import contextlib
import io
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.operations import BatchOperations, MigrateOperation, Operations, ops
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy.engine.mock import MockConnection

from ringfence.schema import alembic_compat, sqlalchemy_compat


@dataclass(frozen=True)
class RecordedOperation:
    """One operation that a revision called."""

    operation: MigrateOperation
    line: int
    """The line of the migration file that called it."""
    batch: bool = False
    """Whether it is part of a batch, for which SQLite may copy the table."""
    autocommit: bool = False
    """Whether it runs outside the revision's transaction."""


@dataclass
class Recording:
    """What one function of a revision called, in order."""

    done: list[RecordedOperation] = field(default_factory=list)
    whole: list[RecordedOperation] = field(default_factory=list)
    """The same, together with types, tables and sequences that SQLAlchemy elements create or drop on the connection."""
    error: BaseException | None = None
    """The exception that it raised after the last operation."""
    line: int = 1
    """The line of the migration file where it was raised."""
    missing: bool = False
    """Whether the revision has no such function."""
    asked: bool = False
    """Whether it used the connection or the migration context, and so may behave differently on another dialect."""


class _EmptyResult:
    """The result of a query without a database: no rows."""

    rowcount = 0
    inserted_primary_key = None

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name in {"scalar", "first", "fetchone", "scalar_one_or_none", "one_or_none"}:
            return lambda *args: None
        if name in {"fetchall", "all", "fetchmany", "keys"}:
            return lambda *args: []
        if name in {"mappings", "scalars", "unique", "tuples"}:
            return lambda *args: self
        raise AttributeError(f"without a database there is no {name!r} of a result")


class _Bind(MockConnection):
    """The connection that `op.get_bind()` returns: it accepts statements and returns no rows."""

    def exec_driver_sql(self, statement: str, *args: Any) -> Any:
        return self.execute(sa.text(statement))

    def scalar(self, statement: Any, *args: Any) -> Any:
        return self.execute(statement).scalar()

    def scalars(self, statement: Any, *args: Any) -> Any:
        return self.execute(statement).scalars()

    def begin_nested(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


def record(scripts: ScriptDirectory, script: Script, function: str, dialect: str) -> Recording:
    """Run `upgrade` or `downgrade` of a revision for a dialect, and record what it calls.

    Use `Migrations.recording`, which does this once.

    Args:
        scripts: the migrations.
        script: the revision.
        function: `upgrade` or `downgrade`.
        dialect: SQLAlchemy's name of the dialect; its driver need not be installed.

    Returns:
        The operations, and the exception that the function raised, if any.
    """
    recording = Recording()
    call = getattr(script.module, function, None)
    if call is None:
        recording.missing = True
        return recording
    alembic_compat.install()
    migration = MigrationContext.configure(
        dialect_name=dialect, opts={"as_sql": True, "output_buffer": io.StringIO()}
    )
    pen = _Recorder(migration, script.path, recording)
    environment = EnvironmentContext(Config(), scripts)
    alembic_compat.use_migration_context(environment, migration, pen.context)
    with alembic_compat.preserved_state(), environment, Operations.context(migration) as operations:
        pen.take(operations)
        vars(operations)["batch_alter_table"] = pen.batch_alter_table
        try:
            call()
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - the deployment's own code runs here, and may raise anything
            recording.error = error
            frames = traceback.extract_tb(error.__traceback__)
            recording.line = next((f.lineno or 1 for f in reversed(frames) if f.filename == script.path), 1)
    return recording


class _Recorder:
    """Records the operations of one call."""

    def __init__(self, migration: MigrationContext, path: str, recording: Recording) -> None:
        self._migration = migration
        self._path = path
        self._recording = recording
        self._autocommit = False
        self._bind = _Bind(migration.dialect, self._executed)
        vars(migration)["autocommit_block"] = self._autocommit_block

    def take(self, operations: Operations | BatchOperations, *, in_batch: bool = False) -> None:
        """Replace the methods that would execute an operation by recording ones."""

        def invoke(operation: MigrateOperation) -> Any:
            return self._write(operation, in_batch=in_batch)

        vars(operations).update(invoke=invoke, get_bind=self.bind, get_context=self.context)

    def bind(self) -> MockConnection:
        """Return the substitute for the connection."""
        self._recording.asked = True
        return self._bind

    def context(self) -> MigrationContext:
        """Return the substitute for the migration context."""
        self._recording.asked = True
        return self._migration

    @contextlib.contextmanager
    def batch_alter_table(
        self, table_name: str, schema: str | None = None, *args: Any, **more: Any
    ) -> Iterator[BatchOperations]:
        """Record a batch like `op.batch_alter_table`, without executing it at the end."""
        operations = alembic_compat.batch_operations(self._migration, table_name, schema)
        self.take(operations, in_batch=True)
        yield operations

    @contextlib.contextmanager
    def _autocommit_block(self) -> Iterator[None]:
        self._autocommit = True
        try:
            yield
        finally:
            self._autocommit = False

    def _executed(self, statement: Any, *args: Any) -> Any:
        # Creating or dropping a type touches no table; any other statement counts as `op.execute`.
        if not sqlalchemy_compat.creates_or_drops(statement):
            self._write(ops.ExecuteSQLOp(statement), in_batch=False)
        else:
            self._recording.whole.append(RecordedOperation(ops.ExecuteSQLOp(statement), self._line()))
        return _EmptyResult()

    def _write(self, operation: MigrateOperation, *, in_batch: bool) -> Any:
        if isinstance(operation, ops.AlterColumnOp):
            for word in ("modify_type", "existing_type"):  # Alembic accepts a type's class, too
                kind = getattr(operation, word)
                setattr(operation, word, None if kind is None else sa.types.to_instance(kind))
        done = RecordedOperation(operation, self._line(), batch=in_batch, autocommit=self._autocommit)
        self._recording.done.append(done)
        self._recording.whole.append(done)
        if isinstance(operation, ops.CreateTableOp):
            return operation.to_table(self._migration)  # for op.bulk_insert
        return None

    def _line(self) -> int:
        """Return the line of the migration file that is being executed."""
        frame: FrameType | None = sys._getframe()  # noqa: SLF001 - only the call stack knows the line
        while frame is not None:
            if frame.f_code.co_filename == self._path:
                return frame.f_lineno
            frame = frame.f_back
        return 1
