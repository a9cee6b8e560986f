"""What a proof reads as the admin: exposures, columns that no model has, and the plan of an apply."""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from ringfence.runtime import RingfenceError
from ringfence.runtime.settings import Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend, first_line, reach
from ringfence.schema.engines.stable_reads import undisturbed
from ringfence.schema.manifest.model import Account
from ringfence.schema.privileges.replaced_objects import replaced_objects
from ringfence.schema.verification.planned_changes import ComparablePlan, plan_to_compare
from ringfence.schema.verification.proof import ALL_ACCOUNTS, Finding, Proof
from ringfence.schema.verification.row_proofs import has_row_scope
from ringfence.schema.verification.unmodelled_columns import Unmodelled


@dataclass(frozen=True, slots=True)
class AdminView:
    """What the admin found; a field is None if it could not be read.

    Args:
        admin: an engine that connects in autocommit mode and sees every row.
        unmodelled: the columns that no model has.
        plan: the plan of an apply.
    """

    admin: sa.Engine | None = None
    unmodelled: Unmodelled | None = None
    plan: ComparablePlan | None = None


def read_as_admin(
    deployment: Deployment, settings: Settings, proof: Proof, chosen: Collection[Account]
) -> AdminView:
    """Read the server as the admin, and add exposures to the proof.

    Args:
        deployment: the manifest and models.
        settings: where the database is, and the admin's login.
        proof: findings and warnings are added to it.
        chosen: the accounts that are tried.

    Returns:
        What the attempts need, and the plan to compare them with; empty, with a warning in the proof, if the admin
        cannot read the server and there are no row scopes to prove.

    Raises:
        RingfenceError: the admin cannot log in or read the server, and there are row scopes to prove.
        sqlalchemy.exc.DBAPIError: the server refuses a query of the admin, and there are row scopes to prove.
    """
    rows = any(has_row_scope(account) for account in chosen)
    try:
        backend = reach(settings, existing=True)
        admin = backend.engine().execution_options(isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            _add_exposures(backend, connection, deployment, proof, {account.login for account in chosen})
            unmodelled = Unmodelled(backend, connection, deployment)
        return AdminView(admin, unmodelled, _plan(backend, deployment, proof))
    except (RingfenceError, sa.exc.DBAPIError) as error:
        if rows:
            raise
        why = first_line(error) if isinstance(error, sa.exc.DBAPIError) else str(error)
        proof.warnings.append(
            f"columns that no model has, and what `access plan` would change, were not looked for: {why}"
        )
        return AdminView()


def _plan(backend: Backend, deployment: Deployment, proof: Proof) -> ComparablePlan | None:
    """Make the plan in a transaction, as an apply does, because settings for a query last until its end."""

    def read() -> ComparablePlan | None:
        with backend.engine().connect() as connection:
            return plan_to_compare(connection, backend, deployment)

    try:
        return undisturbed(read)
    except sa.exc.DBAPIError as error:
        message = (
            "what accounts hold, and what their row scopes need, could not be compared with the manifest:"
            f" {first_line(error)}; `ringfence access plan` shows which privileges the admin lacks"
        )
        proof.findings.append(Finding("not-proven", ALL_ACCOUNTS, "", None, None, (), message))
        return None


def _add_exposures(
    backend: Backend, connection: sa.Connection, deployment: Deployment, proof: Proof, chosen: Collection[str]
) -> None:
    """Add exposures to the proof: access that no attempt of a service's login can detect."""
    declared = {account.login: account.service for account in deployment.accounts.values()}
    exposed = replaced_objects(backend, deployment)
    if backend.accounts is not None:
        accounts = backend.accounts.hosts.at_declared(connection, deployment.accounts.values())
        existing = list(accounts.roles.existing(connection, declared))
        exposed = [*accounts.inspection.exposures(connection, deployment, existing), *exposed]
    for one in exposed:
        if one.login in declared and one.login not in chosen:
            continue
        if one.finding is None:
            proof.warnings.append(str(one))
            continue
        service = declared.get(one.login or "", "")
        found = Finding(one.finding, service or ALL_ACCOUNTS, one.login or "", None, None, (), str(one))
        proof.findings.append(found)
