"""The migration job: checks the database, takes the lock, runs the pending revisions and applies the manifest."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError

from ringfence.runtime.settings import Secret, Settings
from ringfence.schema.autogenerate.options import differences, missing_views
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend, Findings, HeldLock, check_engine, reach
from ringfence.schema.engines.stable_reads import undisturbed
from ringfence.schema.errors import AccessDrift, Drift, JobFailed, SchemaError
from ringfence.schema.grants import passwords
from ringfence.schema.job import contract_guard
from ringfence.schema.job.environment import AlembicRun
from ringfence.schema.job.prerequisites import unmet
from ringfence.schema.job.revision_access import RevisionAccess
from ringfence.schema.lint import Finding
from ringfence.schema.lint.pending import Pending, lint_pending, pending_of, raise_on_errors
from ringfence.schema.mirror import check_mirrors, write_mirrors
from ringfence.schema.privileges import definitions
from ringfence.schema.privileges.apply import Applied, apply
from ringfence.schema.privileges.password_strength import refuse_weak
from ringfence.schema.privileges.plan import make_plan
from ringfence.schema.privileges.planned import Plan
from ringfence.schema.privileges.unmanaged_roles import blocking_logins
from ringfence.schema.state import releases
from ringfence.schema.text import Say, counted


@dataclass
class Report:
    """What a job found and did."""

    engine: str = ""
    version: str = ""
    server: str = ""
    revision: str | None = None
    applied: list[str] = field(default_factory=list)
    """The revisions that this job applied, oldest first."""
    releases: int = 0
    accounts: int = 0
    access: Applied = field(default_factory=Applied)
    """What the final apply changed, including the grants made in the revisions' own transactions."""
    findings: list[Finding] = field(default_factory=list)
    """The lint findings on the pending revisions, none of them an error unless the job ran with `force`."""
    not_linted: str | None = None
    """The reason given for skipping the lint; None when it ran."""
    warnings: list[str] = field(default_factory=list)
    mirrors_written: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, object]:
        """Return the report as a dictionary that can be written as JSON."""
        return {
            "engine": self.engine,
            "version": self.version,
            "server": self.server,
            "revision": self.revision,
            "applied": self.applied,
            "releases": self.releases,
            "accounts": self.accounts,
            "access": self.access.as_dict(),
            "findings": [finding.as_dict() for finding in self.findings],
            "not_linted": self.not_linted,
            "warnings": self.warnings,
            "mirrors_written": self.mirrors_written,
            "seconds": round(self.seconds, 3),
        }


