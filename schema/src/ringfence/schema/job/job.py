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
from ringfence.schema.autogenerate.options import compare_with_models, missing_views
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend, Findings, HeldLock, check_engine, reach
from ringfence.schema.engines.stable_reads import undisturbed
from ringfence.schema.errors import AccessDrift, Drift, JobFailed, SchemaError
from ringfence.schema.grants import passwords
from ringfence.schema.job import contract_guard, overrides
from ringfence.schema.job.environment import AlembicRun
from ringfence.schema.job.overrides import CONTRACT, Override
from ringfence.schema.job.prerequisites import unmet
from ringfence.schema.job.revision_access import RevisionAccess
from ringfence.schema.lint import Finding
from ringfence.schema.lint.pending import Pending, lint_pending, pending_of, raise_on_errors
from ringfence.schema.mirror import check_mirrors, write_mirrors
from ringfence.schema.privileges import replaced_objects
from ringfence.schema.privileges.apply import Applied, apply
from ringfence.schema.privileges.password_strength import refuse_weak
from ringfence.schema.privileges.plan import Plan, make_plan
from ringfence.schema.privileges.unmanaged_roles import blocking_logins
from ringfence.schema.state import releases
from ringfence.schema.text import MessageCallback, counted


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
    """The lint findings on the pending revisions; an error among them is also in `overrides`."""
    overrides: list[Override] = field(default_factory=list)
    """What would have stopped the job without `force`; each is also a row of `ringfence_override`."""
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
            "overrides": [override.as_dict() for override in self.overrides],
            "not_linted": self.not_linted,
            "warnings": self.warnings,
            "mirrors_written": self.mirrors_written,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class MigrateOptions:
    """What an operator may choose for one run of the job.

    Args:
        adopt: whether existing accounts that Ringfence does not manage yet may be adopted.
        write_mirrors: whether to write outdated mirrors at the end; otherwise an outdated mirror raises Drift at the
            beginning.
        allow_weak: whether to accept weak passwords, if ringfence.toml allows that.
        resolve: the operator's decision about a half-finished revision: `done` (what was sent took effect) or `again`
            (it did not, so it is sent again).
        expand: whether to stop before the first contract revision.
        force: the reason for running a contract revision although a service still uses what it removes; it covers the
            guard of contract revisions and the lint rules that depend on mirrors, and each finding that it overrides
            is recorded with it.
        no_lint: the reason for skipping the lint, for the report; None to lint the pending revisions.
        mirrors: folders with the mirrors of running services; the deployment's own when empty.
    """

    adopt: bool = False
    write_mirrors: bool = False
    allow_weak: bool = False
    resolve: str | None = None
    expand: bool = False
    force: str | None = None
    no_lint: str | None = None
    mirrors: tuple[Path, ...] = ()


@dataclass(slots=True)
class JobContext:
    """What the steps of one run read and leave for the steps after them."""

    deployment: Deployment
    env: Mapping[str, str] | None
    """Environment variables with the admin's login and the accounts' passwords; the process's own when None."""
    options: MigrateOptions
    backend: Backend
    report: Report
    on_message: MessageCallback
    on_plan: Callable[[Plan], None]
    """Called with the access plan before its first statement is sent."""
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    """Login -> password; set by `read_passwords`."""
    lock: HeldLock | None = None
    """The deployment's lock, while the steps under it run."""
    target: str = "head"
    """The revision that this run upgrades to; set by `find_pending`."""
    pending: Pending | None = None
    """The revisions to run; set by `find_pending`."""
    access: RevisionAccess | None = None
    """The changes of access around each revision; set by `upgrade_schema`."""

    def found(self) -> Pending:
        """Return the pending revisions, which the steps after `find_pending` need."""
        if self.pending is None:
            raise AssertionError("find_pending has not run")
        return self.pending

    def held(self) -> HeldLock:
        """Return the lock, which the steps under it need."""
        if self.lock is None:
            raise AssertionError("the lock is not held")
        return self.lock


Step = Callable[[JobContext], None]


