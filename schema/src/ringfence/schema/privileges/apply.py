"""Send the statements of a plan, so that the accounts and privileges on the server match the manifest.

Only differences are sent, and only managed accounts are changed: those that were created or adopted for this database.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from ringfence.runtime.settings import Secret
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend, Statement
from ringfence.schema.engines.base import Server
from ringfence.schema.errors import JobFailed
from ringfence.schema.privileges.adoption import Adoption
from ringfence.schema.privileges.plan import Plan, make_plan
from ringfence.schema.revisions.lock_retries import LockSettings, pause
from ringfence.schema.state import releases
from ringfence.schema.state.apply_journal import Journal
from ringfence.schema.text import MessageCallback, counted

_SQLSTATE = 5


@dataclass
class Applied:
    """What an apply did; `statements` is the text of each statement without its secrets."""

    created: list[str] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)
    locked: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    granted: int = 0
    revoked: int = 0
    statements: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    """The rights that adopted accounts lost, one line each."""
    adoption: Adoption = field(default_factory=Adoption)

    def as_dict(self) -> dict[str, object]:
        """Return the result as a dictionary for a JSON document."""
        return {
            "created": self.created,
            "passwords_changed": self.passwords,
            "locked": self.locked,
            "dropped": self.dropped,
            "granted": self.granted,
            "revoked": self.revoked,
            "statements": self.statements,
            "warnings": self.warnings,
            "adopted": self.adopted,
            "losses": self.losses,
            **self.adoption.as_dict(),
        }


def apply(
    backend: Backend,
    deployment: Deployment,
    passwords: Mapping[str, Secret],
    *,
    adopt: bool = False,
    prune: bool = False,
    on_message: MessageCallback = lambda text: None,
    on_plan: Callable[[Plan], None] = lambda plan: None,
) -> Applied:
    """Create and grant what is missing, revoke and lock what is not declared. The deployment's lock must be held.

    On PostgreSQL all statements run in one transaction, which is retried after a lock timeout. On the other engines
    each statement commits, so grants are sent before revokes; every statement can be repeated or is found done by the
    next run, and a journal records how far a failed run came.

    Args:
        backend: the server.
        deployment: the manifest and models to apply.
        passwords: login -> password, for every account.
        adopt: whether existing accounts that are not managed yet may be taken over.
        prune: whether managed accounts that are no longer declared are dropped; otherwise they are locked.
        on_message: called with each progress message.
        on_plan: called with the plan before its first statement; an exception it raises stops the apply.

    Returns:
        What was done.

    Raises:
        JobFailed: the database does not have Ringfence's tables yet, the plan has obstacles (an account that is not
            managed, a missing table), a statement failed, or the nodes of a cluster disagree afterwards.
    """
    tries = LockSettings.tries if backend.accounts is not None and backend.features.transactional_ddl else 1
    tried = 1
    while True:
        try:
            shown = on_plan if tried == 1 else _seen
            return _apply(
                backend, deployment, passwords, adopt=adopt, prune=prune, on_message=on_message, on_plan=shown
            )
        except JobFailed as failed:
            cause = failed.__cause__
            if tries == 1 or not isinstance(cause, sa.exc.DBAPIError) or not backend.locks.is_conflict(cause):
                raise
            if tried == tries:
                raise JobFailed(f"{failed}{_blocking_sessions(backend)}") from cause
        seconds = pause(tried)
        on_message(f"a lock was not free (try {tried} of {tries}); trying again in {seconds:.1f} s")
        time.sleep(seconds)
        tried += 1


def _seen(plan: Plan) -> None:
    """Ignore the plan of a retry: it was shown at the first attempt."""


def _blocking_sessions(backend: Backend) -> str:
    with backend.engine().connect() as connection:
        return "".join(f"\n  blocked by: {one}" for one in backend.sessions.long_transactions(connection))


def _apply(
    backend: Backend,
    deployment: Deployment,
    passwords: Mapping[str, Secret],
    *,
    adopt: bool,
    prune: bool,
    on_message: MessageCallback,
    on_plan: Callable[[Plan], None],
) -> Applied:
    if backend.accounts is None:
        return Applied()
    with backend.engine().connect() as connection:
        plan = make_plan(connection, backend, deployment, passwords, adopt=adopt, prune=prune)
        _refuse(backend, plan)
        on_plan(plan)
        if plan.unfinished is not None:
            on_message(
                f"an apply stopped before, at {plan.unfinished}; continuing with the"
                f" {counted(len(plan.steps), 'that is', 'that are')} left"
            )
        applied = Applied(
            granted=len(plan.change.grant),
            revoked=len(plan.change.revoke),
            warnings=plan.warnings,
            adopted=plan.adopted,
            losses=list(map(str, plan.losses)),
            adoption=plan.adoption,
        )
        logins_by_step = {
            "create": applied.created,
            "password": applied.passwords,
            "lock": applied.locked,
            "drop": applied.dropped,
        }
        journal = None
        # An unfinished apply of which no step is left gets a journal too, so that it is recorded as finished.
        if (plan.steps or plan.unfinished is not None) and not backend.features.transactional_ddl:
            journal = Journal(connection, len(plan.steps))
        run = StatementRunner(connection, applied, journal, len(plan.steps))
        for step in plan.steps:
            run.send(step.statement)
            if step.login is not None and step.kind in logins_by_step:
                logins_by_step[step.kind].append(step.login)
        connection.commit()
        if journal is not None:
            journal.end()
        logins = {*plan.managed, *(account.login for account in deployment.accounts.values())}
        schemas = {p.schema for p in plan.declared if p.schema}
        accounts = backend.accounts.hosts.at_declared(connection, deployment.accounts.values())
        wrong, unproven = backend.nodes.compare_accounts(connection, accounts, sorted(logins), schemas)
        applied.warnings += unproven
    if wrong:
        raise JobFailed("the nodes do not agree on the privileges of the accounts:\n  " + "\n  ".join(wrong))
    if applied.statements:
        on_message(
            f"{counted(len(applied.statements), 'statement')} made the accounts agree with the manifest"
        )
    return applied


def _refuse(backend: Server, plan: Plan) -> None:
    """Raise JobFailed if the plan has obstacles or Ringfence's tables do not exist yet."""
    if plan.uninitialized:
        raise JobFailed(
            f"{backend.settings} has no table {releases.account.name}: bring it to head first, with `ringfence migrate`"
        )
    if plan.obstacles:
        raise JobFailed("no account was changed:\n  " + "\n  ".join(plan.obstacles))


