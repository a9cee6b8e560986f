"""The Alembic environment of a deployment; with it, plain `alembic` also takes the lock and records releases.

A deployment's `migrations/env.py` consists of `from ringfence.schema.job.environment import run` and `run()`.
"""

import logging.config
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import ScriptDirectory

from ringfence.runtime.errors import RingfenceError
from ringfence.runtime.settings import Settings
from ringfence.schema.alembic_compat import command_steps, install
from ringfence.schema.autogenerate.options import options
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend, HeldLock, check_engine, offline, reach
from ringfence.schema.errors import JobFailed
from ringfence.schema.job.journal import RESOLUTIONS, Journal
from ringfence.schema.job.recorder import Recorder
from ringfence.schema.job.rehearsal_journal import NullJournal
from ringfence.schema.job.revision_access import RevisionAccess
from ringfence.schema.job.revision_steps import LockRetries, Steps
from ringfence.schema.state import releases
from ringfence.schema.text import MessageCallback

_log = logging.getLogger("ringfence.migrate")


@dataclass(frozen=True)
class AlembicRun:
    """What Alembic runs for: a migration job that holds the lock, or Alembic's own command line."""

    deployment: Deployment
    backend: Backend
    lock: HeldLock | None
    """None when the command only reads."""
    applied: MessageCallback = lambda revision: None
    """Called with each revision that was applied or reverted."""
    on_message: MessageCallback = _log.warning
    resolve: str | None = None
    """The operator's decision about a half-finished revision: `done` or `again`."""
    access: RevisionAccess | None = None
    """What is done with the accounts' access before and after each revision; None with Alembic alone."""
    connection: sa.Connection | None = None
    """The connection of a rehearsal, which commits nothing; None to open a new connection."""

    @contextmanager
    def current(self) -> Iterator[Config]:
        """Make this the run that `env.py` finds, and yield Alembic's configuration for the commands within."""
        token = _CURRENT.set(self)
        try:
            yield configuration(self.deployment)
        finally:
            _CURRENT.reset(token)


_CURRENT: ContextVar[AlembicRun | None] = ContextVar("ringfence-alembic-run", default=None)
"""The run in whose commands Alembic executes `env.py`; None on Alembic's own command line."""


def configuration(deployment: Deployment) -> Config:
    """Return Alembic's configuration of a deployment, read from its `alembic.ini` if it has one."""
    install()
    ini = deployment.root / "alembic.ini"
    config = Config(str(ini)) if ini.is_file() else Config()
    config.set_main_option("script_location", str(deployment.migrations).replace("%", "%%"))
    return config


def run() -> None:
    """Run the current Alembic command in the environment of the deployment that the migrations belong to.

    Raises:
        RingfenceError: the deployment is wrong, the database cannot be reached, or a revision fails.
        SystemExit: the same on Alembic's own command line, which then prints the message instead of a traceback.
    """
    try:
        _run()
    except RingfenceError as error:
        if context.config.cmd_opts is None or _CURRENT.get() is not None:
            raise
        raise SystemExit(str(error)) from error


def _run() -> None:
    install()
    config = context.config
    job = _CURRENT.get()
    if job is None and config.config_file_name and _has_loggers(Path(config.config_file_name)):
        logging.config.fileConfig(config.config_file_name, disable_existing_loggers=False)
    deployment = job.deployment if job else Deployment.load(ScriptDirectory.from_config(config).dir)
    if context.is_offline_mode():
        _print_sql(deployment)
    elif job:
        _migrate(job)
    else:
        _run_alone(deployment)


def _has_loggers(ini: Path) -> bool:
    return ini.is_file() and "[loggers]" in ini.read_text(encoding="utf-8")


def _run_alone(deployment: Deployment) -> None:
    """Run an Alembic command outside a job; it takes the lock only if it changes the database."""
    settings = Settings.from_env()
    backend = reach(settings, _log.warning, existing=not _changes())
    check_engine(deployment, backend)
    lock: AbstractContextManager[HeldLock | None] = nullcontext()
    if _changes():
        lock = backend.locks.hold(patience=settings.ready_timeout, on_message=_log.warning)
    with lock as held:
        _migrate(AlembicRun(deployment, backend, held, resolve=_resolution()))