def migrate(
    deployment: Deployment,
    env: Mapping[str, str] | None = None,
    options: MigrateOptions = MigrateOptions(),
    *,
    on_message: MessageCallback = lambda text: None,
    on_plan: Callable[[Plan], None] = lambda plan: None,
) -> Report:
    """Bring the database to the head of the migrations, and the accounts to what the manifest says.

    The job is a pipeline: `BEFORE` runs without the lock, `UNDER_LOCK` while it is held, `AFTER` when it was released.
    No check changes anything: the first change is the record of overrides, or the first revision.

    Args:
        deployment: the deployment to migrate.
        env: environment variables with the admin's login (`DB_*`) and the accounts' passwords; the process's own
            environment when None.
        options: what the operator chose.
        on_message: called with a line of text for each step of the job.
        on_plan: called with the access plan before its first statement is sent.

    Returns:
        What the job found and did.

    Raises:
        BadSettings: the environment is wrong, or passwords are missing or weak; nothing was changed.
        AccessDenied: the server refuses the admin.
        Unavailable: the server cannot be reached.
        NotReady: another job held the lock for too long.
        JobFailed: an obstacle found before the first change, or the statement that failed.
        UnsafeRevisions: a lint error in a pending revision; nothing was changed.
        Drift: a mirror is outdated and nothing was changed; or the job finished, and the accounts differ from the
            manifest (AccessDrift) or the schema differs from the models.
    """
    began = time.monotonic()
    settings = Settings.from_env(env)
    on_message(f"reaching {settings}")
    backend = reach(settings, on_message)
    check_engine(deployment, backend)
    report = Report(backend.identity.engine, backend.identity.version, str(settings))
    report.accounts = len(deployment.accounts)
    job = JobContext(deployment, env, options, backend, report, on_message, on_plan)
    for step in BEFORE:
        step(job)
    with backend.locks.hold(patience=settings.ready_timeout, on_message=on_message) as job.lock:
        for step in UNDER_LOCK:
            step(job)
    for step in AFTER:
        step(job)
    report.seconds = time.monotonic() - began
    return report


def check_server(job: JobContext) -> None:
    """Check the server and the admin's privileges; see `preflight`."""
    preflight(job.deployment, job.backend, job.report)


def read_passwords(job: JobContext) -> None:
    """Read the accounts' passwords, where the engine has accounts.

    Raises:
        BadSettings: passwords are missing, or weak and not allowed to be.
    """
    if job.backend.accounts is None:
        return
    policy = job.deployment.policy
    job.secrets = passwords.from_environment(
        job.deployment.accounts.values(), job.env, policy.passwords, job.deployment.root
    )
    admin = job.backend.settings.secret()
    refuse_weak(job.deployment, job.secrets, admin, job.env, allow=job.options.allow_weak)


def find_pending(job: JobContext) -> None:
    """Find the revisions to run: up to head, or up to the first contract revision."""
    job.pending = pending_of(job.deployment, job.backend)
    if job.options.expand:
        job.target = contract_guard.before_contract(job.backend, job.pending)
        if job.target != "head":
            job.pending = pending_of(job.deployment, job.backend, job.target)
    job.report.revision = job.pending.head


def guard_contracts(job: JobContext) -> None:
    """Refuse a contract revision while something still uses what it removes.

    Raises:
        JobFailed: something does, and the operator gave no reason to go on.
    """
    reason = job.options.force
    result = contract_guard.check(job.deployment, job.backend, job.found(), force=reason is not None)
    job.report.warnings += result.warnings
    if reason is not None:
        job.report.overrides += [
            Override(one.revision, CONTRACT, one.message, reason) for one in result.overridden
        ]


def lint_revisions(job: JobContext) -> None:
    """Lint the pending revisions, unless the operator gave a reason not to.

    Raises:
        UnsafeRevisions: a finding is an error that `force` does not cover.
    """
    job.report.not_linted = job.options.no_lint
    if job.options.no_lint is not None:
        return
    job.on_message(f"checking {counted(len(job.found().revisions), 'revision')}")
    job.report.findings = list(lint_pending(job.deployment, job.found(), job.options.mirrors))
    reason = job.options.force
    overridden = raise_on_errors(job.report.findings, force=reason is not None)
    if reason is not None:
        job.report.overrides += [Override(one.revision, one.rule, one.message, reason) for one in overridden]


