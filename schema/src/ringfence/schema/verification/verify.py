"""Prove the manifest by logging in as each account, through the runtime, and trying statements.

Each attempt runs in a transaction that is rolled back; most are statements that touch no row. Only a denial counts as
refused. An error that the server raises after it checked privileges, such as a NOT NULL violation, counts as allowed.
"""

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

import sqlalchemy as sa

from ringfence.runtime import (
    AccessDenied,
    Database,
    IntegrityError,
    Mirror,
    ProgrammingError,
    RingfenceError,
    UsageError,
)
from ringfence.runtime.settings import Secret, Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import offline, refuse_absent
from ringfence.schema.manifest.model import Account
from ringfence.schema.text import MessageCallback
from ringfence.schema.verification.attempts import attempts, ddl_attempts, unmodelled_attempts
from ringfence.schema.verification.planned_changes import note_differences
from ringfence.schema.verification.proof import Attempt, Finding, Proof, RollBack
from ringfence.schema.verification.row_proofs import RowProver
from ringfence.schema.verification.sample_rows import SOME, prove_inserts, without_nontransactional_tables
from ringfence.schema.verification.server_findings import AdminView, read_as_admin


def verify(
    deployment: Deployment,
    settings: Settings,
    passwords: Mapping[str, Secret],
    on_message: MessageCallback = lambda text: None,
    *,
    services: Collection[str] | None = None,
) -> Proof:
    """Try every verb on every table and column as every account, and compare with the manifest in both directions.

    Args:
        deployment: the manifest to prove.
        settings: where the database is; with the admin's login, which reads sample rows and counts rows.
        passwords: login -> password. Not needed where the engine has no accounts.
        on_message: called with the name of each service before its account is tried.
        services: the services whose accounts are tried; None for all.

    Returns:
        The attempts and findings: those of the attempts, and differences of `access plan` that no attempt can show.

    Raises:
        Unavailable: the database file does not exist.
        RingfenceError: the admin cannot read the server, and there are row scopes to prove.
        sqlalchemy.exc.DBAPIError: as RingfenceError, where the server refuses a query of the admin.
    """
    refuse_absent(settings)
    proof = Proof()
    chosen = [
        account for name, account in deployment.accounts.items() if services is None or name in services
    ]
    seen = read_as_admin(deployment, settings, proof, chosen)
    for account in chosen:
        on_message(account.service)
        _verify_account(deployment, settings, account, passwords.get(account.login), proof, seen)
    if seen.plan is not None:
        logins = {account.login for account in chosen}
        note_differences(seen.plan, deployment, logins, proof)
    return proof


def _verify_account(
    deployment: Deployment,
    settings: Settings,
    account: Account,
    password: Secret | None,
    proof: Proof,
    seen: AdminView,
) -> None:
    def not_proven(message: str) -> None:
        proof.findings.append(Finding("not-proven", account.service, account.login, None, None, (), message))

    try:
        mirror = Mirror.load(deployment.mirrors / f"{account.service}.json")
        own = replace(
            settings, user=settings.user and account.login, password=password, password_file=None, pool_size=1
        )
        with Database(own, mirror) as database:
            readiness = database.readiness()
            if not readiness.ready:
                stopped = readiness.stages[-1] if readiness.stages else None
                not_proven(
                    f"the service would not be ready: {readiness.state}: {stopped.detail if stopped else ''}"
                )
            # Log in first: with a login that fails, every attempt would look like a denial.
            with database.session(read_only=True) as dal:
                dal.executesql("SELECT 1")
            proof.accounts.append(account.service)
            proof.warnings += _weaknesses(database)
            prover = _Prover(database, account, proof)
            prover.prove(attempts(deployment, account, database))
            if seen.unmodelled is not None:
                prover.prove(unmodelled_attempts(seen.unmodelled, account, database))
            kind = offline(own, deployment.engines)
            together = prover.prove_together if kind.features.transactional_ddl else prover.prove
            together(ddl_attempts(deployment, account, database, kind))
            if seen.admin is not None:
                with seen.admin.connect() as connection:
                    lasting = kind.introspection.tables_without_rollback(connection)
                    rolled = without_nontransactional_tables(account, lasting, proof)
                    prove_inserts(database, rolled, deployment, connection, proof)
                    rows = RowProver(database, rolled, deployment, connection, proof.warnings.append)
                    _rows(account, rows, proof)
    except RingfenceError as error:
        not_proven(f"could not be tried: {error}")
    except sa.exc.DBAPIError as error:
        # From the admin's queries for rows, for example if the database is behind the models.
        not_proven(f"its rows could not be tried: {str(error.orig).partition(chr(10))[0]}")