def migrate(
    deployment: Deployment,
    env: Mapping[str, str] | None = None,
    *,
    adopt: bool = False,
    with_mirrors: bool = False,
    allow_weak: bool = False,
    resolve: str | None = None,
    expand: bool = False,
    force: str | None = None,
    no_lint: str | None = None,
    mirrors: tuple[Path, ...] = (),
    say: Say = lambda text: None,
    on_plan: Callable[[Plan], None] = lambda plan: None,
) -> Report:
    """Bring the database to the head of the migrations, and the accounts to what the manifest says.

    Args:
        deployment: the deployment to migrate.
        env: environment variables with the admin's login (`DB_*`) and the accounts' passwords; the process's own
            environment when None.
        adopt: whether existing accounts that Ringfence does not manage yet may be adopted.
        with_mirrors: whether to write outdated mirrors at the end; otherwise an outdated mirror raises Drift at the
            beginning.
        allow_weak: whether to accept weak passwords, if ringfence.toml allows that.
        resolve: the operator's decision about a half-finished revision: `done` (what was sent took effect) or `again`
            (it did not, so it is sent again).
        expand: whether to stop before the first contract revision.
        force: the reason for running a contract revision although something still uses what it removes, and despite
            lint errors; it is recorded.
        no_lint: the reason for skipping the lint, for the report; None to lint the pending revisions.
        mirrors: folders with the mirrors of running services; the deployment's own when empty.
        say: called with a line of text for each step of the job.
        on_plan: called with the access plan before its first statement is sent.

    Returns:
        What the job found and did.

    Raises:
        BadSettings: the environment is wrong, or passwords are missing or weak; nothing was changed.
        AccessDenied, Unavailable, NotReady: the server refuses the admin, cannot be reached, or stays locked for too
            long.
        JobFailed: an obstacle found before the first change, or the statement that failed.
        UnsafeRevisions: a lint error in a pending revision; nothing was changed.
        Drift: a mirror is outdated and nothing was changed; or the job finished, and the accounts differ from the
            manifest (AccessDrift) or the schema differs from the models.
    """
    began = time.monotonic()
    settings = Settings.from_env(env)
    say(f"reaching {settings}")
    backend = reach(settings, say)
    check_engine(deployment, backend)
    report = Report(backend.identity.engine, backend.identity.version, str(settings))
    report.accounts = len(deployment.accounts)
    preflight(deployment, backend, report)
    secrets: dict[str, Secret] = {}
    if backend.accounts is not None:
        secrets = passwords.from_environment(
            deployment.accounts.values(), env, deployment.policy.passwords, deployment.root
        )
        refuse_weak(deployment, secrets, settings.secret(), env, allow=allow_weak)
    with backend.lock(patience=settings.ready_timeout, say=say) as lock:
        _refuse_foreign_logins(deployment, backend, adopt=adopt)
        to, pending = "head", pending_of(deployment, backend)
        if expand and (to := contract_guard.before_contract(backend, pending)) != "head":
            pending = pending_of(deployment, backend, to)
        _refuse_unmet(deployment, backend, pending)
        report.warnings += contract_guard.check(deployment, backend, pending, force=force)
        report.revision = pending.head
        if no_lint is None:
            say(f"looking at {counted(len(pending.revisions), 'revision')}")
            report.findings = list(lint_pending(deployment, pending, mirrors))
            if force is None:
                raise_on_errors(report.findings)
        report.not_linted = no_lint
        if not with_mirrors:
            _refuse_stale(deployment)
        around = RevisionAccess(deployment, backend, pending.scripts, pending.revisions, say)
        with _telling(report):
            upgrade(deployment, backend, lock, report, say, resolve=resolve, to=to, around=around)
            lock.check()
            say("comparing the accounts with the manifest")
            report.access = apply(backend, deployment, secrets, adopt=adopt, say=say, look=on_plan)
            report.warnings += report.access.warnings
            if report.access.statements:
                report.warnings += _verify_access(deployment, backend)
            report.access.granted += around.granted
            report.access.statements[:0] = around.statements
            contract_guard.record_uses(deployment, backend)
            with backend.engine().connect() as connection:
                definitions.record(connection, backend, deployment)
            _look_at_releases(backend, report)
            if to == "head":  # stopped before a contract revision, the database still differs from the models
                _verify(deployment, backend, report, say)
    if with_mirrors:
        report.mirrors_written = [file.service for file in write_mirrors(deployment)]
    report.seconds = time.monotonic() - began
    return report


def preflight(deployment: Deployment, backend: Backend, report: Report) -> None:
    """Check the server and the admin's privileges before anything is changed.

    Args:
        deployment: the deployment to migrate.
        backend: the database; it is only read.
        report: the job's report, to which warnings are added.

    Raises:
        JobFailed: the job cannot begin; the message lists every obstacle.
    """

    def read() -> Findings:
        with backend.engine().connect() as connection:
            found = backend.preflight(connection, deployment)
            now = backend.check_environment(connection)
        return Findings(found.errors + now.errors, found.warnings + now.warnings)

    found = undisturbed(read)
    if found.errors:
        raise JobFailed(_CANNOT_BEGIN + "\n  ".join(found.errors))
    report.warnings += found.warnings


_CANNOT_BEGIN = "the job cannot begin, and changed nothing:\n  "


def _refuse_foreign_logins(deployment: Deployment, backend: Backend, *, adopt: bool) -> None:
    """Refuse logins of the manifest that exist already and either may not be adopted or have too many privileges.

    This runs before any DDL, and under the lock, because another job may be creating these accounts at the moment.

    Raises:
        JobFailed: such logins exist.
    """
    with backend.engine().connect() as connection:
        refused = blocking_logins(connection, backend, deployment, adopt=adopt)
    if refused:
        raise JobFailed(_CANNOT_BEGIN + "\n  ".join(refused))


def _refuse_unmet(deployment: Deployment, backend: Backend, pending: Pending) -> None:
    """Refuse the job when a pending revision would fail, or overwrite a view or policy that was changed by hand.

    Raises:
        JobFailed: a schema is missing and no revision creates it, a view depends on a column that a revision alters, or
            a definition was replaced outside Ringfence.
    """
    with backend.engine().connect() as connection:
        found = unmet(deployment, backend, connection, pending)
        found += definitions.unresolved(connection, backend, pending)
    if found:
        raise JobFailed(_CANNOT_BEGIN + "\n  ".join(found))


@contextmanager
def _telling(report: Report) -> Iterator[None]:
    """Add the revisions that were already applied, and stay applied, to the error of a job that fails."""
    try:
        yield
    except SchemaError as error:
        if report.applied:
            error.details = {**error.details, "applied": report.applied}
            waits = (
                "; grants that wait come with a run that ends, as one with --expand does before a contract"
            )
            error.add_note(
                f"applied before that, and they stay: {', '.join(report.applied)}{waits if report.accounts else ''}"
            )
        raise