def refuse_outdated_mirrors(job: JobContext) -> None:
    """Refuse outdated mirrors: the applied schema and the mirrors that services read must come from one commit.

    Raises:
        Drift: a mirror differs from what models and manifest generate, and is not to be written.
    """
    if not job.options.write_mirrors and (drift := check_mirrors(job.deployment)):
        stale = ", ".join(f"{file.path.name} ({file.state})" for file in drift)
        raise Drift(
            f"these mirrors do not agree with models and manifest, and nothing was done: {stale}; write them with"
            " `ringfence mirror` and commit them, or pass --write-mirrors; where the models were changed, `ringfence"
            " revision -m …` writes the migration and the mirrors"
        )


def record_overrides(job: JobContext) -> None:
    """Record what `force` overrides, after every check and before the first revision."""
    overrides.record(job.backend, job.report.overrides)


def upgrade_schema(job: JobContext) -> None:
    """Run the pending revisions, with the changes of access around each."""
    pending = job.found()
    job.access = RevisionAccess(
        job.deployment, job.backend, pending.scripts, pending.revisions, job.on_message
    )
    with _applied_in_errors(job.report):
        upgrade(
            job.deployment,
            job.backend,
            job.held(),
            job.report,
            job.on_message,
            resolve=job.options.resolve,
            to=job.target,
            access=job.access,
        )
        job.held().check()


def apply_access(job: JobContext) -> None:
    """Make the accounts and their privileges what the manifest says, and check that they are."""
    report = job.report
    with _applied_in_errors(report):
        job.on_message("comparing the accounts with the manifest")
        report.access = apply(
            job.backend,
            job.deployment,
            job.secrets,
            adopt=job.options.adopt,
            on_message=job.on_message,
            on_plan=job.on_plan,
        )
        report.warnings += report.access.warnings
        if report.access.statements:
            report.warnings += _verify_access(job.deployment, job.backend)
        if job.access is not None:
            report.access.granted += job.access.granted
            report.access.statements[:0] = job.access.statements


def record_state(job: JobContext) -> None:
    """Record who uses what, and the definitions that migrations made, for later jobs and proofs."""
    with _applied_in_errors(job.report):
        contract_guard.record_uses(job.deployment, job.backend)
        with job.backend.engine().connect() as connection:
            replaced_objects.record_definitions(connection, job.backend, job.deployment)
            job.report.releases = len(releases.recorded(connection))


def compare_schema(job: JobContext) -> None:
    """Compare the schema with the models; not where the run stopped before a contract revision, as they differ then."""
    if job.target == "head":
        with _applied_in_errors(job.report):
            _verify(job.deployment, job.backend, job.report, job.on_message)


def write_outdated_mirrors(job: JobContext) -> None:
    """Write the mirrors that are outdated, where the operator chose that."""
    if job.options.write_mirrors:
        written = write_mirrors(job.deployment)  # a service has a mirror and a typed module
        job.report.mirrors_written = list(dict.fromkeys(file.service for file in written))


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
            found = backend.checks.admin(connection, deployment)
            now = backend.checks.environment(connection)
        return Findings(found.errors + now.errors, found.warnings + now.warnings)

    found = undisturbed(read)
    if found.errors:
        raise JobFailed(_CANNOT_BEGIN + "\n  ".join(found.errors))
    report.warnings += found.warnings


_CANNOT_BEGIN = "the job cannot begin, and changed nothing:\n  "


def refuse_unmanaged_logins(job: JobContext) -> None:
    """Refuse logins of the manifest that exist already and either may not be adopted or have too many privileges.

    This runs before any DDL, and under the lock, because another job may be creating these accounts at the moment.

    Raises:
        JobFailed: such logins exist.
    """
    with job.backend.engine().connect() as connection:
        refused = blocking_logins(connection, job.backend, job.deployment, adopt=job.options.adopt)
    if refused:
        raise JobFailed(_CANNOT_BEGIN + "\n  ".join(refused))


