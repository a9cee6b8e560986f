"""The migration job: wait, look, lock, lint, upgrade, grant, record, check."""

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
from ringfence.schema.engines import Backend, Findings, Held, check_engine, reach
from ringfence.schema.engines.stable_reads import undisturbed
from ringfence.schema.errors import AccessDrift, Drift, JobFailed, SchemaError
from ringfence.schema.grants import passwords
from ringfence.schema.job import contract_guard
from ringfence.schema.job.environment import Job
from ringfence.schema.job.prerequisites import unmet
from ringfence.schema.job.revision_access import Around
from ringfence.schema.lint import Finding
from ringfence.schema.lint.pending import Pending, judge, pending_of, refuse
from ringfence.schema.mirror import check_mirrors, write_mirrors
from ringfence.schema.privileges import definitions
from ringfence.schema.privileges.apply import Applied, apply
from ringfence.schema.privileges.password_strength import refuse_weak
from ringfence.schema.privileges.plan import make_plan
from ringfence.schema.privileges.planned import Plan
from ringfence.schema.privileges.unmanaged_roles import foreign_logins
from ringfence.schema.state import releases
from ringfence.schema.text import counted

Say = Callable[[str], None]


@dataclass
class Report:
    """What a job found and did."""

    engine: str = ""
    version: str = ""
    server: str = ""
    revision: str | None = None
    applied: list[str] = field(default_factory=list)
    """The revisions that this job applied, the oldest first."""
    releases: int = 0
    accounts: int = 0
    access: Applied = field(default_factory=Applied)
    """With what was given in the revisions' own transactions."""
    findings: list[Finding] = field(default_factory=list)
    """What the lint says of the pending revisions, none of it an error."""
    not_linted: str | None = None
    """Why they were not looked at."""
    warnings: list[str] = field(default_factory=list)
    mirrors_written: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, object]:
        """For a JSON document."""
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
    write: bool = False,
    allow_weak: bool = False,
    resolve: str | None = None,
    expand: bool = False,
    force: str | None = None,
    no_lint: str | None = None,
    mirrors: tuple[Path, ...] = (),
    say: Say = lambda text: None,
    look: Callable[[Plan], None] = lambda plan: None,
) -> Report:
    """Bring the database to the head of the migrations, and the accounts to what the manifest says.

    Args:
        deployment: the deployment.
        env: the admin's login (`DB_*`) and the accounts' passwords; the process's own environment when None.
        adopt: whether accounts that exist and are not yet ours may be taken over.
        write: whether mirrors that are not as they should be are written, at the end; else they are a failure, at
            the beginning.
        allow_weak: whether weak passwords are let through, where ringfence.toml says that this is legal.
        resolve: what a person decided of a revision that stands half-way: `done` or `again`.
        expand: whether to stop before the first revision that takes something away.
        force: why such a revision is to run although something uses what it takes; recorded.
        no_lint: why the lint is passed over, for the report; None to lint what is pending.
        mirrors: folders with the mirrors of services that run; the deployment's own when empty.
        say: told what is being done.
        look: shown what is to be done with the accounts, before the first of it.

    Raises:
        BadSettings: the environment is wrong, or passwords are missing or weak; nothing was done.
        AccessDenied, Unavailable, NotReady: the server refuses the admin, cannot be reached, or is locked too long.
        JobFailed: what the job cannot do, said before its first change; or the statement that failed.
        Unsafe: a pending revision would hurt; nothing was done.
        Drift: a mirror is not as it should be, and nothing was done; or all is done, and the accounts, or the schema
            beside the models, are not as they should be.
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
            report.findings = list(judge(deployment, pending, mirrors))
            if force is None:
                refuse(report.findings)
        report.not_linted = no_lint
        if not write:
            _refuse_stale(deployment)
        around = Around(deployment, backend, pending.scripts, pending.revisions, say)
        with _telling(report):
            upgrade(deployment, backend, lock, report, say, resolve=resolve, to=to, around=around)
            lock.check()
            say("comparing the accounts with the manifest")
            report.access = apply(backend, deployment, secrets, adopt=adopt, say=say, look=look)
            report.warnings += report.access.warnings
            if report.access.statements:
                report.warnings += _verify_access(deployment, backend)
            report.access.granted += around.granted
            report.access.statements[:0] = around.statements
            contract_guard.remember(deployment, backend)
            with backend.engine().connect() as connection:
                definitions.record(connection, backend, deployment)
            _look_at_releases(backend, report)
            if to == "head":  # before a contract, the models are ahead
                _verify(deployment, backend, report, say)
    if write:
        report.mirrors_written = [file.service for file in write_mirrors(deployment)]
    report.seconds = time.monotonic() - began
    return report


def preflight(deployment: Deployment, backend: Backend, report: Report) -> None:
    """Look before anything is changed. Raises JobFailed with every obstacle."""

    def read() -> Findings:
        with backend.engine().connect() as connection:
            found = backend.preflight(connection, deployment)
            now = backend.circumstances(connection)
        return Findings(found.errors + now.errors, found.warnings + now.warnings)

    found = undisturbed(read)
    if found.errors:
        raise JobFailed(_CANNOT_BEGIN + "\n  ".join(found.errors))
    report.warnings += found.warnings


_CANNOT_BEGIN = "the job cannot begin, and changed nothing:\n  "


def _refuse_foreign_logins(deployment: Deployment, backend: Backend, *, adopt: bool) -> None:
    """Before any DDL, and under the lock: another job may just be making these accounts. Raises JobFailed."""
    with backend.engine().connect() as connection:
        refused = foreign_logins(connection, backend, deployment, adopt=adopt)
    if refused:
        raise JobFailed(_CANNOT_BEGIN + "\n  ".join(refused))


def _refuse_unmet(deployment: Deployment, backend: Backend, pending: Pending) -> None:
    """Raise JobFailed for a schema nobody makes, a view on what a revision alters, and what a hand replaced."""
    with backend.engine().connect() as connection:
        found = unmet(deployment, backend, connection, pending)
        found += definitions.unanswered(connection, backend, pending)
    if found:
        raise JobFailed(_CANNOT_BEGIN + "\n  ".join(found))


@contextmanager
def _telling(report: Report) -> Iterator[None]:
    """A job that fails says which revisions it had applied: they stay."""
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
    lock: Held,
    report: Report,
    say: Say,
    *,
    resolve: str | None = None,
    to: str = "head",
    around: Around | None = None,
) -> None:
    """Run `alembic upgrade head`, or to an earlier revision, under the lock that is held.

    Raises:
        JobFailed: when Alembic, or a revision, fails.
    """

    def applied(revision: str) -> None:
        if revision not in report.applied:  # a commit that was lost to another transaction is tried again
            report.applied.append(revision)
            say(f"applied {revision}")

    try:
        command.upgrade(Job(deployment, backend, lock, applied, say, resolve, around).config(), to)
    except CommandError as error:
        raise JobFailed(f"Alembic cannot go to head: {error}") from error


def _verify(deployment: Deployment, backend: Backend, report: Report, say: Say) -> None:
    """Look whether the database is what the models say, on every node, whether the job changed it or not.

    Raises:
        Drift: it lacks something, or has it in another way.
        JobFailed: the nodes do not agree.
    """
    report.warnings += missing_views(deployment, backend)
    say("comparing the schema with the models")
    schemas = {table.schema for table in deployment.tables.values()} | {None}
    with backend.engine().connect() as connection:
        wrong, unproven = backend.disagreeing(connection, schemas)
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
    """After a change, look whether the accounts hold what the manifest says. Raises AccessDrift.

    Returns:
        What the server takes and does not do, as PostgreSQL does with a grant of somebody else's; `access verify` shows
        whether an account lacks anything.
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
    """The statements that are left to do when they have been done; they are taken back."""
    if not plan.steps or backend.accounts is None or not backend.accounts.atomic:
        return []
    try:
        for step in plan.steps:
            connection.exec_driver_sql(step.statement.sql, step.statement.parameters)
        return make_plan(connection, backend, deployment, None).sql()
    except sa.exc.DBAPIError:  # then it has an effect, which the drift shows
        return []
    finally:
        connection.rollback()


def _look_at_releases(backend: Backend, report: Report) -> None:
    with backend.engine().connect() as connection:
        report.releases = len(releases.recorded(connection))


def _refuse_stale(deployment: Deployment) -> None:
    """Services read mirrors: what is applied and what they read must be of one commit. Raises Drift."""
    if drift := check_mirrors(deployment):
        stale = ", ".join(f"{file.path.name} ({file.state})" for file in drift)
        raise Drift(
            f"these mirrors do not agree with models and manifest, and nothing was done: {stale}; write them with"
            " `ringfence mirror` and commit them, or say --write-mirrors; where the models were changed, `ringfence"
            " revision -m …` writes the migration and the mirrors"
        )