class StatementRunner:
    """Sends statements, and records the text of each one without its secrets."""

    def __init__(
        self, connection: sa.Connection, applied: Applied, journal: Journal | None = None, steps: int = 1
    ) -> None:
        self.connection = connection
        self.applied = applied
        self.journal = journal
        self.steps = steps

    def send(self, statement: Statement) -> None:
        """Run one statement.

        Raises:
            JobFailed: the statement failed; for a statement with a secret, neither the driver's message nor the cause
                is passed on.
        """
        done = len(self.applied.statements)
        try:
            if self.journal is not None:
                self.journal.begin(str(statement))
            self.connection.exec_driver_sql(statement.sql, statement.parameters)
            if self.journal is not None:
                self.connection.commit()
        except sa.exc.DBAPIError as error:
            why = _code(error) if statement.secret else str(error.orig)
            if self.journal is not None:
                self.journal.fail(why)
                stands = f"the {counted(done, 'before it is', 'before it are')} done; the next run continues from here"
            else:
                stands = "everything before it was rolled back; run it again when the cause is removed"
            message = f"statement {done + 1} of {self.steps} failed: {why}\n  {statement}\n  {stands}"
            if statement.secret:
                raise JobFailed(message) from None
            raise JobFailed(message) from error
        self.applied.statements.append(str(statement))


def _code(error: sa.exc.DBAPIError) -> str:
    """Return the driver's exception name and error code, which repeat no part of the statement."""
    code = getattr(error.orig, "pgcode", None) or next(iter(getattr(error.orig, "args", ())), None)
    number = f" {code}" if isinstance(code, int) or (isinstance(code, str) and len(code) == _SQLSTATE) else ""
    return f"{type(error.orig).__name__}{number}"
