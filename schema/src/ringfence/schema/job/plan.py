"""The plan of a whole job: revisions, lint, accounts and mirrors, read without changing anything or taking a lock."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import sqlalchemy as sa

from ringfence.runtime.settings import Settings
from ringfence.schema.autogenerate.options import compare_with_models
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend, absent, check_engine, first_line, reach
from ringfence.schema.engines.stable_reads import undisturbed
from ringfence.schema.errors import JobFailed
from ringfence.schema.grants import passwords
from ringfence.schema.job import contract_guard
from ringfence.schema.job.description import RevisionDescription, describe
from ringfence.schema.job.journal import Journal
from ringfence.schema.job.planned_statements import predict
from ringfence.schema.job.prerequisites import unmet, unrecorded
from ringfence.schema.job.rehearsal import StatementGroup
from ringfence.schema.job.row_checks import FailingRows, failing_rows
from ringfence.schema.lint import Finding, Severity
from ringfence.schema.lint.pending import Pending, lint_pending, pending_of
from ringfence.schema.mirror import check_mirrors
from ringfence.schema.privileges import replaced_objects
from ringfence.schema.privileges.plan import MISSING, Plan, make_plan
from ringfence.schema.revisions.lock_retries import lock_settings_of
from ringfence.schema.state import releases
from ringfence.schema.state.journal_entries import last
from ringfence.schema.text import MessageCallback, counted


@dataclass
class JobPlan:
    """What `ringfence migrate` would do."""

    engine: str
    version: str
    server: str
    at: tuple[str, ...] = ()
    head: str | None = None
    revisions: list[RevisionDescription] = field(default_factory=list)
    half_finished: list[str] = field(default_factory=list)
    """Revisions that an earlier job left half-finished, each with the last statement that was sent."""
    findings: list[Finding] = field(default_factory=list)
    access: Plan | None = None
    """The access plan; None when the engine has no accounts, or the server refused to show its catalog."""
    accounts: tuple[str, ...] = ()
    """The logins that the manifest declares."""
    parts: list[StatementGroup] = field(default_factory=list)
    """All statements that the job will send, in their order."""
    unknown: list[str] = field(default_factory=list)
    """What the plan cannot foresee, because it is known only after a revision has run."""
    rehearsed: bool = False
    """Whether the revisions were run for this plan and rolled back."""
    with_revisions: bool = False
    """Whether privileges on new tables and columns are granted in the transaction of the revision that creates them."""
    mirrors: list[str] = field(default_factory=list)
    """Mirrors that differ from what models and manifest generate."""
    lacking: list[str] = field(default_factory=list)
    """Differences between database and models although no revision is pending; a job does not repair them."""
    refused: str | None = None
    """The server's error when it refused to show its catalog; an obstacle names the missing privilege."""
    failing_rows: list[FailingRows] = field(default_factory=list)
    """Rows that would make a revision fail; each is also listed in `stops` or `warnings`."""
    stops: list[str] = field(default_factory=list)
    """What would stop the job at a contract revision: rows that do not fit, and services that use what it removes."""
    obstacles: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def unsafe(self) -> bool:
        """Whether the lint would stop the job."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        steps = bool(self.access and self.access.steps)
        return not (self.revisions or steps or self.mirrors or self.obstacles)

    def as_dict(self) -> dict[str, object]:
        """Return the plan as a dictionary that can be written as JSON."""
        return {
            "nothing_to_do": self.nothing,
            "engine": self.engine,
            "version": self.version,
            "server": self.server,
            "at": list(self.at),
            "head": self.head,
            "revisions": [chapter.as_dict() for chapter in self.revisions],
            "half_finished": self.half_finished,
            "findings": [finding.as_dict() for finding in self.findings],
            "access": self.access.as_dict() if self.access else None,
            "granted_with_revisions": self.with_revisions,
            "statements": [
                {"part": part.what, "revision": part.revision, "sql": sql}
                for part in self.parts
                for sql in part.sql
            ],
            "unknown": self.unknown,
            "rehearsed": self.rehearsed,
            "mirrors": self.mirrors,
            "schema": self.lacking,
            "refused": self.refused,
            "rows": [one.as_dict() for one in self.failing_rows],
            "stops": self.stops,
            "obstacles": self.obstacles,
            "warnings": self.warnings,
        }


def plan_job(
    deployment: Deployment,
    env: Mapping[str, str] | None = None,
    *,
    adopt: bool = False,
    mirrors: tuple[Path, ...] = (),
    on_message: MessageCallback = lambda text: None,
) -> JobPlan:
    """Work out everything that a job would do, without changing anything.

    Args:
        deployment: the deployment to migrate.
        env: environment variables with the admin's login (`DB_*`) and, if they are to be compared too, the accounts'
            passwords; the process's own environment when None.
        adopt: whether existing accounts that Ringfence does not manage yet may be adopted.
        mirrors: folders with the mirrors of running services; the deployment's own when empty.
        on_message: called with a line of text for each step.

    Returns:
        The plan, with every obstacle that was found.

    Raises:
        BadSettings, AccessDenied, Unavailable: the environment is wrong, or the server cannot be reached.
        BadDeployment: the migrations cannot be read, or do not contain the database's current revision.
        JobFailed: there are no migrations, or they have several heads.
    """
    settings = Settings.from_env(env)
    on_message(f"reaching {settings}")
    request = _Request(deployment, env, adopt, mirrors, on_message)
    return _plan_first(request, settings) if absent(settings) else _plan(request, settings)


@dataclass(frozen=True)
class _Request:
    """What `plan_job` was called with."""

    deployment: Deployment
    env: Mapping[str, str] | None
    adopt: bool
    mirrors: tuple[Path, ...]
    on_message: MessageCallback


def _plan_first(request: _Request, settings: Settings) -> JobPlan:
    """Plan for a database file that does not exist, with an empty temporary file instead, as a plan creates nothing."""
    path = Path(settings.name).absolute()
    with tempfile.TemporaryDirectory(prefix="ringfence-") as folder:
        scratch = replace(settings, name=str(Path(folder) / "scratch.sqlite"))
        made = _plan(request, scratch, meant=settings)
    made.server = str(settings)
    if os.access(path.parent, os.W_OK | os.X_OK) and not path.exists():
        made.warnings.insert(0, f"there is no database file {path} yet: `ringfence bootstrap` makes it")
    elif path.exists():
        made.obstacles.insert(0, f"{path} is no file: name another in DB_NAME")
    else:
        made.obstacles.insert(
            0, f"{path.parent} is no folder in which the admin may make {path.name}: make it"
        )
    return made


def _plan(request: _Request, settings: Settings, meant: Settings | None = None) -> JobPlan:
    """Reach the server, and read from it what a job would do.

    Args:
        request: what is asked.
        settings: the server.
        meant: the database that messages name, where `settings` is a scratch file in its place.
    """
    backend = reach(settings, request.on_message)
    check_engine(request.deployment, backend, meant)
    return undisturbed(lambda: _read(request, backend))


def _read(request: _Request, backend: Backend) -> JobPlan:
    """Read all of it; where the admin lacks privileges, as far as the server lets it."""
    made = JobPlan(backend.identity.engine, backend.identity.version, str(backend.settings))
    with backend.engine().connect() as connection:
        for found in (
            backend.checks.admin(connection, request.deployment),
            backend.checks.environment(connection),
        ):
            made.obstacles += found.errors
            made.warnings += found.warnings
    try:
        _inspect(made, request, backend)
    except sa.exc.DBAPIError as error:
        if not made.obstacles:
            raise
        made.refused = first_line(error)
    return made


def _inspect(made: JobPlan, request: _Request, backend: Backend) -> None:
    """Fill the plan from the database; the server may refuse a read when the admin lacks a privilege."""
    deployment, on_message = request.deployment, request.on_message
    pending = pending_of(deployment, backend)
    made.at, made.head = pending.heads, pending.head
    with backend.engine().connect() as connection:
        on_message(f"checking {counted(len(pending.revisions), 'revision')}")
        made.revisions = list(_chapters(deployment, pending, connection.dialect))
        made.findings = list(lint_pending(deployment, pending, request.mirrors))
        made.obstacles += unmet(deployment, backend, connection, pending)
        made.obstacles += replaced_objects.unresolved_replacements(connection, backend, pending)
        _check_rows(made, deployment, backend, pending)
        ours = set(sa.inspect(connection).get_table_names())
        if releases.journal.name in ours:
            made.half_finished = _halfway(connection, backend)
        if pending.first and pending.revisions and not made.half_finished:
            found = unrecorded(deployment, backend, connection)
            made.obstacles += [found] if found is not None else []
        declared = deployment.accounts.values() if backend.accounts is not None else ()
        made.accounts = tuple(account.login for account in declared)
        made.with_revisions = bool(
            backend.accounts
            and backend.accounts.privileges.revision_queries
            and pending.revisions
            and releases.account.name in ours
        )

        def access(connection: sa.Connection, ahead: bool) -> Plan | None:
            if backend.accounts is None:
                return None
            return _access(connection, backend, deployment, request.env, adopt=request.adopt, ahead=ahead)

        if pending.revisions or releases.account.name not in ours:
            on_message("comparing with the state at the end of the job")
            prediction = predict(deployment, backend, connection, pending, made.revisions, access)
            made.parts, made.access, made.unknown = prediction.parts, prediction.access, prediction.unknown
            made.rehearsed = prediction.rehearsed
        else:
            made.access = access(connection, False)
            made.parts = [StatementGroup("access", sql=made.access.sql())] if made.access else []
        if made.access is not None:
            late = pending.revisions and not made.rehearsed
            made.obstacles += [
                text for text in made.access.obstacles if not (late and text.endswith(MISSING))
            ]
            made.warnings += made.access.warnings
    if pending.heads and not (pending.revisions or made.obstacles):
        on_message("comparing the schema with the models")
        _compare(made, deployment, backend)
    made.mirrors = [f"{file.path.name} ({file.state})" for file in check_mirrors(deployment)]


def _check_rows(made: JobPlan, deployment: Deployment, backend: Backend, pending: Pending) -> None:
    """Add what would stop a contract revision: services that use what it removes, and rows that do not fit."""
    try:
        made.warnings += contract_guard.check(deployment, backend, pending).warnings
    except contract_guard.Refused as error:
        made.stops.append(
            str(error).replace("the contract is refused, and nothing was changed", "the contract is refused")
        )
    made.failing_rows = failing_rows(backend, pending)
    made.stops += [str(one) for one in made.failing_rows if one.certain]
    made.warnings += [str(one) for one in made.failing_rows if not one.certain]


def _compare(made: JobPlan, deployment: Deployment, backend: Backend) -> None:
    """Add the differences between the models and a database at head, as the job would find them at its end."""
    try:
        found, foreign = compare_with_models(deployment, backend)
    except JobFailed as error:
        made.obstacles.append(str(error))
        return
    made.lacking = [str(each) for each in found.missing]
    made.warnings += [f"the database has more than the models: {what}" for what in found.obsolete]
    made.warnings += [foreign] if foreign else []


def _chapters(deployment: Deployment, pending: Pending, dialect: sa.Dialect) -> list[RevisionDescription]:
    descriptions = []
    for name in pending.revisions:
        script = pending.scripts.get_revision(name)
        lock_settings_of(script.module, script.path)
        descriptions.append(
            describe(
                script,
                pending.scripts.recording(script, dialect.name),
                dialect,
                deployment.display_path(Path(script.path).resolve()),
            )
        )
    return descriptions


def _halfway(connection: sa.Connection, backend: Backend) -> list[str]:
    journal = Journal(backend)
    journal.read(connection)
    return [
        f"the {'upgrade' if direction == 'up' else 'downgrade'} of {revision} stopped after {last(rows)}"
        for (revision, direction), rows in journal.rows.items()
    ]


def _access(
    connection: sa.Connection,
    backend: Backend,
    deployment: Deployment,
    env: Mapping[str, str] | None,
    *,
    adopt: bool,
    ahead: bool,
) -> Plan:
    declared, source = deployment.accounts.values(), deployment.policy.passwords
    secrets = None
    if passwords.given(declared, env, source):
        secrets = passwords.from_environment(declared, env, source, deployment.root)
    return make_plan(connection, backend, deployment, secrets, adopt=adopt, as_if_migrated=ahead)
