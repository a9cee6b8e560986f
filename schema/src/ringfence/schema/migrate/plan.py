"""The whole of a job before it is run: revisions, lint, accounts, mirrors; nothing is changed and no lock is taken."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import sqlalchemy as sa

from ringfence.runtime.settings import Settings
from ringfence.schema.access import passwords
from ringfence.schema.access.plan import MISSING, make_plan
from ringfence.schema.access.planned import Plan
from ringfence.schema.backends import Backend, absent, first_line, reach
from ringfence.schema.backends.base import Say
from ringfence.schema.backends.undisturbed import undisturbed
from ringfence.schema.counting import counted
from ringfence.schema.deployment import Deployment
from ringfence.schema.errors import JobFailed
from ringfence.schema.migrate import definitions, guard, releases
from ringfence.schema.migrate.comparing import differences
from ringfence.schema.migrate.entries import last
from ringfence.schema.migrate.environment import check_engine
from ringfence.schema.migrate.foresight import foresee
from ringfence.schema.migrate.journal import Journal
from ringfence.schema.migrate.lint import Finding, Severity
from ringfence.schema.migrate.patience import patience_of
from ringfence.schema.migrate.pending import Pending, judge, pending_of
from ringfence.schema.migrate.prerequisites import unmet, unrecorded
from ringfence.schema.migrate.rehearsal import Part
from ringfence.schema.migrate.story import Chapter, tell
from ringfence.schema.migrate.unfit import Unfit, unfit
from ringfence.schema.mirror import check_mirrors


@dataclass
class JobPlan:
    """What `ringfence migrate` would do."""

    engine: str
    version: str
    server: str
    at: tuple[str, ...] = ()
    head: str | None = None
    chapters: list[Chapter] = field(default_factory=list)
    halfway: list[str] = field(default_factory=list)
    """Revisions that an earlier job left half-way, and after which statement."""
    findings: list[Finding] = field(default_factory=list)
    access: Plan | None = None
    """None when the engine has no accounts, or the database has no table of ours yet and nothing is adopted."""
    accounts: tuple[str, ...] = ()
    """The logins that the manifest declares."""
    parts: list[Part] = field(default_factory=list)
    """All statements that a job will send, in their order."""
    unknown: list[str] = field(default_factory=list)
    """What of them is only known once a revision has run."""
    rehearsed: bool = False
    """Whether the revisions were run for this, and taken back."""
    with_revisions: bool = False
    """Whether what is of new tables and columns is granted in the transaction of the revision that makes them."""
    mirrors: list[str] = field(default_factory=list)
    """Mirrors that are not as they should be."""
    lacking: list[str] = field(default_factory=list)
    """Where the database is not what the models say, though no revision is to run: no job mends that."""
    refused: str | None = None
    """Why the server did not show what it holds, an obstacle beside it says which right is missing."""
    unfit: list[Unfit] = field(default_factory=list)
    """Rows that revisions would fail over; each stands among the stops or the warnings too."""
    stops: list[str] = field(default_factory=list)
    """What the job would stop over at a contract: rows, and services that use what it takes away."""
    obstacles: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def unsafe(self) -> bool:
        """Whether the lint would stop it."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to do."""
        steps = bool(self.access and self.access.steps)
        return not (self.chapters or steps or self.mirrors or self.obstacles)

    def as_dict(self) -> dict[str, object]:
        """For a JSON document."""
        return {
            "nothing_to_do": self.nothing,
            "engine": self.engine,
            "version": self.version,
            "server": self.server,
            "at": list(self.at),
            "head": self.head,
            "revisions": [chapter.as_dict() for chapter in self.chapters],
            "halfway": self.halfway,
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
            "rows": [one.as_dict() for one in self.unfit],
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
    say: Say = lambda text: None,
) -> JobPlan:
    """Look at all that a job would do.

    Args:
        deployment: the deployment.
        env: the admin's login (`DB_*`); with the accounts' passwords they are compared too.
        adopt: whether accounts that exist and are not yet ours may be taken over.
        mirrors: folders with the mirrors of services that run; the deployment's own when empty.
        say: told what is being done.

    Raises:
        BadSettings, AccessDenied, Unavailable: the environment is wrong, or the server cannot be reached.
        BadDeployment: the migrations cannot be read, or do not hold what the database stands at.
        JobFailed: there are no migrations, or they have several heads.
    """
    settings = Settings.from_env(env)
    say(f"reaching {settings}")
    request = _Request(deployment, env, adopt, mirrors, say)
    return _plan_first(request, settings) if absent(settings) else _plan(request, settings)


@dataclass(frozen=True)
class _Request:
    """What `plan_job` was called with."""

    deployment: Deployment
    env: Mapping[str, str] | None
    adopt: bool
    mirrors: tuple[Path, ...]
    say: Say


