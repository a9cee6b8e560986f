"""Write revisions for the differences between models and migrations, and the mirrors that they change."""

import tempfile
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.operations import ops
from alembic.script import Script
from alembic.util import CommandError

from ringfence.runtime.errors import BadSettings
from ringfence.runtime.settings import Settings
from ringfence.schema.autogenerate.declared_types import Declared
from ringfence.schema.autogenerate.enums import labels_changed
from ringfence.schema.autogenerate.hooks import RUN_ATTRIBUTE, AutogenerateRun
from ringfence.schema.autogenerate.options import missing_views
from ringfence.schema.autogenerate.renames import Renames
from ringfence.schema.backfills.declared import write_backfills
from ringfence.schema.comparison.manual_changes import remove_manual_changes
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend, absent, reach, scratch
from ringfence.schema.errors import JobFailed
from ringfence.schema.job.environment import AlembicRun, configuration
from ringfence.schema.lint import Finding, lint
from ringfence.schema.lint.check import at_head
from ringfence.schema.mirror import MirrorFile, write_mirrors
from ringfence.schema.revisions.heads import one_head
from ringfence.schema.revisions.selection import scripts_of
from ringfence.schema.sql.table_keys import key_of

_PATIENCE = 30.0
"""Seconds to wait for the lock of another migration job."""
_BEHIND = (
    " It is compared with the models: bring it to head with `ringfence migrate` (an SQLite file with `ringfence"
    " bootstrap`), or unset DB_* to compare with a scratch file"
)


@dataclass
class RevisionResult:
    """The files that were written; `paths` is empty if the models do not differ from the migrations."""

    paths: tuple[Path, ...] = ()
    revisions: tuple[str, ...] = ()
    """The ids of the revisions, oldest first; each one follows the one before it."""
    mirrors: tuple[MirrorFile, ...] = ()
    backfills: Mapping[Path, str] = field(default_factory=dict)
    """Each backfill file with what a person must add before it can run; "" if it is complete."""
    findings: tuple[Finding, ...] = ()
    """The lint findings of the revisions."""
    warnings: tuple[str, ...] = ()
    """What the revisions do not cover: missing views, manual changes, and objects that are not the deployment's."""
    by_hand: tuple[str, ...] = ()
    """Differences that no operation can express; each is also in a warning."""

    @property
    def path(self) -> Path | None:
        """The file of the first revision; None if none was written."""
        return self.paths[0] if self.paths else None

    @property
    def revision(self) -> str | None:
        """The id of the last revision, which is the new head; None if none was written."""
        return self.revisions[-1] if self.revisions else None


@dataclass
class _Seen:
    """Collects what autogenerate finds, before it writes."""

    metadata: Sequence[sa.MetaData]
    declared: Declared
    touched: dict[str, frozenset[str]] = field(default_factory=dict)
    empty: bool = True
    by_hand: list[str] = field(default_factory=list)
    """Differences that no operation can express."""

    def look(self, context: object, revision: object, directives: list[Any]) -> None:
        """Receive the directives that Alembic is about to write; if they are cleared, it writes nothing."""
        script = directives[0]
        self.by_hand += remove_manual_changes(script.upgrade_ops)
        if script.upgrade_ops.is_empty():  # not every engine stores the labels of enums in the database
            script.upgrade_ops.ops += labels_changed(self.metadata, self.declared)
        self.empty = script.upgrade_ops.is_empty()
        if self.empty:
            directives.clear()
        else:
            for key, column in _columns(script.upgrade_ops):
                self.touched[key] = self.touched.get(key, frozenset()) | {column}