def refuse_unmet(job: JobContext) -> None:
    """Refuse the job when a pending revision would fail, or overwrite a view or policy that was changed by hand.

    Raises:
        JobFailed: a schema is missing and no revision creates it, a view depends on a column that a revision alters, or
            a definition was replaced outside Ringfence.
    """
    with job.backend.engine().connect() as connection:
        found = unmet(job.deployment, job.backend, connection, job.found())
        found += replaced_objects.unresolved_replacements(connection, job.backend, job.found())
    if found:
        raise JobFailed(_CANNOT_BEGIN + "\n  ".join(found))


@contextmanager
def _applied_in_errors(report: Report) -> Iterator[None]:
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
    on_message: MessageCallback,
    *,
    resolve: str | None = None,
    to: str = "head",
    access: RevisionAccess | None = None,
) -> None:
    """Run `alembic upgrade` while holding the job's lock.

    Args:
        deployment: the deployment to migrate.
        backend: the database.
        lock: the lock that the job holds.
        report: the job's report, to which applied revisions are added.
        on_message: called with a line of text for each applied revision.
        resolve: the operator's decision about a half-finished revision: `done` or `again`.
        to: the revision to upgrade to.
        access: what to do with the accounts' access before and after each revision; None for nothing.

    Raises:
        JobFailed: Alembic or a revision fails.
    """

    def applied(revision: str) -> None:
        if revision not in report.applied:  # retried after a lost commit
            report.applied.append(revision)
            on_message(f"applied {revision}")

    try:
        with AlembicRun(deployment, backend, lock, applied, on_message, resolve, access).current() as config:
            command.upgrade(config, to)
    except CommandError as error:
        raise JobFailed(f"Alembic cannot go to head: {error}") from error


def _verify(deployment: Deployment, backend: Backend, report: Report, on_message: MessageCallback) -> None:
    """Check that every node has the schema of the models, whether or not this job changed it.

    Raises:
        Drift: something of the models is missing in the database or differs there.
        JobFailed: the nodes have different schemas.
    """
    report.warnings += missing_views(deployment, backend)
    on_message("comparing the schema with the models")
    schemas = {table.schema for table in deployment.tables.values()} | {None}
    with backend.engine().connect() as connection:
        wrong, unproven = backend.nodes.compare_schemas(connection, schemas)
    report.warnings += unproven
    if wrong:
        raise JobFailed("the nodes do not agree on the schema:\n  " + "\n  ".join(wrong))
    found, foreign = compare_with_models(deployment, backend)
    report.warnings += [f"the database has more than the models: {what}" for what in found.obsolete]
    report.warnings += [foreign] if foreign else []
    if found.missing:
        raise Drift(
            f"the database is at {report.revision}, and is not what the models say:\n  "
            + "\n  ".join(map(str, found.missing))
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
        idle = _ineffective_statements(connection, backend, deployment, plan)
    if left := [statement for statement in plan.sql() if statement not in idle]:
        rest = "\n  ".join(left)
        raise AccessDrift(
            "the accounts were made what the manifest says, and are not: a trigger of the server's, or another"
            f" administrator, changed them meanwhile; this would be left to do:\n  {rest}",
            plan.as_dict(),
        )
    return [
        f"the server accepts this without effect, as the admin lacks a privilege: {statement}"
        for statement in idle
    ]


def _ineffective_statements(
    connection: sa.Connection, backend: Backend, deployment: Deployment, plan: Plan
) -> list[str]:
    """Return the statements of a plan that are still planned after they have been sent; everything is rolled back."""
    if not plan.steps or backend.accounts is None or not backend.features.transactional_ddl:
        return []
    try:
        for step in plan.steps:
            connection.exec_driver_sql(step.statement.sql, step.statement.parameters)
        return make_plan(connection, backend, deployment, None).sql()
    except sa.exc.DBAPIError:  # a failing statement is real drift, and is reported as such
        return []
    finally:
        connection.rollback()


BEFORE: tuple[Step, ...] = (check_server, read_passwords)
UNDER_LOCK: tuple[Step, ...] = (
    refuse_unmanaged_logins,
    find_pending,
    refuse_unmet,
    guard_contracts,
    lint_revisions,
    refuse_outdated_mirrors,
    record_overrides,
    upgrade_schema,
    apply_access,
    record_state,
    compare_schema,
)
AFTER: tuple[Step, ...] = (write_outdated_mirrors,)