def _rows(account: Account, rows: RowProver, proof: Proof) -> None:
    """Add the outcomes of the attempts on rows to the proof."""
    for outcome in rows.outcomes():
        proof.attempts += 1
        proof.allowed += outcome.succeeded is True
        proof.refused += outcome.succeeded is False
        if outcome.succeeded == outcome.expected:
            continue
        kind = {True: "excess", False: "missing", None: "not-proven"}[outcome.succeeded]
        finding = Finding(
            kind, account.service, account.login, outcome.verb, outcome.table, (), outcome.message
        )
        proof.findings.append(finding)
        proof.row_findings.add((account.login, outcome.verb, outcome.table))


def _weaknesses(database: Database) -> Iterator[str]:
    """Yield a warning for each guarantee that, on this engine, does not hold against hostile statements."""
    backend, mirror = database.backend, database.mirror
    unread = [
        table.key
        for table in mirror.tables.values()
        if "select" in table.verbs
        and any(column.updatable and not column.selectable for column in table.columns.values())
    ]
    within = [
        table.key
        for table in mirror.tables.values()
        if any(verb.scope is not None for verb in table.verbs.values())
    ]
    for what, tables, why in (
        ("columns that it may write", unread, backend.column_leak()),
        ("rows outside its scope", within, backend.row_leak()),
    ):
        if tables and why:
            yield (
                f"{mirror.service}: that it cannot read {what} in {', '.join(tables)} is not proven against hostile"
                f" statements: {why}"
            )


class _Prover:
    """Runs the attempts of one account."""

    def __init__(self, database: Database, account: Account, proof: Proof) -> None:
        self._database = database
        self._account = account
        self._proof = proof
        # Any value is good enough for statements that touch no row; without one, some engines refuse even those.
        self._scope = {name: SOME[item["type"]] for name, item in database.mirror.scopes.items()}

    def prove(self, attempts: Iterable[Attempt]) -> None:
        """Run each attempt in its own session, and add differences from the manifest to the proof."""
        found: dict[tuple[str, str, str, str], list[str]] = {}
        for attempt in attempts:
            self._proof.attempts += 1
            try:
                allowed = self._try(attempt)
            except RingfenceError as error:
                kind, message = "not-proven", str(error)
            else:
                self._proof.allowed += allowed
                self._proof.refused += not allowed
                if allowed == attempt.expected:
                    continue
                kind = "excess" if allowed else "missing"
                message = (
                    "the database allows it, and the manifest does not"
                    if allowed
                    else f"{attempt.origin} gives it, and the database refuses it"
                )
                if allowed and attempt.excuse:
                    kind, message = "warning", attempt.excuse
            found.setdefault((kind, attempt.verb, attempt.table, message), []).append(attempt.column or "")
        for (kind, verb, table, message), columns in found.items():
            named = tuple(column for column in columns if column)
            finding = Finding(kind, self._account.service, self._account.login, verb, table, named, message)
            if kind == "warning":
                self._proof.warnings.append(str(finding).removeprefix("warning: "))
            else:
                self._proof.findings.append(finding)

    def prove_together(self, attempts: Iterable[Attempt]) -> None:
        """Run the attempts like `prove`, but each at a savepoint of one session.

        The pool closes a connection after DDL, so that one session needs one connection for all DDL attempts.
        """
        with contextlib.suppress(RollBack), self._database.session(scope=self._scope) as dal:
            dal.executesql("SELECT 1")
            self.prove(attempts)
            raise RollBack

    def _try(self, attempt: Attempt) -> bool:
        """Return whether the database allows the statement.

        Raises:
            RingfenceError: the error does not show whether the statement was allowed.
        """
        try:
            with self._database.session(scope=self._scope) as dal:
                dal.executesql(attempt.sql)
                raise RollBack
        except (RollBack, IntegrityError):
            return True
        except AccessDenied:
            return False
        except (
            ProgrammingError,
            UsageError,
        ) as error:  # a setting that no session bound is an InterfaceError on PostgreSQL
            cause = error.__cause__
            if not attempt.relation or attempt.column is None or not isinstance(cause, Exception):
                raise
            backend = self._database.backend
            column = backend.quote_name(attempt.column)
            try:
                with self._database.session(scope=self._scope):
                    connection = self._database.current().connection
                    may = backend.readable(connection, cause, attempt.relation, [column])
            except Exception as failed:
                raise error from failed  # the account cannot see the relation or its schema
            if may is None:
                raise
            return may