def _plan_first(request: _Request, settings: Settings) -> JobPlan:
    """Plan for a database file that does not exist, on an empty scratch file: a plan creates none."""
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
    backend = reach(settings, request.say)
    check_engine(request.deployment, backend, meant)
    return undisturbed(lambda: _read(request, backend))


def _read(request: _Request, backend: Backend) -> JobPlan:
    """Read all of it; where the admin lacks privileges, as far as the server lets it."""
    made = JobPlan(backend.identity.engine, backend.identity.version, str(backend.settings))
    with backend.engine().connect() as connection:
        for found in (
            backend.preflight(connection, request.deployment),
            backend.circumstances(connection),
        ):
            made.obstacles += found.errors
            made.warnings += found.warnings
    try:
        _look(made, request, backend)
    except sa.exc.DBAPIError as error:
        if not made.obstacles:
            raise
        made.refused = first_line(error)
    return made


def _look(made: JobPlan, request: _Request, backend: Backend) -> None:
    """Read what the database holds. An admin without its rights may be refused on the way."""
    deployment, say = request.deployment, request.say
    pending = pending_of(deployment, backend)
    made.at, made.head = pending.heads, pending.head
    with backend.engine().connect() as connection:
        say(f"looking at {counted(len(pending.revisions), 'revision')}")
        made.chapters = list(_chapters(deployment, pending, connection.dialect))
        made.findings = list(judge(deployment, pending, request.mirrors))
        made.obstacles += unmet(deployment, backend, connection, pending)
        made.obstacles += definitions.unanswered(connection, backend, pending)
        _look_at_rows(made, deployment, backend, pending)
        ours = set(sa.inspect(connection).get_table_names())
        if releases.journal.name in ours:
            made.halfway = _halfway(connection, backend)
        if pending.first and pending.revisions and not made.halfway:
            found = unrecorded(deployment, backend, connection)
            made.obstacles += [found] if found is not None else []
        declared = deployment.accounts.values() if backend.accounts is not None else ()
        made.accounts = tuple(account.login for account in declared)
        made.with_revisions = bool(
            backend.accounts
            and backend.accounts.within
            and pending.revisions
            and releases.account.name in ours
        )

        def access(connection: sa.Connection, ahead: bool) -> Plan | None:
            if backend.accounts is None:
                return None
            return _access(connection, backend, deployment, request.env, adopt=request.adopt, ahead=ahead)

        if pending.revisions or releases.account.name not in ours:
            say("looking ahead to the end of the job")
            foreseen = foresee(deployment, backend, connection, pending, made.chapters, access)
            made.parts, made.access, made.unknown = foreseen.parts, foreseen.access, foreseen.unknown
            made.rehearsed = foreseen.rehearsed
        else:
            made.access = access(connection, False)
            made.parts = [Part("access", sql=made.access.sql())] if made.access else []
        if made.access is not None:
            late = pending.revisions and not made.rehearsed
            made.obstacles += [
                text for text in made.access.obstacles if not (late and text.endswith(MISSING))
            ]
            made.warnings += made.access.warnings
    if pending.heads and not (pending.revisions or made.obstacles):
        say("comparing the schema with the models")
        _compare(made, deployment, backend)
    made.mirrors = [f"{file.path.name} ({file.state})" for file in check_mirrors(deployment)]


def _look_at_rows(made: JobPlan, deployment: Deployment, backend: Backend, pending: Pending) -> None:
    """What a contract would be refused over: services that use what it takes away, and rows that do not fit."""
    try:
        made.warnings += guard.check(deployment, backend, pending)
    except guard.Refused as error:
        made.stops.append(
            str(error).replace("the contract is refused, and nothing was changed", "the contract is refused")
        )
    made.unfit = unfit(backend, pending)
    made.stops += [str(one) for one in made.unfit if one.sure]
    made.warnings += [str(one) for one in made.unfit if not one.sure]


def _compare(made: JobPlan, deployment: Deployment, backend: Backend) -> None:
    """How a database at head differs from the models, as the job would find it at its end."""
    try:
        found = differences(deployment, backend)
    except JobFailed as error:
        made.obstacles.append(str(error))
        return
    made.lacking = list(found.lacking)
    made.warnings += [f"the database has more than the models: {what}" for what in found.beyond]
    made.warnings += [found.left] if found.left else []


def _chapters(deployment: Deployment, pending: Pending, dialect: sa.Dialect) -> list[Chapter]:
    chapters = []
    for name in pending.revisions:
        script = pending.scripts.get_revision(name)
        patience_of(script.module, script.path)
        chapters.append(tell(pending.scripts, script, dialect, deployment.place(Path(script.path).resolve())))
    return chapters


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
    return make_plan(connection, backend, deployment, secrets, adopt=adopt, ahead=ahead)