def _resolution() -> str | None:
    """Return the value of `-x resolve=…`, or None.

    Raises:
        JobFailed: the value is neither `done` nor `again`.
    """
    word = context.get_x_argument(as_dictionary=True).get("resolve")
    if word is not None and word not in RESOLUTIONS:
        raise JobFailed(f"-x resolve={word}: it is one of {', '.join(RESOLUTIONS)}")
    return word


def _changes() -> bool:
    """Return whether the command is upgrade, downgrade or stamp: only these have a target revision."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


def _migrate(job: AlembicRun) -> None:
    """Run the steps of the command and retry after lock timeouts; the journal skips statements that took effect."""
    retries = LockRetries(job.backend, job.on_message)
    journal = Journal(
        job.backend,
        resolve=job.resolve,
        wait_timeout=job.backend.settings.ready_timeout,
        on_message=job.on_message,
    )
    # Read once: `_run_steps` configures the environment with a wrapped function, which a retry must not wrap again.
    command = command_steps()
    if job.connection is not None:
        with retries:
            _run_steps(job, job.connection, NullJournal(job.backend), retries, command)
        return
    engine = job.backend.engine(migrating=True)
    journal.listen(engine)
    while True:
        with retries, engine.connect() as connection:
            _run_steps(job, connection, journal, retries, command)
            return


def _run_steps(
    job: AlembicRun,
    connection: sa.Connection,
    journal: Journal,
    retries: LockRetries,
    steps: Callable[[Any, Any], Iterable[Any]],
) -> None:
    recorder = Recorder(job.deployment, job.backend, context.script, job.lock, job.applied, journal)
    if job.lock is not None:
        steps = Steps(job, recorder, journal, retries, steps)
    context.configure(
        connection=connection,
        fn=steps,
        transaction_per_migration=True,
        transactional_ddl=job.backend.features.transactional_ddl,
        on_version_apply=recorder,
        **options(job.deployment, job.backend),
    )
    migration = context.get_context()
    if job.lock is not None:
        job.lock.register_session(connection)
        recorder.begin(connection, migration.get_current_heads())
    # The filters for warnings that a revision, or a batch on SQLite, adds are those of this run, not of the process.
    with warnings.catch_warnings(), context.begin_transaction():
        context.run_migrations()
    connection.commit()


def _print_sql(deployment: Deployment) -> None:
    """Print the SQL of the revisions and of their release records, for Alembic's offline mode."""
    backend = offline(Settings.from_env(), deployment.engines)
    context.configure(
        url=backend.url(),
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
        transaction_per_migration=True,
        transactional_ddl=backend.features.transactional_ddl,
        on_version_apply=_PrintedRecorder(context.script),
        **options(deployment, backend),
    )
    with context.begin_transaction():
        context.run_migrations()


class _PrintedRecorder:
    """Prints the statements that record a release; the columns a revision retires are known only on a real database."""

    def __init__(self, script: ScriptDirectory) -> None:
        self._script = script
        self._seq: int | None = None

    def __call__(
        self, ctx: MigrationContext, step: MigrationInfo, heads: Collection[Any], run_args: Mapping[str, Any]
    ) -> None:
        if self._seq is None:
            for table in releases.metadata.sorted_tables:
                ctx.execute(sa.schema.CreateTable(table, if_not_exists=True))
            before = releases.ancestors(self._script, step.down_revision_ids if step.is_upgrade else ())
            self._seq = len(before)
        if step.is_upgrade:
            for revision in step.up_revision_ids:
                self._seq += 1
                ctx.execute(releases.insertion(revision, self._seq))
        else:
            for revision in step.up_revision_ids:
                ctx.execute(sa.delete(releases.release).where(releases.release.c.revision == revision))