def upgrade(
    deployment: Deployment,
    backend: Backend,
    lock: HeldLock,
    report: Report,
    say: Say,
    *,
    resolve: str | None = None,
    to: str = "head",
    around: RevisionAccess | None = None,
) -> None:
    """Run `alembic upgrade` while holding the job's lock.

    Args:
        deployment: the deployment to migrate.
        backend: the database.
        lock: the lock that the job holds.
        report: the job's report, to which applied revisions are added.
        say: called with a line of text for each applied revision.
        resolve: the operator's decision about a half-finished revision: `done` or `again`.
        to: the revision to upgrade to.
        around: what to do with the accounts' access before and after each revision; None for nothing.

    Raises:
        JobFailed: Alembic or a revision fails.
    """

    def applied(revision: str) -> None:
        if revision not in report.applied:  # retried after a lost commit
            report.applied.append(revision)
            say(f"applied {revision}")

    try:
        command.upgrade(AlembicRun(deployment, backend, lock, applied, say, resolve, around).config(), to)
    except CommandError as error:
        raise JobFailed(f"Alembic cannot go to head: {error}") from error


def _verify(deployment: Deployment, backend: Backend, report: Report, say: Say) -> None:
    """Check that every node has the schema of the models, whether or not this job changed it.

    Raises:
        Drift: something of the models is missing in the database or differs there.
        JobFailed: the nodes have different schemas.
    """
    report.warnings += missing_views(deployment, backend)
    say("comparing the schema with the models")
    schemas = {table.schema for table in deployment.tables.values()} | {None}
    with backend.engine().connect() as connection:
        wrong, unproven = backend.compare_nodes(connection, schemas)
    report.warnings += unproven
    if wrong:
        raise JobFailed("the nodes do not agree on the schema:\n  " + "\n  ".join(wrong))
    found = differences(deployment, backend)
    report.warnings += [f"the database has more than the models: {what}" for what in found.beyond]
    report.warnings += [found.left] if found.left else []
    if found.lacking:
        raise Drift(
            f"the database is at {report.revision}, and is not what the models say:\n  "
            + "\n  ".join(found.lacking)
            + "\nwhere the models are right, write a revision for it with `ringfence revision -m …`"
        )


def _verify_access(deployment: Deployment, backend: Backend) -> list[str]:
    """Check after an apply that the accounts hold what the manifest says.

    Returns:
        Warnings for statements that the server accepts without effect, such as PostgreSQL's REVOKE of a privilege that
        another role granted; `access verify` shows whether an account lacks anything.

    Raises:
        AccessDrift: statements are left to do that would have an effect.
    """
    with backend.engine().connect() as connection:
        plan = make_plan(connection, backend, deployment, None)
        idle = _without_effect(connection, backend, deployment, plan)
    if left := [statement for statement in plan.sql() if statement not in idle]:
        rest = "\n  ".join(left)
        raise AccessDrift(
            "the accounts were made what the manifest says, and are not: a trigger of the server's, or another"
            f" administrator, changed them meanwhile; this would be left to do:\n  {rest}",
            plan.as_dict(),
        )
    return [
        f"the server takes this and does nothing, for the admin may not: {statement}" for statement in idle
    ]


def _without_effect(
    connection: sa.Connection, backend: Backend, deployment: Deployment, plan: Plan
) -> list[str]:
    """Return the statements of a plan that are still planned after they have been sent; everything is rolled back."""
    if not plan.steps or backend.accounts is None or not backend.accounts.atomic:
        return []
    try:
        for step in plan.steps:
            connection.exec_driver_sql(step.statement.sql, step.statement.parameters)
        return make_plan(connection, backend, deployment, None).sql()
    except sa.exc.DBAPIError:  # a failing statement is real drift, and is reported as such
        return []
    finally:
        connection.rollback()


def _look_at_releases(backend: Backend, report: Report) -> None:
    """Store the number of recorded releases in the report."""
    with backend.engine().connect() as connection:
        report.releases = len(releases.recorded(connection))


def _refuse_stale(deployment: Deployment) -> None:
    """Refuse outdated mirrors: the applied schema and the mirrors that services read must come from one commit.

    Raises:
        Drift: a mirror differs from what models and manifest generate.
    """
    if drift := check_mirrors(deployment):
        stale = ", ".join(f"{file.path.name} ({file.state})" for file in drift)
        raise Drift(
            f"these mirrors do not agree with models and manifest, and nothing was done: {stale}; write them with"
            " `ringfence mirror` and commit them, or say --write-mirrors; where the models were changed, `ringfence"
            " revision -m …` writes the migration and the mirrors"
        )