def revise(
    deployment: Deployment,
    message: str,
    env: Mapping[str, str],
    *,
    autogenerate: bool = True,
    renames: Renames | None = None,
) -> RevisionResult:
    """Write a revision and the mirrors that it changes; several revisions if running services need separate steps.

    Lint findings are part of the result and do not prevent writing, because a person can still edit the revision.

    Args:
        deployment: the deployment.
        message: what the revision does, in a few words.
        env: environment variables that name the database to compare with, which must be at head. If they name none, a
            scratch SQLite file is migrated to head, which requires SQLite among the deployment's engines. Not used
            without `autogenerate`.
        autogenerate: whether to compare the models; otherwise the revision is empty, to be written by hand.
        renames: declared renames and drops, and the callbacks that ask for others.

    Raises:
        Ambiguous: no option decides whether a removed and an added name are a rename.
        BadRename: a declared rename or drop does not match the differences.
        Unconfirmed: a drop is not confirmed.
        BadSettings: the environment names no database, and the deployment has no SQLite for a scratch file.
        JobFailed: Alembic refuses to write the revision; the message has the reason.
        RingfenceError: the database cannot be used.
    """
    if deployment.migrations.is_dir():
        one_head(deployment, scripts_of(deployment))
    if not autogenerate:
        return _empty(deployment, message)
    known = at_head(deployment)
    seen = _Seen(deployment.metadata, known.types())
    found = AutogenerateRun(renames or Renames(), known.types(), known.defaults())
    with _alembic(deployment, env) as (config, backend):
        config.attributes[RUN_ATTRIBUTE] = found
        found.count_rows = not _is_scratch(env)
        warnings = tuple(missing_views(deployment, backend))
        try:
            given = command.revision(
                config, message=message, autogenerate=True, process_revision_directives=seen.look
            )
        except CommandError as error:
            way = _BEHIND if "not up to date" in str(error) else ""
            raise JobFailed(f"no revision was written: {error}{way}") from error
    by_hand = (
        f"no operation does this, so write it by hand (`ringfence revision --empty`): {what}"
        for what in seen.by_hand
    )
    warnings = (*warnings, *by_hand, *([found.foreign_objects] if found.foreign_objects else []))
    scripts = _written(given)
    if not scripts:
        return RevisionResult(warnings=warnings, by_hand=tuple(seen.by_hand))
    revisions = tuple(script.revision for script in scripts)
    mirrors = write_mirrors(deployment, seen.touched)
    return RevisionResult(
        tuple(Path(script.path) for script in scripts),
        revisions,
        mirrors,
        write_backfills(deployment, found.fills),
        lint(deployment, revisions),
        warnings,
        tuple(seen.by_hand),
    )


def _empty(deployment: Deployment, message: str) -> RevisionResult:
    """Write a revision without operations, to be written by hand.

    Raises:
        JobFailed: Alembic refuses to write the revision.
    """
    config = configuration(deployment)
    config.cmd_opts = Namespace(quiet=True, x=None)  # the caller reports what was written
    try:
        scripts = _written(command.revision(config, message=message))
    except CommandError as error:
        raise JobFailed(f"no revision was written: {error}") from error
    revisions = tuple(script.revision for script in scripts)
    return RevisionResult(
        tuple(Path(script.path) for script in scripts),
        revisions,
        write_mirrors(deployment, {}),
        findings=lint(deployment, revisions),
    )


def _written(given: Script | list[Script | None] | None) -> list[Script]:
    """Return the revisions that `command.revision` wrote: one, several, or none."""
    return [script for script in (given if isinstance(given, list) else [given]) if script is not None]


def _is_scratch(env: Mapping[str, str]) -> bool:
    """Whether no database is named, or an SQLite file that does not exist, so that a scratch file is used."""
    return not _named(env) or absent(Settings.from_env(env))


def _named(env: Mapping[str, str]) -> bool:
    return bool(env.get("DB_TYPE") or env.get("DATABASE_URL"))


@contextmanager
def _alembic(deployment: Deployment, env: Mapping[str, str]) -> Iterator[tuple[Config, Backend]]:
    """Yield Alembic's configuration for the database to compare with, and that database.

    Raises:
        BadSettings: no database is named, and the deployment has no SQLite for a scratch file.
    """
    if not _is_scratch(env) or (_named(env) and scratch(deployment.engines, Path()) is None):
        yield from _on(deployment, Settings.from_env(env), fresh=False)
        return
    with tempfile.TemporaryDirectory(prefix="ringfence-") as folder:
        settings = scratch(deployment.engines, Path(folder))
        if settings is None:
            raise BadSettings(
                "DB_TYPE is not set: a revision is the difference from a database that is at head; name one,"
                ' or add "sqlite" to the engines of ringfence.toml, so that a scratch file can serve'
            )
        yield from _on(deployment, settings, fresh=True)


def _on(deployment: Deployment, settings: Settings, *, fresh: bool) -> Iterator[tuple[Config, Backend]]:
    backend = reach(settings, existing=not fresh)
    with (
        backend.locks.hold(patience=_PATIENCE, on_message=lambda text: None) as held,
        AlembicRun(deployment, backend, held).current() as config,
    ):
        config.cmd_opts = Namespace(quiet=True, x=None)  # the caller reports what was written
        if fresh:
            command.upgrade(config, "head")
        yield config, backend


def _columns(found: ops.OpContainer) -> Iterator[tuple[str, str]]:
    """Yield (table, column) of the columns that the operations create, change or drop."""
    for operation in found.ops:
        if isinstance(operation, ops.OpContainer):
            yield from _columns(operation)
        elif isinstance(operation, ops.CreateTableOp):
            key = key_of(operation.schema, operation.table_name)
            yield from ((key, column.name) for column in operation.columns if hasattr(column, "name"))
        elif isinstance(operation, ops.AddColumnOp):
            yield key_of(operation.schema, operation.table_name), operation.column.name
        elif isinstance(operation, ops.DropColumnOp | ops.AlterColumnOp):
            yield key_of(operation.schema, operation.table_name), operation.column_name
